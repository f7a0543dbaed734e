"""A box for a text of several lines: ctrl+s keeps it, escape leaves it as it was; no key loses what is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from acestep_tui.commands import bindings
from acestep_tui.widgets.frame import Footer
from acestep_tui.widgets.paint import MUTED, WARNING, text


class EditorDialog(ModalScreen[str]):
    """Returns the text, or None when it should stay as it was.

    Args:
        title: On the box.
        value: The text.
        reason: One line under it.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("editor")
    scopes = ("editor",)
    DEFAULT_CSS = """
    EditorDialog { align: center middle; background: $background 60%; }
    EditorDialog > Vertical {
        width: 72; max-width: 100%; height: 18; max-height: 100%; background: $surface; border: round $primary;
        border-title-style: bold; border-title-color: $foreground; padding: 0 1;
    }
    EditorDialog TextArea { height: 1fr; border: none; background: $panel; padding: 0 1; }
    EditorDialog TextArea:focus { border: none; }
    EditorDialog Static { height: auto; }
    """

    def __init__(self, title: str, value: str, reason: str = "") -> None:
        super().__init__(classes="-typing")
        self._heading, self._value, self._reason = title, value, reason
        self._is_warned = False

    def compose(self) -> ComposeResult:
        """The text and its reason."""
        with Vertical() as box:
            box.border_title = Content(f" {self._heading} ")
            yield TextArea(self._value, compact=True, highlight_cursor_line=False)
            yield Static(text(self._reason, MUTED), id="reason")
        yield Footer()

    def on_mount(self) -> None:
        """Write at once."""
        area = self.query_one(TextArea)
        area.cursor_blink = getattr(self.app, "has_motion", False)
        area.move_cursor(area.document.end)
        area.focus()

    def action_keep(self) -> None:
        """Take the text."""
        self.dismiss(self.query_one(TextArea).text)

    def action_drop(self) -> None:
        """Leave the text as it was; the second time, if something was typed."""
        if self.query_one(TextArea).text == self._value or self._is_warned:
            self.dismiss(None)
            return
        self._is_warned = True
        said = "▲ What you typed is not kept yet: ^s keeps it, esc again drops it."
        self.query_one("#reason", Static).update(text(said, WARNING))
