"""Which steps are in view: all, following, chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_tui.widgets.window import LEAST_STEPS, Extent, Window, chosen

EXTENT = Extent(0, 1240, 2000)


def test_all_is_the_whole_axis_whatever_comes() -> None:
    assert Window().bounds(EXTENT) == (0, 2000)
    assert Window().bounds(Extent(0, 2500, 2500)) == (0, 2500)
    assert Window().shows_all


def test_zooming_keeps_the_reading_line_in_place() -> None:
    zoomed = Window().zoomed(0.5, 760, EXTENT)
    start, end = zoomed.bounds(EXTENT)
    assert end - start == 1000
    assert (760 - start) / 1000 == pytest.approx(760 / 2000)
    assert zoomed.zoomed(2, 760, EXTENT) == Window()


def test_zooming_stops_at_the_ends_and_at_a_few_steps() -> None:
    assert Window().zoomed(0.5, 2000, EXTENT).bounds(EXTENT) == (1000, 2000)
    window = Window()
    for _ in range(30):
        window = window.zoomed(0.5, 100, EXTENT)
    start, end = window.bounds(EXTENT)
    assert end - start == LEAST_STEPS
    assert start <= 100 <= end


def test_panning_stops_at_the_ends() -> None:
    window = Window(0, 400)
    assert window.panned(-0.25, EXTENT) == window
    assert window.panned(0.25, EXTENT) == Window(100, 400)
    assert Window(1590, 400).panned(0.25, EXTENT) == Window(1600, 400)
    assert Window().panned(0.25, EXTENT) == Window()


def test_following_moves_on_with_the_newest_step() -> None:
    following = Window(100, 400).following(EXTENT)
    assert following.follows
    assert following.bounds(EXTENT) == (840, 1240)
    assert following.bounds(Extent(0, 1300, 2000)) == (900, 1300)
    assert Window().following(EXTENT).bounds(EXTENT) == (992, 1240)


def test_zooming_or_panning_stops_following() -> None:
    following = Window(None, 400)
    assert not following.zoomed(0.5, 1240, EXTENT).follows
    assert following.panned(-0.25, EXTENT) == Window(740, 400)


def test_a_run_too_short_to_follow_shows_all() -> None:
    assert Window().following(Extent(0, 3, 2000)) == Window()


def test_a_window_moves_just_as_far_as_a_step_needs() -> None:
    assert Window(100, 400).holding(90, EXTENT) == Window(90, 400)
    assert Window(100, 400).holding(600, EXTENT) == Window(200, 400)
    assert Window(100, 400).holding(300, EXTENT) == Window(100, 400)
    assert Window().holding(5000, EXTENT) == Window()


def test_a_drag_in_either_direction_chooses_what_lies_between() -> None:
    assert chosen(700, 300, EXTENT) == Window(300, 400)
    assert chosen(300, 301, EXTENT).length == LEAST_STEPS
    assert chosen(0, 2000, EXTENT) == Window()


@given(
    st.lists(st.sampled_from(["in", "out", "left", "right", "follow", "all", "hold"]), max_size=30),
    st.floats(-10, 5000),
    st.integers(0, 3000),
)
def test_no_sequence_of_keys_leaves_the_axis(keys: list[str], around: float, newest: int) -> None:
    extent = Extent(0, newest, max(newest, 2000))
    window = Window()
    for key in keys:
        window = {
            "in": lambda at: at.zoomed(0.5, around, extent),
            "out": lambda at: at.zoomed(2, around, extent),
            "left": lambda at: at.panned(-0.25, extent),
            "right": lambda at: at.panned(0.25, extent),
            "follow": lambda at: at.following(extent),
            "all": lambda at: Window(),
            "hold": lambda at: at.holding(around, extent),
        }[key](window)
        start, end = window.bounds(extent)
        assert extent.first <= start < end <= extent.end + 1e-6
