"""The command palette: everything a key does here by its sentence, and what has no key of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.dom import DOMNode
from textual.screen import Screen

from acestep_tui import __version__
from acestep_tui.commands import by_id, shown_key
from acestep_tui.themes import THEME_LABELS

if TYPE_CHECKING:
    from acestep_tui.app import AceStepApp


def palette_commands(app: AceStepApp, screen: Screen[object]) -> Iterable[SystemCommand]:
    """All commands that can be given now, those of the screen first.

    A screen adds its own through ``palette()``: (sentence, help, callable) triples.
    """
    extra = getattr(screen, "palette", None)
    if extra is not None:
        for sentence, help_text, call in extra():
            yield SystemCommand(sentence, help_text, call)
    yield from _key_commands(app, screen)
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
    yield SystemCommand("Check this computer", "Drivers, disk, formats, network", app.open_doctor)
    yield SystemCommand("Screenshot (SVG)", "Save a picture of this screen", lambda: _screenshot(app))
    yield SystemCommand("Keys…", "Change keys in the settings", app.action_open_settings)
    yield SystemCommand("About", "Version and licence", lambda: _about(app))


def _key_commands(app: AceStepApp, screen: Screen[object]) -> Iterable[SystemCommand]:
    seen: set[str] = set()
    for active in screen.active_bindings.values():
        command = by_id(active.binding.id or "")
        if command is None or not active.enabled or not command.in_palette or command.sentence in seen:
            continue
        seen.add(command.sentence)
        changed = app.settings.keys.get(command.id)
        key = shown_key(changed.partition(",")[0]) if changed else command.key_shown
        yield SystemCommand(command.sentence, f"Key: {key}", _runs(app, active.node, active.binding.action))


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
