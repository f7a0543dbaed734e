"""The chart as a widget: data in, keys and mouse, messages out, and no more repainting than needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.events import MouseScrollDown, MouseScrollUp
from textual.geometry import Region
from textual.pilot import Pilot

from acestep_tui.runs.series import Series
from acestep_tui.themes import VARIABLE_DEFAULTS, house_themes
from acestep_tui.widgets import paint
from acestep_tui.widgets.chart import STYLES, Chart, Plot, Reading, Trace

NUM_STEPS = 1240


def loss(num_steps: int = NUM_STEPS) -> Series:
    return Series((step, 0.4 + 0.25 * math.exp(-step / 300)) for step in range(1, num_steps + 1))


class ChartApp(App[None]):
    """One chart, and what it said."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.chart = Chart(**options)
        self.readings: list[Reading | None] = []
        self.captions: list[str] = []
        for theme in house_themes():
            self.register_theme(theme)
        self.theme = "studio-dark"

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return VARIABLE_DEFAULTS

    def compose(self) -> ComposeResult:
        yield self.chart

    def on_chart_read(self, message: Chart.Read) -> None:
        self.readings.append(message.reading)

    def on_chart_view_changed(self, message: Chart.ViewChanged) -> None:
        self.captions.append(message.control.caption)


@asynccontextmanager
async def running(
    plots: list[Plot] | None = None, *, x_end: float | None = None, size: tuple[int, int] = (78, 18), **options: Any
) -> Any:
    app = ChartApp(**options)
    async with app.run_test(size=size) as pilot:
        if plots is not None:
            app.chart.show(plots, x_end=x_end, note="after step 3")
        await pilot.pause()
        yield app, app.chart, pilot


def one(series: Series, **options: Any) -> list[Plot]:
    return [Plot("Loss", (Trace(series),), **options)]


async def press(pilot: Pilot[None], chart: Chart, *actions: str) -> None:
    """Do what the keys do; the keys themselves are bound by the screens."""
    for action in actions:
        await chart.run_action(action)
    await pilot.pause()


async def test_an_empty_chart_says_what_it_waits_for() -> None:
    async with running([]) as (_, chart, _pilot):
        assert any("after step 3" in line for line in chart.plain_lines)
        assert len(chart.plain_lines) == 18


async def test_the_axis_ends_at_the_planned_step_or_at_the_newest() -> None:
    series = loss()
    async with running(one(series), x_end=2000) as (_, chart, pilot):
        assert chart.plain_lines[-1].split() == ["0", "500", "1,000", "1,500", "2,000"]
        chart.show(one(series))
        await pilot.pause()
        assert chart.plain_lines[-1].split() == ["0", "250", "500", "750", "1,000", "1,240"]
        assert chart.caption == "linear, smoothing 0.94, steps 0–1,240"


async def test_the_reading_line_moves_by_a_cell_and_says_what_it_reads() -> None:
    series = loss()
    async with running(one(series, marks=[(250, 0.5), (750, 0.4452)])) as (app, chart, pilot):
        await press(pilot, chart, "read_left")
        assert app.readings[-1].step == NUM_STEPS
        assert any(line.endswith("│") for line in chart.plain_lines)
        await press(pilot, chart, "read_left")
        cell = NUM_STEPS / (78 - 6 - 1)
        assert NUM_STEPS - app.readings[-1].step == pytest.approx(cell, abs=1)
        await press(pilot, chart, "read_right", "read_right")
        assert app.readings[-1].step == NUM_STEPS
        chart.read_at(760)
        await pilot.pause()
        reading = app.readings[-1]
        assert (reading.step, reading.heldout, reading.heldout_step) == (760, 0.4452, 750)
        assert reading.raw == pytest.approx(series.values[759])
        assert reading.smoothed == pytest.approx(series.smoothed(0.94)[759])
        chart.clear_reading()
        await pilot.pause()
        assert app.readings[-1] is None
        assert "│" not in "".join(chart.plain_lines)


async def test_zoom_pan_follow_and_all() -> None:
    async with running(one(loss())) as (app, chart, pilot):
        chart.read_at(620)
        await press(pilot, chart, "zoom_in")
        assert chart.x_range == pytest.approx((310, 930))
        assert app.captions[-1] == "linear, smoothing 0.94, steps 310–930"
        await press(pilot, chart, "pan_left")
        assert chart.x_range == pytest.approx((155, 775))
        await press(pilot, chart, "pan_right", "pan_right")
        assert chart.x_range == pytest.approx((465, 1085))
        await press(pilot, chart, "follow")
        assert chart.x_range == pytest.approx((620, 1240))
        await press(pilot, chart, "zoom_out")
        assert chart.x_range == (0, 1240)
        await press(pilot, chart, "zoom_in", "show_all")
        assert chart.window.shows_all


async def test_following_sticks_to_the_tail_until_zoomed() -> None:
    series = loss(1000)
    async with running(one(series)) as (_, chart, pilot):
        await press(pilot, chart, "follow")
        before = chart.x_range
        for step in range(1001, 1101):
            series.append(step, 0.4)
        chart.show(one(series))
        assert chart.x_range == pytest.approx((before[0] + 100, before[1] + 100))
        await press(pilot, chart, "zoom_in")
        series.append(1101, 0.4)
        held = chart.x_range
        chart.show(one(series))
        assert chart.x_range == held


async def test_the_reading_line_takes_the_window_along() -> None:
    async with running(one(loss())) as (_, chart, pilot):
        chart.read_at(620)
        await press(pilot, chart, "zoom_in", "zoom_in", "zoom_in")
        for _ in range(60):
            await chart.run_action("read_right")
        await pilot.pause()
        assert chart.reading is not None
        start, end = chart.x_range
        assert start <= chart.reading.step <= end
        assert end > 620 + 100


async def test_scale_smoothing_dots_and_curves_go_round() -> None:
    rate = Series((step, 1e-4 * step / NUM_STEPS) for step in range(1, NUM_STEPS + 1))
    plots = [*one(loss()), Plot("Learning rate", (Trace(rate),), is_smoothed=False, has_zero=True)]
    async with running(plots) as (app, chart, pilot):
        chart.read_at(100)
        linear = chart.plain_lines
        await press(pilot, chart, "toggle_log")
        assert app.captions[-1].startswith("log, ")
        assert chart.plain_lines != linear
        await press(pilot, chart, "toggle_log")
        assert chart.plain_lines == linear
        for expected in ("smoothing 0.98", "not smoothed", "smoothing 0.8", "smoothing 0.94"):
            await press(pilot, chart, "cycle_smoothing")
            assert expected in app.captions[-1]
        assert app.readings[-1] == chart.reading
        await press(pilot, chart, "toggle_dots")
        assert not chart.has_dots
        await press(pilot, chart, "next_curve")
        assert chart.plot is plots[1]
        assert [row[:8].strip() for row in chart.plain_lines[:-1] if row[:8].strip()] == [
            "1e-4",
            "6.9e-5",
            "3.1e-5",
            "0",
        ]
        assert app.captions[-1] == "linear, steps 0–1,240"
        assert app.readings[-1].raw == pytest.approx(1e-4 * 100 / NUM_STEPS)
        await press(pilot, chart, "next_curve")
        assert chart.plot is plots[0]


async def test_a_drag_zooms_and_a_click_reads() -> None:
    async with running(one(loss())) as (app, chart, pilot):
        await pilot.mouse_down(Chart, offset=(6 + 20, 5))
        await pilot.hover(Chart, offset=(6 + 40, 5))
        assert sum("│" in line for line in chart.plain_lines) > 5
        await pilot.mouse_up(Chart, offset=(6 + 40, 5))
        await pilot.pause()
        start, end = chart.x_range
        assert start == pytest.approx(20 / 71 * NUM_STEPS, abs=10)
        assert end == pytest.approx(40 / 71 * NUM_STEPS, abs=10)
        assert "│" not in "".join(chart.plain_lines)
        assert app.readings == []
        await pilot.click(Chart, offset=(6 + 10, 5))
        await pilot.pause()
        assert start < app.readings[-1].step < end
        assert chart.has_focus


async def test_the_wheel_zooms_around_the_pointer() -> None:
    async with running(one(loss())) as (_, chart, pilot):
        await pilot._post_mouse_events([MouseScrollUp], Chart, offset=(6 + 36, 5), button=0)
        await pilot.pause()
        start, end = chart.x_range
        assert end - start == pytest.approx(NUM_STEPS / 2)
        await pilot._post_mouse_events([MouseScrollDown], Chart, offset=(6 + 36, 5), button=0)
        await pilot.pause()
        assert chart.window.shows_all


async def test_a_chart_that_may_not_zoom_leaves_the_mouse_to_the_page() -> None:
    async with running(one(loss()), can_zoom=False) as (app, chart, pilot):
        await pilot.mouse_down(Chart, offset=(20, 5))
        await pilot.mouse_up(Chart, offset=(40, 5))
        await pilot._post_mouse_events([MouseScrollUp], Chart, offset=(30, 5), button=0)
        await pilot.pause()
        assert chart.window.shows_all
        assert app.readings == []


async def test_only_rows_that_changed_are_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    series = loss()
    async with running(one(series), x_end=2000) as (_, chart, pilot):
        painted: list[Region] = []
        refresh = chart.refresh
        monkeypatch.setattr(
            chart, "refresh", lambda *rows, **options: (painted.extend(rows), refresh(*rows, **options))[1]
        )
        chart.show(one(series), x_end=2000)
        assert painted == []
        for step in range(NUM_STEPS + 1, NUM_STEPS + 40):
            series.append(step, series.values[-1])
        chart.show(one(series), x_end=2000)
        assert 0 < len(painted) <= 3
        await pilot.pause()


async def test_a_small_chart_and_a_run_that_went_back_do_no_harm() -> None:
    series = loss()
    async with running(one(series), size=(12, 3)) as (_, chart, pilot):
        chart.read_at(1200)
        series.cut_back(500)
        chart.show(one(series))
        await press(pilot, chart, "read_left", "zoom_in", "read_right", "follow", "zoom_out")
        assert len(chart.plain_lines) == 3
    async with running(one(Series())) as (_, chart, pilot):
        await press(pilot, chart, "read_left", "zoom_in", "pan_left", "follow", "toggle_log", "next_curve")
        assert chart.reading is None


@pytest.fixture
def ascii_signs() -> Iterator[None]:
    paint.use_ascii(True)
    yield
    paint.use_ascii(False)


@pytest.mark.usefixtures("ascii_signs")
async def test_in_ascii_the_chart_is_ascii() -> None:
    async with running(one(loss(), marks=[(250, 0.5)])) as (_, chart, _pilot):
        assert "".join(chart.plain_lines).isascii()
        assert "o" in "".join(chart.plain_lines)


async def test_colours_follow_the_theme() -> None:
    async with running(one(loss())) as (app, chart, pilot):
        dark = _colours(chart)
        assert (0x8F, 0xA6, 0xFF) in dark  # the accent of studio-dark
        app.theme = "studio-light"
        await pilot.pause()
        assert not dark & _colours(chart)


def test_every_style_is_a_variable_of_the_themes() -> None:
    for theme in house_themes():
        variables = {**theme.to_color_system().generate(), **theme.variables}
        assert {style.removeprefix("$") for style in STYLES.values()} <= set(variables)


def _colours(chart: Chart) -> set[tuple[int, int, int]]:
    return {
        tuple(segment.style.color.triplet)
        for y in range(chart.size.height)
        for segment in chart.render_line(y)
        if segment.style is not None and segment.style.color is not None and segment.style.color.triplet is not None
    }
