"""Plots: which curves are drawn, and the values at the reading line."""

from __future__ import annotations

import math

from acestep_tui.runs.series import Series
from acestep_tui.widgets.plots import Plot, Reading, Trace, nearest, neighbour

LOSS = Series([(1, 0.7), (2, 0.6), (4, None), (5, 0.5)])


def test_a_smoothed_plot_has_lines_over_single_steps() -> None:
    curves = Plot("Loss", (Trace(LOSS),)).curves(0.94)
    assert [(curve.style, curve.is_line) for curve in curves] == [("line", True), ("dots", False)]
    assert curves[0].ys is LOSS.smoothed(0.94)
    assert curves[1].ys is LOSS.values


def test_without_smoothing_the_line_is_the_values() -> None:
    for plot, smoothing in (
        (Plot("Loss", (Trace(LOSS),)), 0.0),
        (Plot("Rate", (Trace(LOSS),), is_smoothed=False), 0.94),
    ):
        (curve,) = plot.curves(smoothing)
        assert curve.is_line
        assert curve.ys is LOSS.values


def test_runs_side_by_side_keep_their_letters_and_colours() -> None:
    plot = Plot("Loss", (Trace(LOSS, "A"), Trace(LOSS, "B"), Trace(LOSS, "C")), has_dots=False)
    assert [(curve.style, curve.letter) for curve in plot.curves(0.94)] == [
        ("line", "A"),
        ("line2", "B"),
        ("line3", "C"),
    ]


def test_a_reading_has_the_newest_held_out_value_up_to_its_step() -> None:
    plot = Plot("Loss", (Trace(LOSS), Trace(Series([(2, 0.9)]), "B")), marks=[(0, 0.65), (2, 0.6), (3, None), (9, 0.4)])
    assert plot.reading(5, 0.0) == Reading(5, 0.5, 0.5, 0.6, 2, (("B", None, None),))
    smoothed = plot.reading(5, 0.94).smoothed
    assert smoothed is not None
    assert 0.5 < smoothed < 0.7
    assert plot.reading(2, 0.0).others == (("B", 0.9, 0.9),)
    assert plot.reading(3, 0.0).raw is None


def test_a_reading_of_what_is_no_number_says_so() -> None:
    reading = Plot("Loss", (Trace(LOSS),)).reading(4, 0.94)
    assert reading.raw is not None
    assert math.isnan(reading.raw)
    assert reading.heldout is None


def test_a_plot_without_points_is_empty() -> None:
    plot = Plot("Loss", (Trace(Series()),))
    assert plot.newest == 0
    assert list(plot.longest_steps) == []
    assert Plot("Loss", ()).reading(3, 0.94) == Reading(3)
    assert Plot("Loss", (Trace(LOSS), Trace(Series([(9, 1.0)])))).newest == 9


def test_the_nearest_step_has_a_value() -> None:
    steps = [10, 20, 30]
    assert [nearest(steps, place) for place in (-5, 14, 15, 16, 99)] == [10, 10, 20, 20, 30]
    assert nearest([], 3) is None


def test_a_neighbour_is_at_least_the_next_step_and_stops_at_the_end() -> None:
    steps = [10, 20, 30, 40, 100]
    assert neighbour(steps, 20, 2, 1) == 30
    assert neighbour(steps, 20, 25, 1) == 40
    assert neighbour(steps, 100, 2, 1) == 100
    assert neighbour(steps, 40, 2, -1) == 30
    assert neighbour(steps, 40, 25, -1) == 20
    assert neighbour(steps, 10, 2, -1) == 10
    assert neighbour([], 10, 2, -1) is None
