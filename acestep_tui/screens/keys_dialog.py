"""Changing keys: the list of all commands; Enter, then the new key; Backspace gives a command its own back."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget

from acestep_tui.commands import COMMANDS, Command, bindings, shown_key
from acestep_tui.settings import Settings
from acestep_tui.widgets.frame import Footer
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, columns, fit, join
from acestep_tui.widgets.rows import Rows


class _Catcher(Widget, can_focus=True):
    """Has the focus while a key is awaited, and takes whatever comes."""

    DEFAULT_CSS = "_Catcher { width: 0; height: 0; }"

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Every key is for us, also one that is bound elsewhere."""
        del key, character
        return True


class KeysDialog(ModalScreen[None]):
    """All commands with their keys.

    Args:
        settings: Where changed keys are kept.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("dialog")
    scopes = ("dialog",)
    DEFAULT_CSS = """
    KeysDialog { align: center middle; }
    KeysDialog > Vertical {
        width: 74; max-width: 96%; height: 80%; background: $surface; border: round $primary;
        border-title-style: bold; border-title-color: $foreground; border-subtitle-color: $text-muted;
    }
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._waiting: Command | None = None
        self._problem = ""
        self._commands = [command for command in COMMANDS if command.scope != "dialog"]

    def compose(self) -> ComposeResult:
        """A list in a box."""
        with Vertical() as box:
            box.border_title = Content("Change keys")
            box.border_subtitle = Content("↵ new key   ⌫ its own key   esc back")
            yield Rows(self._draw, len(self._commands))
            yield _Catcher()
        yield Footer()

    def on_mount(self) -> None:
        """Keys go to the list."""
        self.query_one(Rows).focus()

    def _draw(self, index: int, width: int, is_selected: bool) -> Content:
        command = self._commands[index]
        key = ", ".join(shown_key(key) for key in self._keys(command))
        value = ("press a key", f"bold {ACCENT}") if self._waiting is command else (key, BOLD)
        meaning = (self._problem, "$warning") if is_selected and self._problem else command.sentence
        mark = ("❯ " if is_selected else "  ", f"bold {ACCENT}")
        row = columns([(command.scope, MUTED), value, meaning], [9, 12, max(width - 28, 10)])
        return fit(join(" ", mark, row), width)

    def _keys(self, command: Command) -> list[str]:
        return self._settings.keys.get(command.id, command.keys).split(",")

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """The next key pressed belongs to this command."""
        message.stop()
        self._problem = ""
        self._waiting = self._commands[message.index]
        self.query_one(_Catcher).focus()
        self.query_one(Rows).redraw()

    def on_rows_moved(self) -> None:
        """A complaint belongs to the row it was about."""
        self._problem = ""

    def on_key(self, event: events.Key) -> None:
        """The awaited key; else Backspace gives a command its own key back."""
        rows = self.query_one(Rows)
        if self._waiting is not None:
            event.stop()
            command, self._waiting = self._waiting, None
            if event.key != "escape":
                self._take(command, event.key)
            rows.focus()
        elif event.key == "backspace":
            self._settings.set_key(self._commands[rows.cursor].id, None)
        rows.redraw()

    def _take(self, command: Command, key: str) -> None:
        """Give a command the key, unless another one of the same place has it."""
        others = [other for other in self._commands if other is not command and other.scope in (command.scope, "app")]
        owner = next((other for other in others if key in self._keys(other)), None)
        if owner is not None:
            self._problem = f"{shown_key(key)} already does this: {owner.sentence}"
            return
        self._settings.set_key(command.id, None if key in command.keys.split(",") else key)

    def footer_word(self, command: Command) -> str:
        """What escape means here."""
        return "Done" if command.name == "safe" else command.word

    def action_safe(self) -> None:
        """Done."""
        self.dismiss(None)

    def action_choose(self) -> None:
        """Enter belongs to the list."""
        self.query_one(Rows).action_choose()
