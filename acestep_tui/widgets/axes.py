"""The axes of a chart: limits, scales, and the words at them. Pure functions of numbers, no Textual."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Far beyond any loss or step, near enough that differences and ratios stay finite.
LARGEST = 1e150
_SMALLEST = 1e-150
_FARTHEST_DOT = 10**6
_MAX_DECIMALS = 8
_LABEL_GAP = 4


def clamp(value: float) -> float:
    """A finite value that arithmetic survives."""
    return min(max(value, -LARGEST), LARGEST)


@dataclass(frozen=True, slots=True)
class Scale:
    """The y axis: from a value to a row of dots, row 0 on top.

    Attributes:
        low: Value at the bottom.
        high: Value at the top, above `low`.
        is_log: Whether equal ratios are equally far apart; then both limits are positive.
        decimals: Places after the point that tell labels apart (linear scale).
    """

    low: float
    high: float
    is_log: bool = False
    decimals: int = 2

    def share(self, value: float) -> float | None:
        """Where a value lies between bottom (0) and top (1); None where the scale has no place for it."""
        value = clamp(value)
        if not self.is_log:
            return (value - self.low) / (self.high - self.low)
        if value <= 0:
            return None
        return math.log(max(value, _SMALLEST) / self.low) / math.log(self.high / self.low)

    def dot(self, value: float, num_dots: int) -> int | None:
        """The row of dots of a value, maybe outside ``0 … num_dots - 1``; None where the scale has no place for it."""
        share = self.share(value)
        if share is None:
            return None
        return round(min(max((1 - share) * (num_dots - 1), -_FARTHEST_DOT), _FARTHEST_DOT))

    def at(self, share: float) -> float:
        """The value at a share of the way from bottom to top."""
        if self.is_log:
            return self.low * math.pow(self.high / self.low, share)
        return self.low + (self.high - self.low) * share

    def label(self, share: float) -> str:
        """The value at a share of the way up, as short as tells it from the other labels."""
        value = self.at(share)
        if self.is_log:
            return _significant(value, 2)
        largest = max(abs(self.low), abs(self.high))
        if largest >= 1e6 or largest < 1e-3:
            return _scientific(value, _exponent(value) - _exponent((self.high - self.low) / 100))
        return f"{round(value, self.decimals) + 0.0:,.{self.decimals}f}"  # + 0.0: no minus before a zero


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def _scientific(value: float, num_digits: int) -> str:
    """``1e-4``, ``4.1e-5``, ``0``."""
    if not value:
        return "0"
    mantissa, _, exponent = f"{value:.{min(max(num_digits, 0), _MAX_DECIMALS)}e}".partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def _significant(value: float, num_digits: int) -> str:
    if not 1e-3 <= value < 1e6:
        return _scientific(value, num_digits - 1)
    return f"{value:,.{max(num_digits - 1 - _exponent(value), 0)}f}"


def fit_scale(values: Iterable[float], *, is_log: bool = False, has_zero: bool = False) -> Scale | None:
    """The scale that holds all values, with round limits.

    Args:
        values: What will be shown; what is not finite (and, on a log scale, not positive) is left out.
        is_log: Whether to make a log scale.
        has_zero: Whether 0 belongs to the axis (ignored on a log scale).

    Returns:
        The scale, or None if there is nothing to hold.
    """
    fitting = [clamp(value) for value in values if math.isfinite(value) and (value > 0 or not is_log)]
    if not fitting:
        return None
    low, high = min(fitting), max(fitting)
    if has_zero and not is_log:
        low, high = min(low, 0.0), max(high, 0.0)
    return _log_scale(low, high) if is_log else linear_scale(low, high)


def linear_scale(low: float, high: float) -> Scale:
    """A linear scale from ``low`` to ``high``, both moved outwards to the next round value."""
    low, high = clamp(low), clamp(high)
    size = max(abs(low), abs(high))
    if high - low <= max(size * 1e-9, _SMALLEST):
        spare = max(size * 0.1, _SMALLEST * 10) if size else 0.5
        low, high = low - spare, high + spare
    quantum = 10.0 ** (_exponent(high - low) - 1)
    # The 1e-6 forgives what floats lose: 0.66 is 66.00000000000001 hundredths, not 67.
    low, high = math.floor(low / quantum + 1e-6) * quantum, math.ceil(high / quantum - 1e-6) * quantum
    return Scale(low, high, decimals=min(max(-_exponent(quantum * 1.000001), 0), _MAX_DECIMALS))


def _log_scale(low: float, high: float) -> Scale:
    low, high = max(low, _SMALLEST), max(high, _SMALLEST)
    if high / low <= 1 + 1e-9:
        low, high = low / 1.1, high * 1.1
    quantum = 10.0 ** (_exponent(low) - 1)
    low = math.floor(low / quantum + 1e-6) * quantum
    quantum = 10.0 ** (_exponent(high) - 1)
    return Scale(low, math.ceil(high / quantum - 1e-6) * quantum, is_log=True)


def label_rows(num_rows: int, num_labels: int) -> dict[int, float]:
    """Which rows of a plot carry a label, and at what share of the way up (1 on top).

    Args:
        num_rows: Height of the plot.
        num_labels: How many labels are wanted; top and bottom have one in any case.
    """
    if num_rows <= 1:
        return dict.fromkeys(range(num_rows), 1.0)
    steps = min(max(num_labels, 2), num_rows) - 1
    rows = [round(index * (num_rows - 1) / steps) for index in range(steps + 1)]
    return {row: 1 - row / (num_rows - 1) for row in rows}


def default_num_labels(num_rows: int) -> int:
    """How many labels a y axis of this height carries unless told otherwise."""
    for least_rows, num_labels in ((20, 6), (16, 4), (11, 5), (7, 3)):
        if num_rows >= least_rows:
            return num_labels
    return 2


def ticks(x_0: float, x_1: float, max_intervals: int) -> list[float]:
    """Both ends of the x axis and the round whole numbers between them, at most ``max_intervals`` apart."""
    span = x_1 - x_0
    if max_intervals < 2 or not 1 < span < LARGEST:
        return [x_0, x_1]
    decade = 10.0 ** _exponent(span / max_intervals)
    sizes = (decade * factor for factor in (1, 2, 2.5, 5, 10, 20))
    size = next((size for size in sizes if size >= 1 and size == int(size) and span / size <= max_intervals), 1.0)
    first, last = math.floor(x_0 / size) + 1, math.ceil(x_1 / size) - 1
    return [x_0, *(count * size for count in range(first, last + 1)), x_1]


def step_label(step: float) -> str:
    """A step on the x axis: ``1,240``."""
    return f"{step:,.0f}" if abs(step) < 1e12 else _scientific(step, 1)


def tick_row(x_0: float, x_1: float, width: int, max_intervals: int) -> str:
    """The words under the x axis: both ends flush, the others centred under their place unless they would crowd."""
    places = ticks(x_0, x_1, max_intervals)
    first, last = step_label(places[0]), step_label(places[-1])
    if len(first) + len(last) + 2 > width:
        return last.rjust(width)[:width] if len(last) <= width else " " * width
    row, end = first, width - len(last)
    for place in places[1:-1]:
        label = step_label(place)
        start = round((place - x_0) / (x_1 - x_0) * (width - 1)) - len(label) // 2
        if start >= len(row) + _LABEL_GAP and start + len(label) + _LABEL_GAP <= end:
            row = row.ljust(start) + label
    return row.ljust(end) + last


def spread_labels(labels: Sequence[str], width: int) -> str:
    """Words spread evenly from edge to edge: ``0:00        1:48        3:36``."""
    row = ""
    for index, label in enumerate(labels):
        start = index * (width - len(label)) // max(len(labels) - 1, 1)
        if start >= len(row) + (1 if row else 0):
            row = row.ljust(start) + label
    return row.ljust(width)[: max(width, 0)]
