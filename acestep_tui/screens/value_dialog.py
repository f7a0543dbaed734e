"""A box with one field: type a value, Enter takes it, what is not accepted says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from acestep_tui.commands import Command, bindings
from acestep_tui.widgets.frame import Footer
from acestep_tui.widgets.paint import ERROR, MUTED, text


class ValueDialog(ModalScreen[str]):
    """Asks for one value; returns it as text, or None when nothing should change.

    Args:
        title: On the box.
        value: What stands in the field at first.
        reason: One line under it.
        parse: Takes the text or raises ValueError with what is accepted.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("dialog")
    scopes = ("dialog",)
    DEFAULT_CSS = """
    ValueDialog { align: center middle; }
    ValueDialog > Vertical {
        width: 62; height: auto; background: $surface; border: round $primary; border-title-style: bold;
        border-title-color: $foreground; padding: 1 2;
    }
    ValueDialog Static { height: auto; margin: 1 0 0 0; }
    """

    def __init__(self, title: str, value: str, reason: str = "", *, parse: Callable[[str], Any] = str) -> None:
        super().__init__()
        self._title, self._value, self._reason, self._parse = title, value, reason, parse

    def compose(self) -> ComposeResult:
        """The field and its reason."""
        with Vertical() as box:
            box.border_title = Content(self._title)
            yield Input(self._value, compact=True)
            yield Static(text(self._reason, MUTED), id="reason")
        yield Footer()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter takes the value if it is one."""
        event.stop()
        try:
            self.dismiss(str(self._parse(event.value)))
        except ValueError as error:
            self.query_one("#reason", Static).update(text(f"✗ {error}", ERROR))

    def action_safe(self) -> None:
        """Escape changes nothing."""
        self.dismiss(None)

    async def action_choose(self) -> None:
        """Enter outside the field takes it too."""
        await self.query_one(Input).action_submit()

    def footer_word(self, command: Command) -> str:
        """What escape means here."""
        return "Leave as it is" if command.name == "safe" else command.word
