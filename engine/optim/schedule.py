"""The learning rate of every step as a LambdaLR (spec config-formats.md 1.4); the curve itself needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from engine.planning.schedule_curve import lr_at, peak_learning_rate

if TYPE_CHECKING:
    from engine.contract.config import Config

__all__ = ["build_schedule", "lr_at", "peak_learning_rate"]


def build_schedule(config: Config, optimizer: Optimizer, max_steps: int, *, step: int = 0) -> LambdaLR:
    """A scheduler that sets each step's rate; call ``step()`` once after each optimizer step.

    Args:
        config: As in `lr_at`.
        optimizer: Its state must be restored before, when resuming.
        max_steps: Optimizer steps of the whole run.
        step: Optimizer steps done already. Constant schedules then go on at the configured rate, so that a changed
            ``learning_rate`` takes effect; the others go on from the peak they started with.
    """
    configured = peak_learning_rate(config)
    peak = configured
    for group in optimizer.param_groups:
        if step > 0 and not config.lr_scheduler.startswith("constant"):
            peak = group.get("initial_lr", configured)
        group["initial_lr"] = peak

    def factor(index: int) -> float:
        return lr_at(index, config, max_steps, peak=peak) / peak if peak > 0 else 0.0

    return LambdaLR(optimizer, factor, last_epoch=step - 1)
