"""The monitor in tests: a watcher that hands over a made-up state instead of reading a folder."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from textual.pilot import Pilot

from acestep_tui import watching
from acestep_tui.app import AceStepApp, Start
from acestep_tui.runs.facts import FolderFacts
from acestep_tui.runs.state import RunState
from acestep_tui.runs.watch import Update
from acestep_tui.screens.monitor import MonitorScreen
from engine.contract.event_lines import decode, encode
from engine.contract.events import Event
from engine.contract.run_dir import RunDir
from tests.tui import facts
from tests.tui.harness import house_app, until


class FakeWatcher:
    """Loads `state`, then finds what a test has put into `found`, one update a look."""

    state: ClassVar[RunState]
    found: ClassVar[deque[Update]] = deque()

    def __init__(self, run: RunDir) -> None:
        del run

    def load(self, on_progress: Callable[[int, int], None], should_stop: Callable[[], bool]) -> RunState:
        del on_progress, should_stop
        return self.state

    def poll(self, state: RunState) -> Update:
        update = self.found.popleft() if self.found else Update(problem=state.reading_problem)
        if not update.records:
            update.crash, update.silent = state.crash, state.silent
        return update


def monitor_app(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    state: RunState,
    now: float | Callable[[], float],
    *,
    folder: Path = facts.FOLDER,
    is_readonly: bool = False,
    **settings: Any,
) -> AceStepApp:
    """The app opened on a run that is as ``state`` says, at a stopped clock."""
    monkeypatch.setattr(FakeWatcher, "state", state, raising=False)
    monkeypatch.setattr(FakeWatcher, "found", deque())
    monkeypatch.setattr(watching, "RunWatcher", FakeWatcher)
    if state.folder_facts is None:
        state.folder_facts = FolderFacts()
    start = Start(RunDir(folder), is_readonly=is_readonly)
    return house_app(tmp_path, start, clock=now if callable(now) else lambda: now, **settings)


async def loaded(pilot: Pilot[Any]) -> MonitorScreen:
    """The monitor once it shows its run."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, MonitorScreen) and app.screen.is_loaded)
    await pilot.pause()
    await pilot.pause()
    assert isinstance(app.screen, MonitorScreen)
    return app.screen


async def tell(pilot: Pilot[Any], screen: MonitorScreen, *said: Event, t: float, **update: Any) -> None:
    """Let the watcher find these events, and wait until they are shown."""
    seq = screen.state.last_seq
    records = [decode(encode(event, seq=seq + place, t=t)) for place, event in enumerate(said, start=1)]
    FakeWatcher.found.append(Update(t=t, records=records, **update))
    screen.look_now()
    await until(pilot, lambda: not FakeWatcher.found and screen.state.last_seq == seq + len(said))
    await pilot.pause()
