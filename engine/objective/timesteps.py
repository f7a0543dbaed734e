"""The table of noise levels and how a training sample draws one (spec ace-step-v1.md 9.3)."""

from __future__ import annotations

import torch
from torch import Tensor

NUM_TIMESTEPS = 1000


def sigma_table(shift: float, num: int = NUM_TIMESTEPS) -> Tensor:
    """Noise levels of the shifted schedule, descending from 1.

    ``s_k = (num - k) / num``, ``sigma_k = shift * s_k / (1 + (shift - 1) * s_k)``, k = 0 ... num - 1.

    Args:
        shift: Schedule shift, > 0; 3.0 is the model's own.
        num: Number of entries.

    Returns:
        (num,) float32 on the CPU.
    """
    s = torch.arange(num, 0, -1, dtype=torch.float32) / num
    return shift * s / (1 + (shift - 1) * s)


def timesteps_of(sigmas: Tensor) -> Tensor:
    """The transformer's time argument: ``t = 1000 * sigma``, same shape, float32."""
    return sigmas * NUM_TIMESTEPS


def index_of_normal(normal: Tensor, num: int = NUM_TIMESTEPS) -> Tensor:
    """Map normal draws to table indices: ``min(floor(sigmoid(n) * num), num - 1)``.

    The table descends, so a large draw means little noise.

    Args:
        normal: Any shape, float32.
        num: Number of entries of the table.

    Returns:
        The same shape, int64, 0 ... num - 1.
    """
    return (torch.sigmoid(normal) * num).floor().to(torch.int64).clamp(0, num - 1)


def draw_index(generator: torch.Generator, mean: float = 0.0, std: float = 1.0) -> int:
    """Draw one table index with ``n ~ N(mean, std)`` from a CPU generator."""
    normal = torch.randn((), generator=generator) * std + mean
    return int(index_of_normal(normal))
