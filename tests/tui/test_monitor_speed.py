"""The monitor stays quick and quiet: work per look, bytes to the terminal, nothing repainted that did not change.

`make bench-tui` measures the same through a real terminal; here are bounds that hold on a loaded machine too.
"""

from __future__ import annotations

import random
import time

import pytest

from acestep_tui.messages import RunUpdated
from acestep_tui.runs.series import Series
from acestep_tui.runs.state import RunState
from acestep_tui.runs.watch import Update
from engine.contract import event_lines, events
from tests.tui import facts
from tests.tui.harness import NOW
from tests.tui.monitor_app import loaded

NUM_POINTS = 10_000
# 100 events a second, two looks a second.
EVENTS_PER_LOOK = 50


def long_course() -> facts.Course:
    course, noise = facts.training_course(), random.Random(1)
    for name in ("loss", "lr", "grad_norm"):
        points = ((step, 0.4 + noise.gauss(0, 0.03)) for step in range(1, NUM_POINTS))
        setattr(course.state, name, Series(points))
    return course


def look(state: RunState, number: int) -> RunUpdated:
    """What one look finds at 100 events a second."""
    records = []
    for place in range(EVENTS_PER_LOOK):
        step = NUM_POINTS + number * EVENTS_PER_LOOK + place
        event = events.Step(
            step=step, total=20_000, loss=0.4, lr=1e-4, grad_norm=0.2, step_s=0.01, eta_s=1260.0, epoch=step / 22,
            files=("07 Low Sun.flac",),
        )  # fmt: skip
        line = event_lines.encode(event, seq=state.last_seq + 1 + place, t=NOW + number * 0.5 + place * 0.01)
        records.append(event_lines.decode(line))
    return RunUpdated(Update(t=NOW, records=records))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_look_leaves_time_for_keys(opened, size):
    app = opened(long_course())
    async with app.run_test(size=size) as pilot:
        screen = await loaded(pilot)
        took = []
        for number in range(8):
            message = look(screen.state, number)
            start = time.process_time()
            screen.on_run_updated(message)
            took.append(time.process_time() - start)
            await pilot.pause()
        # A key waits for one look at most: it is to be answered within 100 ms.
        assert sorted(took)[len(took) // 2] < 0.1, took


async def test_steady_state_is_quiet(opened, monkeypatch):
    app = opened(long_course())
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        written: list[int] = []
        monkeypatch.setattr(type(app._driver), "write", lambda driver, data: written.append(len(data)))
        monkeypatch.setattr(type(app._driver), "is_headless", property(lambda driver: False))
        for number in range(10):
            screen.on_run_updated(look(screen.state, number))
            await pilot.pause()
        painted = sum(written) / 5  # ten looks are five seconds
        assert 500 < painted < 20_000, painted
        await pilot.pause()
        written.clear()
        screen.tick()
        screen.refresh_run()
        await pilot.pause()
        assert sum(written) < 1000, "nothing new, nothing painted"


async def test_only_rows_that_changed_are_painted(opened):
    app = opened()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        painted: list[str] = []
        for name, panel in screen.panels.items():
            monkey = panel.refresh

            def refresh(*regions, _name=name, _refresh=monkey, **more):
                painted.append(_name)
                return _refresh(*regions, **more)

            panel.refresh = refresh
        screen.refresh_run()
        await pilot.pause()
        assert painted == []
