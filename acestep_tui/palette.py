"""The command palette: everything a key does here by its sentence, and what has no key of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen

from acestep_tui import __version__
from acestep_tui.commands import by_id, shown_key
from acestep_tui.themes import THEME_LABELS
from acestep_tui.widgets.paint import ACCENT, MUTED, fit, join, spread, text

if TYPE_CHECKING:
    from acestep_tui.app import AceStepApp


# What stands before a command's key where its help is told as plain text.
KEY = "Key: "
# Of a row, of its sentence at most, and of what the box takes around a row.
_WIDTH, _TITLE, _BOX = 64, 42, 6


class HousePalette(Provider):
    """Commands in one row each, those of the screen first: what it does, and at the right its key or a few words."""

    def _commands(self) -> Iterable[SystemCommand]:
        return self.app.get_system_commands(self.screen)

    @property
    def _width(self) -> int:
        return min(_WIDTH, self.app.size.width - _BOX)

    async def discover(self) -> Hits:
        """All of them, while nothing is typed."""
        for command in self._commands():
            title = text(command.title)
            yield DiscoveryHit(_row(title, command.help, self._width), command.callback, text=command.title)

    async def search(self, query: str) -> Hits:
        """Those whose sentence has the letters typed, in their order."""
        matcher = self.matcher(query)
        for command in self._commands():
            score, places = matcher.fuzzy_search.match(query, command.title)
            if score:
                title = text(command.title)
                for place in places:
                    title = title.stylize(f"bold {ACCENT}", place, place + 1)
                yield Hit(score, _row(title, command.help, self._width), command.callback, text=command.title)


def _row(title: Content, help_text: str, width: int) -> Content:
    key = help_text.removeprefix(KEY) if help_text.startswith(KEY) else ""
    end = join((key, f"bold {ACCENT}")) if key else join((help_text, MUTED))
    room = max(width - 1 - min(title.cell_length, _TITLE), 0)
    return spread(title, fit(end, room) if end.cell_length > room else end, width)


def palette_commands(app: AceStepApp, screen: Screen[object]) -> Iterable[SystemCommand]:
    """All commands that can be given now, those of the screen first.

    A screen adds its own through ``palette()``: (sentence, help, callable) triples.
    """
    keys = list(_key_commands(app, screen))
    told = {command.title for _, command in keys}
    yield from (command for scope, command in keys if scope != "app")
    extra = getattr(screen, "palette", None)
    if extra is not None:
        for sentence, help_text, call in extra():
            yield SystemCommand(sentence, help_text, call)
    yield from (command for scope, command in keys if scope == "app")
    for name in sorted(app.available_themes, key=lambda name: (name not in THEME_LABELS, name)):
        if name != app.theme:
            label = THEME_LABELS.get(name, name)
            yield SystemCommand(f"Theme: {label}", "Change the colours", _set_theme(app, name))
    compact = app.settings["density"] == "compact"
    yield SystemCommand(
        f"Density: {'comfortable' if compact else 'compact'}",
        "With or without the empty lines",
        lambda: app.settings.set("density", "comfortable" if compact else "compact"),
    )
    if "Check this computer" not in told:
        yield SystemCommand("Check this computer", "Drivers, disk, formats, network", app.open_doctor)
    yield SystemCommand("Screenshot (SVG)", "Save a picture of this screen", lambda: _screenshot(app))
    yield SystemCommand("Keys…", "Change keys in the settings", app.action_open_settings)
    yield SystemCommand("About", "Version and licence", lambda: _about(app))


def _key_commands(app: AceStepApp, screen: Screen[object]) -> Iterable[tuple[str, SystemCommand]]:
    """What keys do here, each with the scope it belongs to."""
    seen: set[str] = set()
    for active in screen.active_bindings.values():
        command = by_id(active.binding.id or "")
        if command is None or not active.enabled or not command.in_palette or command.sentence in seen:
            continue
        seen.add(command.sentence)
        keys = app.settings.keys.get(command.id, command.keys)
        help_text = f"{KEY}{shown_key(keys.partition(',')[0])}"
        yield command.scope, SystemCommand(command.sentence, help_text, _runs(app, active.node, active.binding.action))


def _runs(app: AceStepApp, node: DOMNode, action: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await app.run_action(action, node)

    return run


def _set_theme(app: AceStepApp, name: str) -> Callable[[], None]:
    def change() -> None:
        if name in THEME_LABELS or name in ("ansi-dark", "ansi-light"):
            app.settings.set("theme", name)
        else:
            app.theme = name

    return change


def _screenshot(app: AceStepApp) -> None:
    try:
        path = app.save_screenshot()
    except OSError as error:
        app.toast("error", "The picture could not be saved.", str(error.strerror or error))
        return
    app.toast("done", "Saved the picture.", path)


def _about(app: AceStepApp) -> None:
    app.toast("info", f"acestep-tui {__version__}", "Fine-tunes ACE-Step v1 on your songs. Apache-2.0.")
