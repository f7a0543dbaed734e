"""Which steps a chart shows: all, the newest ones, or a part that was chosen. Pure; positions are steps."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_STEPS = 8.0
_FOLLOWED_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is to show.

    Attributes:
        first: First step of the axis.
        newest: Newest step with a value.
        end: Last step of the axis: the planned one, or the newest.
    """

    first: float
    newest: float
    end: float

    @property
    def span(self) -> float:
        """Length of the axis, in steps."""
        return self.end - self.first


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the steps in view. Without a length it is everything.

    Attributes:
        start: First step in view; None while the window sticks to the newest step.
        length: Steps in view; None for all.
    """

    start: float | None = None
    length: float | None = None

    @property
    def shows_all(self) -> bool:
        """Whether the whole axis is in view, whatever comes."""
        return self.length is None

    @property
    def follows(self) -> bool:
        """Whether the window moves on with the newest step."""
        return self.length is not None and self.start is None

    def bounds(self, extent: Extent) -> tuple[float, float]:
        """First and last step in view."""
        if self.length is None:
            return extent.first, extent.end
        start = self.start if self.start is not None else max(extent.newest - self.length, extent.first)
        return start, start + self.length

    def zoomed(self, factor: float, around: float, extent: Extent) -> Window:
        """``factor`` times as many steps in view, with ``around`` staying at its place as far as the ends allow."""
        start, end = self.bounds(extent)
        length = max((end - start) * factor, LEAST_STEPS)
        if length >= extent.span:
            return Window()
        around = min(max(around, start), end)
        share = (around - start) / (end - start) if end > start else 0.5
        return Window(_inside(around - share * length, length, extent), length)

    def panned(self, share: float, extent: Extent) -> Window:
        """Moved by a share of its length, never past the ends."""
        if self.length is None:
            return self
        start, _ = self.bounds(extent)
        return Window(_inside(start + share * self.length, self.length, extent), self.length)

    def following(self, extent: Extent) -> Window:
        """As long as it is, at the newest step; from everything, the last fifth."""
        length = self.length if self.length is not None else (extent.newest - extent.first) * _FOLLOWED_SHARE
        length = max(length, LEAST_STEPS)
        return Window() if length >= extent.newest - extent.first else Window(None, length)

    def holding(self, step: float, extent: Extent) -> Window:
        """Moved just as far as brings ``step`` into view."""
        start, end = self.bounds(extent)
        if self.length is None or start <= step <= end:
            return self
        return Window(_inside(step if step < start else step - self.length, self.length, extent), self.length)


def chosen(step_0: float, step_1: float, extent: Extent) -> Window:
    """The steps between two places, as a drag marks them."""
    length = max(abs(step_1 - step_0), LEAST_STEPS)
    if length >= extent.span:
        return Window()
    return Window(_inside(min(step_0, step_1), length, extent), length)


def _inside(start: float, length: float, extent: Extent) -> float:
    return max(min(start, extent.end - length), extent.first)
