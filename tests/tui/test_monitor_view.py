"""Moving through the monitor: panels, tabs, zoom, chart, log, copying."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from acestep_tui.commands import of_scope
from acestep_tui.screens.log_page import LogPage
from acestep_tui.screens.monitor import MonitorScreen
from acestep_tui.screens.samples_page import SamplesPage
from acestep_tui.screens.saves_page import SavesPage
from engine.contract import events
from tests.tui import facts
from tests.tui.harness import NOW, screen_text, until
from tests.tui.monitor_app import loaded, tell

HEADINGS = {"1": "Loss", "2": "Speed", "3": "GPU", "4": "Data", "5": "Samples", "6": "Saves", "7": "Log"}
NAMES = {"1": "loss", "2": "speed", "3": "gpu", "4": "data", "5": "samples", "6": "saves", "7": "log"}


async def is_focused(pilot: Pilot[Any], screen: MonitorScreen, name: str) -> None:
    await until(pilot, lambda: screen.focused_panel == name)


# -- panels --


async def test_a_number_shows_its_panel_under_the_strip(opened):
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        assert screen.focused_panel == "loss"
        for key in "234567":
            await pilot.press(key)
            await is_focused(pilot, screen, NAMES[key])
            await pilot.pause()
            assert screen.shown_tab == NAMES[key]
            assert f"{key} {HEADINGS[key]} ━" in screen_text(app)[16]  # the rule is heavy: it has the focus
        await pilot.press("1")
        await is_focused(pilot, screen, "loss")
        assert "6 Saves ─" in screen_text(app)[16] and screen.shown_tab == "log"


async def test_on_a_wide_screen_a_number_focuses(opened):
    app = opened()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        for key, heading in HEADINGS.items():
            await pilot.press(key)
            await is_focused(pilot, screen, NAMES[key])
            await pilot.pause()
            assert any(f"{key} {heading} ━" in row for row in screen_text(app))


async def test_tab_goes_through_the_panels_in_their_order(opened):
    app = opened()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        seen = [screen.focused_panel]
        for _ in range(6):
            await pilot.press("tab")
            await pilot.pause()
            seen.append(screen.focused_panel)
        assert seen == ["loss", "speed", "gpu", "data", "samples", "saves", "log"]


async def test_a_click_on_a_tab_chooses_it(opened):
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        place = screen_text(app)[16].index("6 Saves")
        await pilot.click(offset=(place + 2, 16))
        await is_focused(pilot, screen, "saves")


async def test_each_state_begins_with_the_panel_that_says_most(opened):
    for course, now, name in (
        (facts.preparing_course(), facts.PREPARING_NOW, "speed"),
        (facts.stalled_course(), facts.STALLED_NOW, "log"),
        (facts.crashed_course(), facts.CRASHED_NOW, "log"),
        (facts.finished_course(), facts.FINISHED_NOW, "samples"),
    ):
        app = opened(course, now)
        async with app.run_test(size=(80, 24)) as pilot:
            screen = await loaded(pilot)
            assert screen.shown_tab == name
            assert screen.panels[name].display


async def test_the_main_page_follows_the_run_and_takes_the_focus(opened):
    app = opened(facts.preparing_course())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await is_focused(pilot, screen, "prepare")
        await tell(
            pilot, screen, events.PhaseEnded(phase="cache", seconds=161.0), events.PhaseStarted(phase="load"), t=NOW
        )
        await is_focused(pilot, screen, "loss")
        await tell(pilot, screen, events.RunEnded(outcome="failed", exit_code=4, error="no song can be used"), t=NOW)
        await is_focused(pilot, screen, "trouble")
        assert "✗ No song can be used." in "\n".join(screen_text(app))


# -- zoom --


@pytest.mark.parametrize(("key", "page"), [("5", SamplesPage), ("6", SavesPage), ("7", LogPage)])
async def test_zoom_opens_the_page_of_a_panel_and_escape_leaves_it(opened, key, page):
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await pilot.press(key)
        await is_focused(pilot, screen, NAMES[key])
        await pilot.press("z")
        await until(pilot, lambda: isinstance(screen.page, page) and screen.page.has_focus_within)
        await pilot.pause()
        assert screen_text(app)[1].startswith(f" {key} {HEADINGS[key]} ━")
        assert "esc Back" in screen_text(app)[-1] and "p Pause" not in screen_text(app)[-1]
        assert screen.scopes[0] == "monitor" and len(screen.scopes) == 2
        await pilot.press("escape")
        await is_focused(pilot, screen, NAMES[key])
        assert screen.page is None and "p Pause" in screen_text(app)[-1]


@pytest.mark.parametrize("key", ["2", "3", "4"])
async def test_a_panel_without_a_page_takes_the_body_itself(opened, key):
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await pilot.press(key)
        await is_focused(pilot, screen, NAMES[key])
        await pilot.press("enter")
        await until(pilot, lambda: screen.zoomed == NAMES[key])
        await pilot.pause()
        rows = screen_text(app)
        assert rows[1].startswith(f" {key} {HEADINGS[key]} ━") and "esc Back" in rows[-1]
        await pilot.press("z")
        await until(pilot, lambda: not screen.zoomed)
        assert screen_text(app)[16].startswith(" 2 Speed")


async def test_a_number_goes_from_zoom_to_zoom_less(opened):
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await pilot.press("z")
        await until(pilot, lambda: screen.page is not None)
        await pilot.press("4")
        await is_focused(pilot, screen, "data")
        assert not screen.zoomed


async def test_what_has_no_place_is_zoomed(opened):
    app = opened(facts.crashed_course(), facts.CRASHED_NOW)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        await pilot.press("5")
        await until(pilot, lambda: isinstance(screen.page, SamplesPage))


# -- the chart --


async def test_the_chart_keys_of_the_monitor(opened):
    app = opened()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        chart = screen.loss.chart
        await pilot.press("l")
        assert chart.is_log
        await pilot.press("l", "m")
        assert not chart.is_log and chart.smoothing == 0.98
        await pilot.press("o")
        await pilot.pause()
        assert not chart.has_dots and "each step  ━" not in screen_text(app)[7]
        await pilot.press("v")
        await pilot.pause()
        assert "1 Learning rate ━" in screen_text(app)[7] and "4.1e-5" in screen_text(app)[7]
        await pilot.press("v")
        await pilot.pause()
        assert "1 Gradient size ━" in screen_text(app)[7]
        await pilot.press("v", "f")
        assert chart.window.follows
        await pilot.press("0")
        assert chart.window.shows_all


async def test_the_keys_of_the_zoomed_chart(opened):
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await pilot.press("z")
        await until(pilot, lambda: screen.page is not None and screen.page.has_focus_within)
        page: Any = screen.page
        await pilot.press("left")
        first = page.chart.reading.step
        await pilot.press("left")
        assert page.chart.reading.step < first
        await pilot.pause()
        assert screen_text(app)[2].startswith(f" ▾ step {page.chart.reading.step:,}")
        await pilot.press("right")
        assert page.chart.reading.step >= first - 1
        await pilot.press("plus", "plus")
        await pilot.pause()
        assert not page.chart.window.shows_all and "steps 0–" not in screen_text(app)[1]
        start = page.chart.x_range[0]
        await pilot.press("shift+left")
        assert page.chart.x_range[0] < start
        await pilot.press("shift+right")
        assert page.chart.x_range[0] == start
        await pilot.press("minus", "minus")
        assert page.chart.window.shows_all
        await pilot.press("f")
        assert page.chart.window.follows
        await pilot.press("0", "l", "m", "o")
        assert page.chart.window.shows_all and page.chart.is_log and not page.chart.has_dots
        await pilot.press("v")
        await pilot.pause()
        assert "1 Learning rate ━" in screen_text(app)[1] and " learning rate " in screen_text(app)[2]
        assert "also here with v: loss, gradient size" in screen_text(app)[22]
        await pilot.press("y")
        assert app.clipboard.startswith("step ")
        await pilot.press("escape")
        await is_focused(pilot, screen, "loss")
        # What was chosen there is chosen here.
        assert screen.loss.chart.is_log and screen.loss.chart.plot.name == "Learning rate"


def test_every_key_of_the_chart_is_bound_in_both_places():
    monitor, zoom = ({command.name: command.keys for command in of_scope(scope)} for scope in ("monitor", "zoom"))
    for name in ("toggle_log", "cycle_smoothing", "toggle_dots", "next_curve", "follow", "show_all"):
        assert monitor[name] == zoom[name]
    assert all(hasattr(MonitorScreen, f"action_{name.partition('(')[0]}") for name in monitor)


# -- the log and copying --


async def test_warnings_only_and_the_filter(opened):
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await pilot.press("exclamation_mark")
        await is_focused(pilot, screen, "log")
        await pilot.pause()
        rows = screen_text(app)[17:22]
        assert any("2 songs have no lyrics" in row for row in rows) and not any("loss 0.4128" in row for row in rows)
        await pilot.press("exclamation_mark")
        await pilot.pause()
        assert "loss 0.4128" in screen_text(app)[17]
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(screen.page, LogPage) and app.focused is not None)
        await pilot.press(*"held-out")
        await until(pilot, lambda: len(screen.page.entries) == 5)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("keys", "begins"),
    [
        ([], "step 1,240"), (["4"], "Pass"), (["7"], "14:21:07"), (["2"], "data"),
    ],
)  # fmt: skip
async def test_y_copies_what_is_marked(opened, keys, begins):
    app = opened()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        for key in keys:
            await pilot.press(key)
            await is_focused(pilot, screen, NAMES[key])
        await pilot.press("y")
        assert app.clipboard.strip().startswith(begins)
        assert next(iter(app._notifications)).message.startswith("● Copied ")


async def test_y_on_a_crash_copies_a_report(opened):
    app = opened(facts.crashed_course(), facts.CRASHED_NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("y")
        assert "crashed at step 1,240 of 2,000" in app.clipboard
        assert "kernel log: Out of memory: Killed process 48213 (python)" in app.clipboard


async def test_the_palette_offers_what_has_no_key(opened):
    app = opened()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        found = {sentence: call for sentence, _, call in screen.palette()}
        found["Copy attach command"]()
        assert app.clipboard == "acestep-tui attach night-ferry"
        found["Copy a report of this run"]()
        assert "last event: 2026-11-22T14:21:07Z" in app.clipboard
        found["Verify save points"]()
        await until(pilot, lambda: isinstance(screen.page, SavesPage))
        assert {"Write HTML report", "Generate a song…", "Copy command for this run"} <= set(found)
