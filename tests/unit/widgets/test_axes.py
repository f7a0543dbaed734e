"""Limits, scales and the words at the axes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_tui.widgets.axes import (
    Scale,
    default_num_labels,
    fit_scale,
    label_rows,
    spread_labels,
    tick_row,
    ticks,
)

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def labels(scale: Scale, num_rows: int, num_labels: int) -> list[str]:
    return [scale.label(share) for share in label_rows(num_rows, num_labels).values()]


def fitted(*values: float, is_log: bool = False, has_zero: bool = False) -> Scale:
    scale = fit_scale(values, is_log=is_log, has_zero=has_zero)
    assert scale is not None
    return scale


@pytest.mark.parametrize(
    ("num_rows", "num_labels", "shown"),
    [
        (9, 3, ["0.66", "0.51", "0.36"]),  # monitor-80x24
        (14, 5, ["0.66", "0.59", "0.52", "0.43", "0.36"]),  # monitor-120x40
        (23, 6, ["0.66", "0.61", "0.54", "0.48", "0.41", "0.36"]),  # loss-zoomed-120x40
        (17, 4, ["0.66", "0.57", "0.45", "0.36"]),  # loss-zoomed-80x24
        (4, 3, ["0.66", "0.46", "0.36"]),  # monitor-crashed-80x24
    ],
)
def test_labels_are_those_of_the_mock_ups(num_rows: int, num_labels: int, shown: list[str]) -> None:
    assert labels(fitted(0.3621, 0.6588), num_rows, num_labels) == shown


@pytest.mark.parametrize(("num_rows", "num_labels"), [(9, 3), (14, 5), (23, 6), (17, 4), (2, 2), (4, 2)])
def test_the_default_number_of_labels_goes_by_height(num_rows: int, num_labels: int) -> None:
    assert default_num_labels(num_rows) == num_labels


def test_rows_of_labels_are_top_bottom_and_evenly_between() -> None:
    assert list(label_rows(9, 3)) == [0, 4, 8]
    assert list(label_rows(14, 5)) == [0, 3, 6, 10, 13]
    assert list(label_rows(8, 3)) == [0, 4, 7]
    assert list(label_rows(2, 6)) == [0, 1]
    assert label_rows(1, 3) == {0: 1.0}
    assert label_rows(0, 3) == {}


@pytest.mark.parametrize(
    ("values", "has_zero", "shown"),
    [
        ((0.0, 1e-4), False, ["1e-4", "0"]),
        ((2e-5, 9.8e-5), True, ["9.8e-5", "0"]),
        ((0.11, 0.8), True, ["0.80", "0.00"]),
        ((0.0, 1.0), False, ["1.0", "0.0"]),
        ((0.41281, 0.41283), False, ["0.412830", "0.412810"]),
        ((12.0, 4300.0), False, ["4,300", "0"]),
        ((-3.0, -1.0), False, ["-1.0", "-3.0"]),
        ((-1e-9, 2.0), False, ["2.0", "0.0"]),
        ((1e9, 3e9), False, ["3e9", "1e9"]),
    ],
)
def test_labels_have_as_many_places_as_they_need(values: tuple[float, ...], has_zero: bool, shown: list[str]) -> None:
    assert labels(fitted(*values, has_zero=has_zero), 5, 2) == shown


def test_one_value_and_equal_values_stand_in_the_middle() -> None:
    for values in ((0.5,), (0.5, 0.5, 0.5)):
        scale = fitted(*values)
        assert (scale.label(1), scale.label(0)) == ("0.55", "0.45")
        assert scale.share(0.5) == pytest.approx(0.5)
    assert (fitted(0.0).low, fitted(0.0).high) == (-0.5, 0.5)


def test_what_is_not_a_number_does_not_move_the_limits() -> None:
    assert fitted(0.4, math.nan, 0.6, math.inf, -math.inf) == fitted(0.4, 0.6)
    assert fit_scale([math.nan, math.inf]) is None
    assert fit_scale([]) is None


def test_a_log_scale_spaces_ratios_evenly_and_has_no_place_for_zero() -> None:
    scale = fitted(0.01, 1.0, 0.0, -5.0, is_log=True)
    assert [scale.label(share) for share in (1, 0.5, 0)] == ["1.0", "0.10", "0.010"]
    assert scale.dot(0.1, 9) == 4
    assert scale.dot(0.0, 9) is None
    assert scale.dot(-1.0, 9) is None
    assert fit_scale([0.0, -1.0], is_log=True) is None
    assert labels(fitted(0.36, 0.66, is_log=True), 9, 2) == ["0.66", "0.36"]


def test_dots_run_from_the_top_down() -> None:
    scale = fitted(0.0, 1.0)
    assert [scale.dot(value, 5) for value in (1.0, 0.75, 0.5, 0.0)] == [0, 1, 2, 4]
    assert scale.dot(2.0, 5) == -4


@given(st.lists(ANY_FLOAT, max_size=8), st.booleans(), st.booleans(), ANY_FLOAT)
def test_scales_take_any_floats(values: list[float], is_log: bool, has_zero: bool, other: float) -> None:
    scale = fit_scale(values, is_log=is_log, has_zero=has_zero)
    if scale is None:
        return
    assert scale.low < scale.high
    assert all(len(scale.label(share)) <= 20 for share in (0.0, 0.3, 1.0))
    for value in values:
        if math.isfinite(value) and (value > 0 or not is_log):
            dot = scale.dot(value, 40)
            assert dot is not None
            assert 0 <= dot < 40
    if not math.isnan(other):
        dot = scale.dot(other, 40)
        assert dot is None or abs(dot) <= 10**6


@pytest.mark.parametrize(
    ("x_1", "width", "max_intervals", "row"),
    [
        (2000, 72, 5, "0                500              1,000            1,500           2,000"),
        (1240, 72, 5, "0            250            500           750          1,000       1,240"),
        (1500, 72, 5, "0                      500                   1,000                 1,500"),
        (2000, 72, 2, "0                                 1,000                            2,000"),
        (2000, 70, 5, "0               500             1,000             1,500          2,000"),
        (2000, 33, 2, "0             1,000         2,000"),
        (1240, 50, 2, "0                                            1,240"),
        (12, 40, 5, "0               5              10     12"),
        (3, 30, 5, "0         1        2         3"),
    ],
)
def test_steps_stand_as_in_the_mock_ups(x_1: int, width: int, max_intervals: int, row: str) -> None:
    assert tick_row(0, x_1, width, max_intervals) == row


def test_a_window_is_labelled_at_its_own_ends() -> None:
    assert ticks(412, 733, 5) == [412, 500, 600, 700, 733]
    assert tick_row(412, 733, 60, 5) == "412            500                600                    733"
    assert tick_row(0, 2000, 7, 5) == "  2,000"
    assert tick_row(0, 2000, 3, 5) == "   "


@given(st.floats(-1e15, 1e15), st.floats(1e-3, 1e15), st.integers(0, 200), st.integers(1, 12))
def test_a_row_of_steps_is_exactly_as_wide_as_asked(x_0: float, span: float, width: int, max_intervals: int) -> None:
    assert len(tick_row(x_0, x_0 + span, width, max_intervals)) == width


def test_words_are_spread_from_edge_to_edge() -> None:
    assert spread_labels(["0", "1,000", "2,000"], 60) == "0" + " " * 26 + "1,000" + " " * 23 + "2,000"
    assert spread_labels(["0:00", "1:48", "3:36"], 20) == "0:00    1:48    3:36"
    assert spread_labels(["left"], 8) == "left    "
    assert spread_labels(["0:00", "3:36"], 6) == "0:00  "
    assert spread_labels([], 3) == "   "
