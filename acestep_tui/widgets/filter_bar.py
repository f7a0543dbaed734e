"""The one-row filter that `/` opens: it acts while one types, Enter keeps it, Escape clears and closes it."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input


class FilterBar(Input):
    """Hidden until `open` is called; says `Changed` on every key and on closing (then with an empty text)."""

    DEFAULT_CSS = """
    FilterBar { display: none; height: 1; border: none; padding: 0 1; margin: 0 1; background: $panel; }
    FilterBar.-open { display: block; }
    """

    @dataclass
    class Filtered(Message):
        """The text to filter by is another one."""

        bar: FilterBar
        text: str

    def __init__(self, placeholder: str = "Filter", *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(placeholder=placeholder, compact=True, id=id)
        self._came_from: Widget | None = None

    def open(self) -> None:
        """Show the field and take the focus."""
        if not self.has_focus:
            self._came_from = self.screen.focused
        self.add_class("-open")
        self.focus()

    def close(self) -> None:
        """Forget the text, hide, and give the focus on."""
        self.value = ""
        self._hide()

    def _hide(self) -> None:
        self.remove_class("-open")
        self._go_back()

    def _go_back(self) -> None:
        """The focus returns to what is filtered."""
        if not self.has_focus:
            return
        if self._came_from is not None and self._came_from.is_attached:
            self._came_from.focus()
        else:
            self.screen.focus_next()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Every key filters."""
        event.stop()
        self.post_message(self.Filtered(self, self.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter keeps what is filtered; an empty field closes."""
        event.stop()
        if self.value:
            self._go_back()
        else:
            self._hide()

    def on_key(self, event: events.Key) -> None:
        """Escape clears."""
        if event.key == "escape":
            event.stop()
            event.prevent_default()
            self.close()
