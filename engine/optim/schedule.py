"""The learning rate of every step as a LambdaLR (spec config-formats.md 1.4); the curve itself needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from engine.planning.schedule_curve import lr_at, peak_learning_rate

if TYPE_CHECKING:
    from engine.contract.config import Config

__all__ = ["build_schedule", "lr_at", "peak_learning_rate", "seek"]


def build_schedule(
    config: Config, optimizer: Optimizer, max_steps: int, *, step: int = 0, last_peak: float | None = None
) -> LambdaLR:
    """A scheduler that sets each step's rate; call ``step()`` once after each optimizer step.

    Args:
        config: As in `lr_at`.
        optimizer: Its state must be restored before, when resuming.
        max_steps: Optimizer steps of the whole run.
        step: Optimizer steps done already. Constant schedules then go on at the configured rate, so that a changed
            ``learning_rate`` takes effect; the others go on from the peak they started with.
        last_peak: Peak of the last group where it has one of its own (the lyrics embedder's).
    """
    groups = optimizer.param_groups
    peaks = [peak_learning_rate(config)] * len(groups)
    if last_peak is not None:
        peaks[-1] = last_peak
    if step > 0 and not config.lr_scheduler.startswith("constant"):
        peaks = [float(group.get("initial_lr", peak)) for group, peak in zip(groups, peaks, strict=True)]
    for group, peak in zip(groups, peaks, strict=True):
        group["initial_lr"] = peak

    def curve(peak: float) -> Callable[[int], float]:
        return lambda index: lr_at(index, config, max_steps, peak=peak) / peak if peak > 0 else 0.0

    return LambdaLR(optimizer, [curve(peak) for peak in peaks], last_epoch=step - 1)


def seek(schedule: LambdaLR, optimizer: Optimizer, step: int) -> None:
    """Put the learning rates where they belong after ``step`` optimizer steps."""
    schedule.last_epoch = step
    for group, peak, factor in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        rate = float(peak) * factor(step)
        if isinstance(group["lr"], Tensor):  # torchao reads its rate from a tensor
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
