"""What a chart shows: plots of traces over points, and the values at its reading line. No Textual."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from acestep_tui.widgets.thin import Curve

# How much of the past the smoothed line keeps from step to step; the first one is shown first.
SMOOTHINGS = (0.94, 0.98, 0.0, 0.8)

_LINE_STYLES = ("line", "line2", "line3")


class Points(Protocol):
    """Values by step, as `acestep_tui.runs.series.Series` keeps them."""

    @property
    def steps(self) -> Sequence[int]:
        """Steps, ascending."""

    @property
    def values(self) -> Sequence[float]:
        """One value a step; NaN where there is none."""

    def smoothed(self, weight: float) -> Sequence[float]:
        """The smoothed values, one a step."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One run's curve in a plot.

    Attributes:
        points: Its values; they may grow between two redraws.
        letter: Its letter where several runs are compared.
    """

    points: Points
    letter: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """What one chart shows at a time.

    Attributes:
        name: What the values are: ``Loss``.
        traces: Curves, at most three.
        marks: Held-out points ``(step, value)``, by step.
        is_smoothed: Whether the line is smoothed and single steps are dots; else the line is the values.
        has_dots: Whether single steps are drawn at all.
        has_zero: Whether the y axis begins at 0.
    """

    name: str
    traces: tuple[Trace, ...]
    marks: Sequence[tuple[int, float | None]] = ()
    is_smoothed: bool = True
    has_dots: bool = True
    has_zero: bool = False

    def curves(self, smoothing: float) -> list[Curve]:
        """What is drawn at this smoothing: lines, and under them the single steps."""
        curves, is_smoothed = [], self.is_smoothed and smoothing > 0
        for trace, style in zip(self.traces, _LINE_STYLES, strict=False):
            points = trace.points
            ys = points.smoothed(smoothing) if is_smoothed else points.values
            curves.append(Curve(points.steps, ys, style, letter=trace.letter))
            if is_smoothed and self.has_dots:
                curves.append(Curve(points.steps, points.values, "dots", is_line=False))
        return curves

    @property
    def newest(self) -> int:
        """The newest step with a value; 0 while there is none."""
        return max((trace.points.steps[-1] for trace in self.traces if trace.points.steps), default=0)

    @property
    def longest_steps(self) -> Sequence[int]:
        """The steps of the trace with the most points."""
        return max((trace.points.steps for trace in self.traces), key=len, default=())

    def reading(self, step: int, smoothing: float) -> Reading:
        """The values at one step."""
        values = [(trace.letter, *self._values(trace.points, step, smoothing)) for trace in self.traces]
        _, raw, smoothed = values[0] if values else ("", None, None)
        heldout, heldout_step = None, None
        for at, value in self.marks:
            if at <= step and value is not None:
                heldout, heldout_step = value, at
        return Reading(step, raw, smoothed, heldout, heldout_step, tuple(values[1:]))

    def _values(self, points: Points, step: int, smoothing: float) -> tuple[float | None, float | None]:
        place = bisect_left(points.steps, step)
        if place >= len(points.steps) or points.steps[place] != step:
            return None, None
        raw = points.values[place]
        return raw, points.smoothed(smoothing)[place] if self.is_smoothed and smoothing else raw


@dataclass(frozen=True, slots=True)
class Reading:
    """Values at the reading line. None where there is none; NaN where it is not a number.

    Attributes:
        step: The step the line stands on.
        raw: The value of this step.
        smoothed: The smoothed value.
        heldout: The newest held-out value up to this step.
        heldout_step: The step it was measured at.
        others: Raw and smoothed values of the further curves, by letter.
    """

    step: int
    raw: float | None = None
    smoothed: float | None = None
    heldout: float | None = None
    heldout_step: int | None = None
    others: tuple[tuple[str, float | None, float | None], ...] = ()


def nearest(steps: Sequence[int], step: float) -> int | None:
    """The step nearest to a place on the axis; None while there is none."""
    if not steps:
        return None
    place = min(bisect_left(steps, step), len(steps) - 1)
    if place and step - steps[place - 1] < steps[place] - step:
        place -= 1
    return steps[place]


def neighbour(steps: Sequence[int], step: int, reach: float, direction: int) -> int | None:
    """The step about ``reach`` away to the left (-1) or right (1), at least the next one; at the end, the end."""
    if not steps:
        return None
    if direction > 0:
        place = max(bisect_right(steps, step + reach) - 1, bisect_right(steps, step))
    else:
        place = min(bisect_left(steps, step - reach), bisect_left(steps, step) - 1)
    return steps[min(max(place, 0), len(steps) - 1)]
