"""Curves cut and thinned to the columns of a chart. Pure functions, no Textual.

Each column of dots keeps its lowest, highest and newest value, so a single spike among 200,000 steps is still on the
screen. The work is done on slices (``min``, ``max``, ``sum``), never value by value.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_FARTHEST_COLUMN = 10**6


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a chart.

    Attributes:
        xs: Steps, ascending.
        ys: Values; NaN and Inf are shown as ``✗``, None is a gap.
        style: ``line``, ``line2``, ``line3`` or ``dots``.
        is_line: Whether values are connected; else each is a dot.
        letter: One letter at its end, to tell curves apart without colour.
    """

    xs: Sequence[float]
    ys: Sequence[float | None]
    style: str = "line"
    is_line: bool = True
    letter: str = ""


class Column(NamedTuple):
    """The values of a curve that fall into one column of dots."""

    x: int
    low: float
    high: float
    last: float
    is_broken: bool
    """Whether a value is missing here, so that the line may not be drawn on from here or to here."""


@dataclass(frozen=True, slots=True)
class Thinned:
    """A curve cut to a window of steps.

    Attributes:
        columns: Columns with at least one finite value, ascending; before and after the window one more, if any.
        bad: Columns in which a value is NaN or Inf.
        gaps: Columns in which every value is missing or not finite.
    """

    columns: list[Column]
    bad: list[int]
    gaps: list[int]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of dots over a window of steps: the first one stands on ``x_0``, the last one on ``x_1``."""

    x_0: float
    x_1: float
    num_columns: int

    @property
    def _each(self) -> float:
        return (self.x_1 - self.x_0) / (self.num_columns - 1)

    def of(self, x: float) -> int | None:
        """The column nearest to a step, maybe outside ``0 … num_columns - 1``; None where the step is no number."""
        position = (x - self.x_0) / self._each
        if math.isnan(position):
            return None
        return math.floor(min(max(position, -_FARTHEST_COLUMN), _FARTHEST_COLUMN) + 0.5)

    def end(self, column: int) -> float:
        """The first step that belongs to a later column."""
        return self.x_0 + (column + 0.5) * self._each


def thin(curve: Curve, columns: Columns) -> Thinned:
    """Cut a curve to the window of ``columns`` and thin it so that every extreme is kept."""
    thinned = Thinned([], [], [])
    first, last = bisect_left(curve.xs, columns.x_0), bisect_right(curve.xs, columns.x_1)
    for x, start, end in _slices(curve.xs, first, last, columns):
        values = curve.ys[start:end]
        _add(thinned, x, values.tolist() if isinstance(values, array) else values)  # a list is read faster, thrice
    if curve.is_line:  # the line goes on to the right and comes in from the left
        after, before = _outside(curve, last, columns), _outside(curve, first - 1, columns)
        thinned.columns.extend(after.columns)
        thinned.columns[:0] = before.columns
        thinned.gaps.extend([*after.gaps, *before.gaps])
    return thinned


def _outside(curve: Curve, index: int, columns: Columns) -> Thinned:
    found = Thinned([], [], [])
    if 0 <= index < min(len(curve.xs), len(curve.ys)):
        x = columns.of(curve.xs[index])
        if x is not None:
            _add(found, x, curve.ys[index : index + 1])
    return found


def _slices(xs: Sequence[float], first: int, last: int, columns: Columns) -> Iterator[tuple[int, int, int]]:
    """Columns that hold steps, each with the slice of its steps."""
    if last - first > 4 * columns.num_columns:  # few columns, many steps: look for the columns' edges
        start = first
        for column in range(columns.num_columns):
            is_last = column == columns.num_columns - 1
            end = last if is_last else bisect_left(xs, columns.end(column), start, last)
            if end > start:
                yield column, start, end
            start = end
        return
    start, current = first, None
    for index in range(first, last):
        x = columns.of(xs[index])
        if x != current:
            if current is not None:
                yield current, start, index
            start, current = index, x
    if current is not None:
        yield current, start, last


def _add(thinned: Thinned, x: int, values: Sequence[float | None]) -> None:
    finite: Sequence[float] = values  # type: ignore[assignment]  # checked by the sum
    is_broken = False
    try:
        total = sum(finite)
        is_clean = total - total == 0
    except TypeError:  # a None among them
        is_clean = False
    if not is_clean:
        known = [value for value in values if value is not None]
        finite = [value for value in known if math.isfinite(value)]
        if len(finite) < len(known):
            thinned.bad.append(x)
        is_broken = len(finite) < len(values)
    if finite:
        thinned.columns.append(Column(x, min(finite), max(finite), finite[-1], is_broken))
    elif values:
        thinned.gaps.append(x)
