"""One number over the steps of a run: appended live, smoothed as it grows, thinned to the columns of a chart."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# The weight of the past in the smoothed line that screens show first.
DEFAULT_SMOOTHING = 0.94


class Column(NamedTuple):
    """What one column of a chart stands for: the steps from `x` up to the next column's.

    `low`, `high` and `mean` are over the finite values (NaN where there is none), `smoothed` is the last smoothed value
    (NaN where there is none), `has_bad` says that a value was not finite.
    """

    x: float
    low: float
    high: float
    mean: float
    smoothed: float
    has_bad: bool


class Series:
    """Values by rising step. A value that is not a number (NaN, Inf, unknown) keeps its place as a gap.

    A step that comes again replaces what was there and everything after it: a run that went back takes those steps
    anew. 16 bytes a point, 8 more once it is smoothed.
    """

    __slots__ = ("_bad", "_smoothed", "_smoothing", "_sum", "_weight", "steps", "values")

    def __init__(self, points: Iterable[tuple[int, float | None]] = ()) -> None:
        self.steps = array("q")
        self.values = array("d")
        self._bad: list[int] = []  # places of the values that are not finite, rising
        self._smoothed = array("d")
        self._smoothing: float | None = None
        self._sum = self._weight = 0.0
        for step, value in points:
            self.append(step, value)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def last(self) -> float | None:
        """The newest value, also when it is not finite; None while there is none."""
        return self.values[-1] if self.values else None

    @property
    def last_step(self) -> int | None:
        """The newest step; None while there is none."""
        return self.steps[-1] if self.steps else None

    @property
    def bad_steps(self) -> list[int]:
        """Steps whose value is not finite."""
        return [self.steps[place] for place in self._bad]

    def append(self, step: int, value: float | None) -> None:
        """Add one point; None and every value that is not finite are kept as NaN."""
        if self.steps and step <= self.steps[-1]:
            self.cut_back(step - 1)
        if value is None or not math.isfinite(value):
            self._bad.append(len(self.steps))
            value = math.nan
        self.steps.append(step)
        self.values.append(value)

    def extend(self, steps: Sequence[int], values: Sequence[float]) -> None:
        """Add many points whose steps rise; as `append` one by one, at a fraction of its time."""
        if not steps:
            return
        if self.steps and steps[0] <= self.steps[-1]:
            self.cut_back(steps[0] - 1)
        first = len(self.steps)
        self.steps.extend(steps)
        self.values.extend(values)
        if not math.isfinite(sum(values)):  # one NaN or Inf makes the sum so; an overflow only costs a second look
            for place in range(first, len(self.values)):
                if not math.isfinite(self.values[place]):
                    self.values[place] = math.nan
                    self._bad.append(place)

    def cut_back(self, step: int) -> None:
        """Forget everything after ``step``."""
        kept = bisect_right(self.steps, step)
        if kept == len(self.steps):
            return
        del self.steps[kept:]
        del self.values[kept:]
        del self._bad[bisect_left(self._bad, kept) :]
        if len(self._smoothed) > kept:
            self._forget_smoothed()  # its running sum is past the cut; a resume is rare, so it is made anew

    def smoothed(self, weight: float = DEFAULT_SMOOTHING) -> array[float]:
        """The exponential mean of the finite values so far, with the weight of the start taken out; NaN at gaps.

        Only what was added since the last call is computed, as long as the weight stays the same.

        Args:
            weight: How much of the past is kept from step to step, 0 (nothing: the values themselves) to below 1.
        """
        if weight != self._smoothing:
            self._forget_smoothed()
            self._smoothing = weight
        total, norm = self._sum, self._weight
        fresh, isnan = 1.0 - weight, math.isnan
        for value in self.values[len(self._smoothed) :]:
            if not isnan(value):
                total = weight * total + fresh * value
                norm = weight * norm + fresh
                self._smoothed.append(total / norm)
            else:
                self._smoothed.append(math.nan)
        self._sum, self._weight = total, norm
        return self._smoothed

    def at(self, step: int) -> tuple[int, float] | None:
        """The point at ``step``, else the nearest one; None while there is none."""
        if not self.steps:
            return None
        place = self._nearest(step)
        return self.steps[place], self.values[place]

    def smoothed_at(self, step: int, weight: float = DEFAULT_SMOOTHING) -> float | None:
        """The smoothed value at the point nearest to ``step``; None while there is none."""
        return self.smoothed(weight)[self._nearest(step)] if self.steps else None

    def window(self, x0: float, x1: float) -> tuple[list[int], list[float]]:
        """Steps and values from ``x0`` to ``x1``, both included."""
        first, end = bisect_left(self.steps, x0), bisect_right(self.steps, x1)
        return self.steps[first:end].tolist(), self.values[first:end].tolist()

    def tail(self, num_points: int) -> list[float]:
        """The newest values, oldest first."""
        return self.values[-num_points:].tolist() if num_points > 0 else []

    def thin(
        self, width: int, x0: float | None = None, x1: float | None = None, *, weight: float = DEFAULT_SMOOTHING
    ) -> list[Column]:
        """At most ``width`` columns between ``x0`` and ``x1`` (the whole series by default), spikes kept.

        A column in which no point lies is left out. The last column holds ``x1`` itself too.
        """
        if not self.steps or width < 1:
            return []
        x0 = float(self.steps[0]) if x0 is None else x0
        x1 = float(self.steps[-1]) if x1 is None else x1
        first, last_end = bisect_left(self.steps, x0), bisect_right(self.steps, x1)
        smoothed = self.smoothed(weight)
        each = (x1 - x0) / width
        columns = []
        for index in range(width):
            if first >= last_end:
                break
            is_last = index == width - 1 or each <= 0
            end = last_end if is_last else bisect_left(self.steps, x0 + (index + 1) * each, first, last_end)
            if end > first:
                columns.append(self._column(x0 + index * each, first, end, smoothed))
            first = end
        return columns

    def _column(self, x: float, first: int, end: int, smoothed: array[float]) -> Column:
        values: Sequence[float] = self.values[first:end]
        has_bad = bisect_left(self._bad, first) < bisect_left(self._bad, end)
        last_smoothed = smoothed[end - 1]
        if has_bad:
            values = [value for value in values if not math.isnan(value)]
            finite = [value for value in smoothed[first:end] if not math.isnan(value)]
            last_smoothed = finite[-1] if finite else math.nan
        if not values:
            return Column(x, math.nan, math.nan, math.nan, math.nan, has_bad)
        return Column(x, min(values), max(values), sum(values) / len(values), last_smoothed, has_bad)

    def _nearest(self, step: int) -> int:
        place = bisect_left(self.steps, step)
        if place == len(self.steps):
            return place - 1
        if place > 0 and step - self.steps[place - 1] < self.steps[place] - step:
            return place - 1
        return place

    def _forget_smoothed(self) -> None:
        self._smoothed = array("d")
        self._sum = self._weight = 0.0
