"""The learning rate of every step, as a pure function (spec config-formats.md 1.4): drawn, planned and trained with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def peak_learning_rate(config: Mapping[str, Any]) -> float:
    """``learning_rate``, with ``lr_scale`` times batch x accumulation x processes, with ``lr_scale_sqrt`` its root."""
    samples = config["train_batch_size"] * config["gradient_accumulation_steps"] * config["num_processes"]
    factor = math.sqrt(samples) if config["lr_scale_sqrt"] else samples if config["lr_scale"] else 1
    return float(config["learning_rate"] * factor)


def lr_at(step: int, config: Mapping[str, Any], max_steps: int, *, peak: float | None = None) -> float:
    """Learning rate of optimizer step ``step``, counted from 0.

    Warm-up: ``peak * (step + 1) / lr_warmup_steps`` for the first ``lr_warmup_steps`` steps, so that the first step
    already learns (upstream's is lost to a rate of 0) and the last one of them runs at the peak. Then, with
    ``p = (step - warmup) / (max_steps - warmup)``, ``end = lr_end``, ``n = lr_num_cycles``:

    - constant, constant_with_warmup: ``peak``
    - linear: ``max(peak (1 - p), end)``
    - cosine: ``end + (peak - end) (1 + cos(pi p)) / 2``
    - cosine_with_restarts: the same with ``n p`` modulo 1
    - sine: ``end + (peak - end) (1 + sin(2 pi n p)) / 2``
    - polynomial: ``end + (peak - end) (1 - p)^lr_power``

    A floor above the peak counts as the peak.

    Args:
        step: 0 ... max_steps - 1; later steps stay at the end.
        config: The keys ``lr_*``, ``learning_rate`` and what ``lr_scale`` needs.
        max_steps: Optimizer steps of the whole run.
        peak: Replaces the configured peak (a resumed run keeps the one it started with).
    """
    peak = peak_learning_rate(config) if peak is None else peak
    schedule: str = config["lr_scheduler"]
    warmup: int = config["lr_warmup_steps"]
    end = min(float(config["lr_end"]), peak)
    if step < warmup:
        return peak * (step + 1) / warmup
    p = min((step - warmup) / max(max_steps - warmup, 1), 1.0)
    if schedule == "linear":
        return max(peak * (1 - p), end)
    if schedule in ("cosine", "cosine_with_restarts"):
        cycles: float = p * config["lr_num_cycles"] if schedule == "cosine_with_restarts" else p
        # The very end is the end of the last cycle, not the start of one more.
        fraction = 1.0 if p == 1.0 else cycles % 1.0
        return end + (peak - end) * (1 + math.cos(math.pi * fraction)) / 2
    if schedule == "sine":
        turns: int = config["lr_num_cycles"]
        return end + (peak - end) * (1 + math.sin(2 * math.pi * turns * p)) / 2
    if schedule == "polynomial":
        return float(end + (peak - end) * (1 - p) ** config["lr_power"])
    return peak


def lr_points(config: Mapping[str, Any], max_steps: int, num_points: int) -> tuple[list[float], list[float]]:
    """Steps and learning rates of a run, evenly spread from its first to its last step, for drawing."""
    last = max(max_steps - 1, 0)
    count = max(2, min(num_points, last + 1))
    steps = [round(last * index / (count - 1)) for index in range(count)]
    return [float(step) for step in steps], [lr_at(step, config, max_steps) for step in steps]
