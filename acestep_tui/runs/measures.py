"""What a run's numbers say: is the loss falling, does the LoRA begin to repeat, where does a step's time go."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from engine.contract.events import Step, ValidationLoss

Trend = Literal["down", "up", "flat"]
ARROWS: dict[Trend, str] = {"down": "↓", "up": "↑", "flat": "→"}

# The last steps against as many before them (screens.md, "Monitor").
TREND_STEPS = 100
# Fewer than this on each side say nothing.
_TREND_LEAST = 10
# Held-out losses in a row, each above the one before, that raise the banner.
NUM_RISES = 3
# Above this share of a step, waiting for data is a warning.
DATA_SHARE_WARNS = 0.15


def trend(values: Sequence[float]) -> Trend | None:
    """Whether the newest values lie below or above those before them; None while there are too few.

    ``flat`` is a difference that is smaller than its own standard error: noise.
    """
    finite = [value for value in values[-2 * TREND_STEPS :] if math.isfinite(value)]
    half = len(finite) // 2
    if half < _TREND_LEAST:
        return None
    before, newest = finite[-2 * half : -half], finite[-half:]
    difference = _mean(newest) - _mean(before)
    noise = math.sqrt((_variance(newest) + _variance(before)) / half)
    if abs(difference) <= noise:
        return "flat"
    return "down" if difference < 0 else "up"


def heldout_trend(points: Sequence[ValidationLoss]) -> Trend | None:
    """Whether the newest held-out loss is below or above the one before; None while there are not two."""
    finite = [point.loss for point in points if math.isfinite(point.loss)]
    if len(finite) < 2:
        return None
    difference = finite[-1] - finite[-2]
    return "flat" if difference == 0 else "down" if difference < 0 else "up"


def best_point(points: Iterable[ValidationLoss]) -> ValidationLoss | None:
    """The lowest held-out loss after training began; None while there is none."""
    trained = [point for point in points if point.step > 0 and math.isfinite(point.loss)]
    return min(trained, key=lambda point: point.loss) if trained else None


def is_overfitting(points: Sequence[ValidationLoss]) -> bool:
    """Whether the held-out loss has risen three times in a row."""
    newest = [point.loss for point in points[-NUM_RISES - 1 :]]
    return len(newest) == NUM_RISES + 1 and all(before < after for before, after in pairwise(newest))


@dataclass(frozen=True, slots=True)
class Split:
    """Where the time of a step goes, as the mean of the last steps: seconds each, adding up to `total_s`.

    The three measured parts are None in runs of a version that did not measure them; `other_s` is then all of it.
    """

    data_s: float
    forward_s: float | None
    backward_s: float | None
    optimizer_s: float | None
    other_s: float
    total_s: float
    audio_per_s: float | None

    @property
    def parts(self) -> tuple[tuple[str, float | None], ...]:
        """Word and seconds of each part, in the order of a step."""
        return (
            ("data", self.data_s),
            ("forward", self.forward_s),
            ("backward", self.backward_s),
            ("optimizer", self.optimizer_s),
            ("other", self.other_s),
        )

    def percents(self) -> tuple[int | None, ...]:
        """Whole percents of `parts` that add up to 100; None where a part is not known."""
        if self.total_s <= 0:
            return (None,) * 5
        exact = [None if seconds is None else 100 * seconds / self.total_s for _, seconds in self.parts]
        whole = [None if share is None else int(share) for share in exact]
        # The largest remainders are rounded up until nothing is missing.
        missing = 100 - sum(share for share in whole if share is not None)
        rests = [(share - int(share), place) for place, share in enumerate(exact) if share is not None]
        for _, place in sorted(rests, reverse=True)[: max(missing, 0)]:
            rounded = whole[place]
            whole[place] = None if rounded is None else rounded + 1
        return tuple(whole)

    @property
    def waits_for_data(self) -> bool:
        """Whether so much of a step is waiting for data that it deserves a warning."""
        return self.total_s > 0 and self.data_s / self.total_s > DATA_SHARE_WARNS


def step_seconds(step: Step) -> float:
    """The whole of a step: its work and its waiting for data."""
    return step.step_s + step.data_s


def split_of(steps: Sequence[Step]) -> Split | None:
    """The mean split of these steps; None while there are none."""
    num = len(steps)
    if not num:
        return None
    data_s = sum(step.data_s for step in steps) / num
    total_s = sum(step_seconds(step) for step in steps) / num
    forward_s = _mean_known([step.forward_s for step in steps])
    backward_s = _mean_known([step.backward_s for step in steps])
    optimizer_s = _mean_known([step.optimizer_s for step in steps])
    known = data_s + sum(part for part in (forward_s, backward_s, optimizer_s) if part is not None)
    audio_s = sum(step.audio_s for step in steps) / num
    return Split(
        data_s=data_s,
        forward_s=forward_s,
        backward_s=backward_s,
        optimizer_s=optimizer_s,
        other_s=max(total_s - known, 0.0),
        total_s=max(total_s, known),
        audio_per_s=audio_s / total_s if total_s > 0 and audio_s > 0 else None,
    )


def median(values: Sequence[float]) -> float | None:
    """The middle value; None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / len(values)
