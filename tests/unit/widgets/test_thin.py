"""Thinning: fewer columns, and yet no extreme is lost."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from acestep_tui.widgets.thin import Column, Columns, Curve, thin


def thinned(ys: Sequence[float | None], num_columns: int, *, is_line: bool = False) -> list[Column]:
    return thin(Curve(range(len(ys)), ys, is_line=is_line), Columns(0, len(ys) - 1, num_columns)).columns


def test_each_column_keeps_lowest_highest_and_newest() -> None:
    assert thinned([1.0, 5.0, 2.0, 3.0, 0.0, 4.0], 2) == [
        Column(0, 1.0, 5.0, 2.0, False),
        Column(1, 0.0, 4.0, 4.0, False),
    ]


def test_a_single_spike_among_many_survives() -> None:
    values = array("d", [0.4] * 10_000)
    values[6_789] = 9.0
    columns = thinned(values, 150)
    assert len(columns) == 150
    assert [column.high for column in columns if column.high > 1] == [9.0]
    assert max(column.high for column in columns) == 9.0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=600), st.integers(2, 20))
def test_many_and_few_steps_a_column_are_cut_alike(values: list[float], num_columns: int) -> None:
    window = Columns(0, len(values) - 1, num_columns)
    columns = thin(Curve(range(len(values)), values, is_line=False), window).columns
    by_hand: dict[int, list[float]] = {}
    for step, value in enumerate(values):
        by_hand.setdefault(math.floor(step / (len(values) - 1) * (num_columns - 1) + 0.5), []).append(value)
    assert min(column.low for column in columns) == min(values)
    assert max(column.high for column in columns) == max(values)
    # At an exact half a step may fall either way by the last bit; then at most the neighbours differ.
    assert abs(len(columns) - len(by_hand)) <= 1
    assert [column.x for column in columns] == sorted({column.x for column in columns})


def test_only_the_window_counts_but_a_line_goes_on_beyond_it() -> None:
    curve = Curve([0, 10, 20, 30, 40], [1.0, 2.0, 3.0, 4.0, 5.0])
    window = Columns(10, 30, 21)
    assert [column.x for column in thin(curve, window).columns] == [-10, 0, 10, 20, 30]
    dots = Curve(curve.xs, curve.ys, is_line=False)
    assert [column.x for column in thin(dots, window).columns] == [0, 10, 20]


def test_values_that_are_no_numbers_are_told_from_gaps() -> None:
    cut = thin(Curve(range(5), [1.0, math.nan, 2.0, None, math.inf]), Columns(0, 4, 5))
    assert [column.x for column in cut.columns] == [0, 2]
    assert cut.bad == [1, 4]
    assert cut.gaps == [1, 3, 4]


def test_a_bad_value_among_good_ones_breaks_the_column_and_keeps_its_values() -> None:
    cut = thin(Curve(range(4), [1.0, math.nan, 3.0, 2.0]), Columns(0, 3, 2))
    assert cut.columns == [Column(0, 1.0, 1.0, 1.0, True), Column(1, 2.0, 3.0, 2.0, False)]
    assert cut.bad == [0]
    assert cut.gaps == []


def test_more_steps_than_values_and_steps_far_away_do_no_harm() -> None:
    assert thin(Curve(range(10), [1.0, 2.0]), Columns(0, 9, 4)).columns
    cut = thin(Curve([-math.inf, 0, math.inf], [1.0, 2.0, 3.0]), Columns(-1, 1, 4))
    assert [column.last for column in cut.columns] == [1.0, 2.0, 3.0]
    assert thin(Curve([math.nan], [1.0]), Columns(0, 1, 4)).columns == []
