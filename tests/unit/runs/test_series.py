from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_tui.runs.series import Series

NAN, INF = math.nan, math.inf


def test_values_by_step_and_what_is_not_finite_is_a_gap() -> None:
    series = Series([(1, 0.5), (2, None), (3, INF), (4, 0.25)])
    assert series.steps.tolist() == [1, 2, 3, 4]
    assert [value for value in series.values if not math.isnan(value)] == [0.5, 0.25]
    assert series.bad_steps == [2, 3]
    assert (series.last, series.last_step) == (0.25, 4)
    assert (Series().last, Series().last_step) == (None, None)


def test_step_that_comes_again_replaces_it_and_all_after_it() -> None:
    series = Series([(1, 1.0), (2, NAN), (3, 3.0), (4, 4.0)])
    series.append(2, 20.0)
    assert series.steps.tolist() == [1, 2]
    assert series.values.tolist() == [1.0, 20.0]
    assert series.bad_steps == []


def test_going_back_forgets_the_smoothed_line_too() -> None:
    series = Series([(step, float(step)) for step in range(1, 10)])
    series.smoothed(0.5)
    series.cut_back(3)
    series.append(4, 40.0)
    assert series.smoothed(0.5).tolist() == Series([(1, 1), (2, 2), (3, 3), (4, 40)]).smoothed(0.5).tolist()


def test_smoothed_line_has_no_pull_towards_zero_and_skips_gaps() -> None:
    series = Series([(1, 2.0), (2, 2.0), (3, NAN), (4, 2.0)])
    smoothed = series.smoothed(0.9).tolist()
    assert smoothed[0] == pytest.approx(2.0)
    assert smoothed[1] == pytest.approx(2.0)
    assert math.isnan(smoothed[2])
    assert smoothed[3] == pytest.approx(2.0)
    assert Series([(1, 1.0), (2, 3.0)]).smoothed(0.5)[1] == pytest.approx((0.25 * 1 + 0.5 * 3) / 0.75)
    assert series.smoothed(0.0)[0] == 2.0


def test_smoothing_as_it_grows_equals_smoothing_at_once() -> None:
    points = [(step, math.sin(step)) for step in range(200)]
    whole, grown = Series(points), Series()
    for step, value in points:
        grown.append(step, value)
        grown.smoothed(0.94)
    assert grown.smoothed(0.94).tolist() == whole.smoothed(0.94).tolist()
    assert grown.smoothed(0.5).tolist() == whole.smoothed(0.5).tolist()


def test_spikes_survive_thinning() -> None:
    series = Series([(step, 9.0 if step == 777 else -9.0 if step == 333 else 0.0) for step in range(1, 1001)])
    columns = series.thin(20)
    assert len(columns) == 20
    assert max(column.high for column in columns) == 9.0
    assert min(column.low for column in columns) == -9.0


def test_columns_say_where_a_value_was_bad_and_leave_it_out_of_their_limits() -> None:
    series = Series([(1, 1.0), (2, NAN), (3, 3.0), (4, NAN), (5, NAN), (6, 6.0)])
    first, second, third = series.thin(3, 1, 7)
    assert (first.low, first.high, first.has_bad) == (1.0, 1.0, True)
    assert (second.low, second.high, second.mean, second.has_bad) == (3.0, 3.0, 3.0, True)
    assert math.isnan(third.low) is False
    assert third.has_bad is True
    assert third.smoothed == pytest.approx(series.smoothed()[5])


def test_window_and_reading_at_a_step() -> None:
    series = Series([(10, 1.0), (20, 2.0), (30, 3.0)])
    assert series.window(15, 30) == ([20, 30], [2.0, 3.0])
    assert series.at(24) == (20, 2.0)
    assert series.at(26) == (30, 3.0)
    assert series.at(999) == (30, 3.0)
    assert series.at(-5) == (10, 1.0)
    assert Series().at(1) is None
    assert series.smoothed_at(11, 0.0) == 1.0
    assert Series().smoothed_at(11) is None
    assert series.tail(2) == [2.0, 3.0]


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=60), st.integers(1, 40))
def test_any_values_thin_to_columns_that_hold_them(values: list[float | None], width: int) -> None:
    series = Series(enumerate(values))
    columns = series.thin(width)
    assert len(columns) <= width
    assert [column.x for column in columns] == sorted(column.x for column in columns)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    lows = [column.low for column in columns if not math.isnan(column.low)]
    highs = [column.high for column in columns if not math.isnan(column.high)]
    assert min(lows, default=None) == min(finite, default=None)
    assert max(highs, default=None) == max(finite, default=None)
    assert any(column.has_bad for column in columns) == (len(finite) < len(values))


@given(st.lists(st.floats(), min_size=1, max_size=40), st.integers(0, 40))
def test_extending_equals_appending(values: list[float], cut: int) -> None:
    one, many = Series(), Series()
    for step, value in enumerate(values):
        one.append(step, value)
    many.extend(range(cut), [0.0] * cut)  # replaced from step 0 on
    many.extend(range(len(values)), values)
    assert many.steps == one.steps
    assert many.bad_steps == one.bad_steps
    assert str(many.values) == str(one.values)
