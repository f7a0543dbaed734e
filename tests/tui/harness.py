"""Driving the app in tests: a stopped clock, no settings of the machine, the screen as text and as a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual import events
from textual.app import App
from textual.pilot import Pilot

from acestep_tui.app import AceStepApp, Start
from acestep_tui.settings import Settings

SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
# 2026-11-22 14:21:08 in UTC, the mock-ups' moment (tests run with TZ=UTC, see conftest).
NOW = 1795357268.0


def house_app(
    tmp_path: Path,
    start: Start | None = None,
    *,
    clock: Callable[[], float] = lambda: NOW,
    host: str = "studio-pod",
    **values: Any,
) -> AceStepApp:
    """The app as a test drives it: settings in ``tmp_path``, motion off, time standing still."""
    settings = Settings(tmp_path / "settings.json", {"motion": "off", **values})
    return AceStepApp(start, settings=settings, clock=clock, host=host)


def screen_text(app: AceStepApp) -> list[str]:
    """The rows of the open screen as plain text, right ends trimmed: what `tmux capture-pane -p` would give.

    What lies under a dialog shows through, as on a terminal.
    """
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    return ["".join(segment.text for segment in strip).rstrip() for strip in update.strips]  # type: ignore[union-attr]


async def until(pilot: Pilot[Any], reached: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Let the app run until something holds.

    Raises:
        AssertionError: It did not within the time; the screen is shown.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not reached():
        if loop.time() > deadline:
            raise AssertionError("not reached; the screen shows:\n" + "\n".join(screen_text(pilot.app)))  # type: ignore[arg-type]
        await pilot.pause(0.02)


def type_at_once(app: App[Any], *keys: str) -> None:
    """Type keys in one go, without waiting for answers, as a line that was stuck delivers them."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))


def save_png(app: AceStepApp, path: Path) -> None:
    """A picture of the open screen, for eyes (cairosvg and a monospaced font must be there)."""
    import cairosvg

    svg = app.export_screenshot(title="").replace("Fira Code", "DejaVu Sans Mono")
    cairosvg.svg2png(bytestring=svg.encode(), write_to=str(path))
