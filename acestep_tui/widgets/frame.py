"""The two rows every screen has: what and how on top, the keys that do something now at the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen

from acestep_tui.commands import COMMANDS, Command, by_id, shown_key
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, MUTED, Part, join, spread, text

WIDE_COLUMNS = 120
_OWN_NAMES = {"rows.choose": "choose", "rows.up": "move"}
_ORDER = {command.id: place for place, command in enumerate(COMMANDS)}


class Header(Lines):
    """``♪ acestep-tui   night-ferry            ● training   last event 1 s ago``."""

    DEFAULT_CSS = """
    Header { dock: top; height: 1; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._what: tuple[Part, ...] = ()
        self._right: Part = ""

    def show(self, what: Sequence[Part], right: Part) -> None:
        """Say what this screen is about, and at the right how it is."""
        self._what, self._right = tuple(what), right
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row."""
        del height
        gaps = ["   ", *["  "] * len(self._what)]
        what = [part for pair in zip(gaps, self._what, strict=False) for part in pair]
        left = join(" ", ("♪ acestep-tui", f"bold {ACCENT}"), *what)
        return [spread(left, join(self._right, " "), width)]


@dataclass(frozen=True, slots=True)
class _Active:
    """A command that can be given now: its key as written, its action, and whose action that is."""

    command: Command
    key: str
    action: str
    node: DOMNode


@dataclass(frozen=True, slots=True)
class _Key:
    """A key in the footer: where it stands, and what it does when clicked."""

    start: int
    end: int
    active: _Active


class Footer(Lines):
    """``p Pause  s Save  x Stop…        ^p Menu  ? Help``: only keys that do something now, most used first."""

    DEFAULT_CSS = """
    Footer { dock: bottom; height: 1; background: $panel; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[_Key] = []

    def on_mount(self) -> None:
        """Follow what is bound."""
        self.screen.bindings_updated_signal.subscribe(self, self._on_bindings)

    def _on_bindings(self, screen: Screen[object]) -> None:
        del screen
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row; keys that do not fit are left to help and palette."""
        del height
        commands = self._active()
        right = self._right(commands)
        room = width - right.cell_length - 3
        left, keys = text(" "), []
        for active in commands:
            command, key = active.command, active.key
            if command.scope == "app":
                continue
            word = self._word(command, is_wide=width >= WIDE_COLUMNS)
            if not word or not (command.is_narrow or width >= WIDE_COLUMNS):
                continue
            if command.shown_narrow and width < WIDE_COLUMNS and key == command.key_shown:
                key = command.shown_narrow
            piece = join((key, f"bold {ACCENT}"), " ", (word, MUTED))
            start = left.cell_length
            if start + piece.cell_length > room:
                break
            keys.append(_Key(start, start + piece.cell_length, active))
            left += piece + Content("  ")
        self._keys = [*keys, *self._right_keys(width, commands)]
        return [spread(left.rstrip(), join(right, " "), width)]

    def _active(self) -> list[_Active]:
        """Commands bound and enabled now, in the table's order."""
        found: dict[str, _Active] = {}
        for active in self.screen.active_bindings.values():
            command = self._named(by_id(active.binding.id or ""), active.node)
            if command is not None and active.enabled and command.id not in found:
                changed = self.app._keymap.get(command.id)
                key = shown_key(changed.partition(",")[0]) if changed else command.key_shown
                found[command.id] = _Active(command, key, active.binding.action, active.node)
        return sorted(found.values(), key=lambda item: _ORDER[item.command.id])

    def _named(self, command: Command | None, node: object) -> Command | None:
        """Enter and the arrows on a list are called what the list itself, or the screen, calls them."""
        own = _OWN_NAMES.get(command.id) if command is not None else None
        if command is None or own is None:
            return command
        scopes: tuple[str, ...] = (*getattr(node, "scopes", ()), *getattr(self.screen, "scopes", ()))
        return next((named for scope in scopes if (named := by_id(f"{scope}.{own}")) is not None), command)

    def _word(self, command: Command, *, is_wide: bool) -> str:
        """The footer's word; a screen may have another one for its state (Pause, Go on)."""
        change = getattr(self.screen, "footer_word", None)
        word = change(command) if change is not None else command.word
        return command.wide if is_wide and command.wide and word == command.word else word

    def _right(self, commands: Sequence[_Active]) -> Content:
        parts: list[Part] = []
        for active in _everywhere(commands):
            shown = "F1" if active.command.name == "help" and self.screen.has_class("-typing") else active.key
            parts += [(shown, f"bold {ACCENT}"), " ", (active.command.word, MUTED), "  "]
        return join(*parts).rstrip()

    def _right_keys(self, width: int, commands: Sequence[_Active]) -> list[_Key]:
        keys, end = [], width - 1
        for active in reversed(_everywhere(commands)):
            start = end - len(active.key) - 1 - len(active.command.word)
            keys.append(_Key(start, end, active))
            end = start - 2
        return keys

    async def on_click(self, event: events.Click) -> None:
        """A click on a key does what the key does, for the widget that has it."""
        for key in self._keys:
            if key.start <= event.x < key.end:
                await self.app.run_action(key.active.action, key.active.node)
                return


def _everywhere(commands: Sequence[_Active]) -> list[_Active]:
    """Those at the right end: what every screen has."""
    return [active for active in commands if active.command.scope == "app" and active.command.word]
