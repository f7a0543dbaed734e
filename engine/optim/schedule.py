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

__all__ = ["build_schedule", "goes_on", "lr_at", "peak_learning_rate", "seek"]


def build_schedule(config: Config, optimizer: Optimizer, max_steps: int, *, last_peak: float | None = None) -> LambdaLR:
    """A scheduler that sets each step's rate; call ``step()`` once after each optimizer step, `seek` when resuming.

    Args:
        config: As in `lr_at`. A resumed run's holds the rate that its curve began with.
        optimizer: Fresh; its groups get their first rates.
        max_steps: Optimizer steps of the whole run.
        last_peak: Peak of the last group where it has one of its own (the lyrics embedder's).
    """
    groups = optimizer.param_groups
    peaks = [peak_learning_rate(config)] * len(groups)
    if last_peak is not None:
        peaks[-1] = last_peak
    for group, peak in zip(groups, peaks, strict=True):
        group["initial_lr"] = peak

    def curve(peak: float) -> Callable[[int], float]:
        return lambda index: lr_at(index, config, max_steps, peak=peak) / peak if peak > 0 else 0.0

    return LambdaLR(optimizer, [curve(peak) for peak in peaks])


def goes_on(wanted: str, began: str | None) -> bool:
    """Whether a resumed run goes on along the curve it began with: it has one, and it is still the same.

    Args:
        wanted: ``lr_scheduler`` now.
        began: That of the checkpoint.
    """
    return wanted == began and not wanted.startswith("constant")


def seek(schedule: LambdaLR, optimizer: Optimizer, step: int) -> None:
    """Put the learning rates where they belong after ``step`` optimizer steps."""
    schedule.last_epoch = step
    for group, peak, factor in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        rate = float(peak) * factor(step)
        if isinstance(group["lr"], Tensor):  # torchao reads its rate from a tensor
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
