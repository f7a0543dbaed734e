"""When a test clip and a checkpoint are due: functions of the step alone, so that a run that goes on does the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.contract.config import Config

_ROUNDING = 1e-9  # passes are a quotient of floats: 3 of them must not count as 2


class Passes(Protocol):
    """What knows how many steps a pass over the songs takes."""

    def epoch_of(self, step: int) -> float:
        """Passes done at a step."""

    def steps_for_epochs(self, num_epochs: float) -> int:
        """Steps of so many passes."""


@dataclass(frozen=True)
class Occasions:
    """What is due at which step (config-formats.md sections 1.9, 4.3 and 6).

    Attributes:
        config: The intervals.
        epoch_of: Passes over the data done at a step.
        max_steps: The run's last step.
    """

    config: Config
    epoch_of: Callable[[int], float]
    max_steps: int

    def is_clip_due(self, step: int) -> bool:
        """Whether test clips belong to this step."""
        config = self.config
        interval, epochs = config.validation_step_interval, config.validation_epoch_interval
        if not interval and not epochs:
            return False
        if step < (config.validate_after_step or 0) or self._whole_passes(step) < (config.validate_after_epoch or 0):
            return False
        is_at_interval = bool(interval) and step % interval == 0
        return is_at_interval or self.ends_passes(step, epochs) or step == self.max_steps

    def save_reason(self, step: int, *, is_asked: bool, waited_s: float) -> str:
        """Why a checkpoint is due: end, interval, epoch, request, time, rolling; empty = it is not.

        Args:
            step: The step just finished.
            is_asked: Somebody asked for one.
            waited_s: Seconds since the newest.
        """
        config = self.config
        interval, rolling = config.checkpointing_steps, config.checkpointing_rolling_steps
        minutes = config.checkpoint_minutes_interval
        if step >= self.max_steps:
            return "end"
        if interval and step % interval == 0:
            return "interval"
        if self.ends_passes(step, config.checkpoint_epoch_interval):
            return "epoch"
        if is_asked:
            return "request"
        if minutes and waited_s > minutes * 60:
            return "time"
        return "rolling" if rolling and step % rolling == 0 else ""

    def ends_passes(self, step: int, interval: int | None) -> bool:
        """Whether a whole number of ``interval`` passes over the songs ends with this step."""
        if not interval or step <= 0:
            return False
        return self._whole_passes(step) // interval > self._whole_passes(step - 1) // interval

    def _whole_passes(self, step: int) -> int:
        return math.floor(self.epoch_of(step) + _ROUNDING)


def num_steps(config: Config, stream: Passes, *, warn: Callable[[str, str], None]) -> int:
    """Steps of the run: as set, else from the epochs; with ``strict_epoch_limit`` no partial pass is begun at the end.

    Args:
        config: The length.
        stream: Knows how many steps a pass takes.
        warn: Called with (code, message) when the run ends earlier than ``max_train_steps``, or cannot.
    """
    wanted: int = config.max_train_steps
    if not wanted:
        return stream.steps_for_epochs(config.num_train_epochs)
    if not config.strict_epoch_limit:
        return wanted
    whole = math.floor(stream.epoch_of(wanted) + 1e-9)
    steps = stream.steps_for_epochs(whole) if whole else wanted
    if not whole:
        warn("strict_epoch_limit", f"strict_epoch_limit has no effect: {wanted:,} steps are less than one pass")
    elif steps != wanted:
        warn(
            "strict_epoch_limit",
            f"ends at step {steps:,}, after {whole} whole passes, instead of {wanted:,} (strict_epoch_limit)",
        )
    return steps
