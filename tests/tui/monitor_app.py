"""The monitor in tests: a watcher that hands over a made-up state instead of reading a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from acestep_tui import watching
from acestep_tui.app import AceStepApp, Start
from acestep_tui.runs.facts import FolderFacts
from acestep_tui.runs.state import RunState
from acestep_tui.runs.watch import Update
from acestep_tui.screens.monitor import MonitorScreen
from engine.contract.run_dir import RunDir
from tests.tui import facts
from tests.tui.harness import house_app, until


class FakeWatcher:
    """Loads `state`, then finds nothing new."""

    state: RunState

    def __init__(self, run: RunDir) -> None:
        del run

    def load(self, on_progress: Callable[[int, int], None], should_stop: Callable[[], bool]) -> RunState:
        del on_progress, should_stop
        return self.state

    def poll(self, state: RunState) -> Update:
        return Update(crash=state.crash, silent=state.silent, problem=state.reading_problem)


def monitor_app(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    state: RunState,
    now: float,
    *,
    folder: Path = facts.FOLDER,
    is_readonly: bool = False,
    **settings: Any,
) -> AceStepApp:
    """The app opened on a run that is as ``state`` says, at a stopped clock."""
    monkeypatch.setattr(FakeWatcher, "state", state, raising=False)
    monkeypatch.setattr(watching, "RunWatcher", FakeWatcher)
    if state.folder_facts is None:
        state.folder_facts = FolderFacts()
    start = Start(RunDir(folder), is_readonly=is_readonly)
    return house_app(tmp_path, start, clock=lambda: now, **settings)


async def loaded(pilot: Pilot[Any]) -> MonitorScreen:
    """The monitor once it shows its run."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, MonitorScreen) and app.screen.is_loaded)
    await pilot.pause()
    await pilot.pause()
    assert isinstance(app.screen, MonitorScreen)
    return app.screen
