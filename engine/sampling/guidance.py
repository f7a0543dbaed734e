"""Guidance: combining predictions with and without conditions into one (spec 11.2). All of it works on velocities.

Shapes: B batch, C latent channels, H latent rows, T latent frames; cond and uncond are ``(B, C, H, T)``.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

GuidanceType = Literal["apg", "cfg", "cfg_star"]

APG_MOMENTUM = -0.75
APG_NORM_THRESHOLD = 2.5
_FRAME_AXES = (-2, -1)


def guided_steps(num_steps: int, interval: float) -> range:
    """Step indices that are guided: the middle `interval` (0…1) of a run, as the original rounds it."""
    return range(int(num_steps * ((1 - interval) / 2)), int(num_steps * (interval / 2 + 0.5)))


def decayed_scale(scale: float, index: int, steps: range, *, decay: float, minimum: float) -> float:
    """Guidance scale of a guided step: falls linearly towards `minimum` over the guided steps when `decay` > 0."""
    if decay <= 0:
        return scale
    progress = (index - steps.start) / max(len(steps) - 1, 1)
    return scale - (scale - minimum) * progress * decay


class Momentum:
    """Running sum of guidance differences: ``average ← difference + momentum·average``; one per run."""

    def __init__(self, momentum: float = APG_MOMENTUM) -> None:
        self.momentum = momentum
        self.average: Tensor | None = None

    def update(self, difference: Tensor) -> Tensor:
        """Take in a difference and return the new average."""
        self.average = difference if self.average is None else difference + self.momentum * self.average
        return self.average


def apg(
    cond: Tensor,
    uncond: Tensor,
    scale: float,
    *,
    momentum: Momentum | None = None,
    eta: float = 0.0,
    norm_threshold: float = APG_NORM_THRESHOLD,
) -> Tensor:
    """Adaptive projected guidance: only the part of the difference that is orthogonal to cond counts.

    Args:
        cond: Prediction with conditions.
        uncond: Prediction without.
        scale: Guidance scale; 1 is no guidance.
        momentum: Carries differences from step to step.
        eta: Share of the parallel part that is kept.
        norm_threshold: Largest norm of the difference per sample and channel; 0 for no limit.
    """
    difference = cond - uncond
    if momentum is not None:
        difference = momentum.update(difference)
    if norm_threshold > 0:
        norm = torch.linalg.vector_norm(difference, dim=_FRAME_AXES, keepdim=True)
        difference = difference * (norm_threshold / norm).clamp(max=1)
    parallel, orthogonal = _projected(difference, cond)
    return cond + (scale - 1) * (orthogonal + eta * parallel)


def _projected(vector: Tensor, onto: Tensor) -> tuple[Tensor, Tensor]:
    """The parts of `vector` parallel and orthogonal to `onto`, per sample and channel."""
    # float64 as in the original; MPS has none.
    precise = torch.float32 if vector.device.type == "mps" else torch.float64
    wide = vector.to(precise)
    direction = torch.nn.functional.normalize(onto.to(precise), dim=_FRAME_AXES)  # type: ignore[arg-type]
    parallel = (wide * direction).sum(dim=_FRAME_AXES, keepdim=True) * direction
    return parallel.to(vector.dtype), (wide - parallel).to(vector.dtype)


def cfg(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance: away from uncond, through cond."""
    return uncond + scale * (cond - uncond)


def cfg_star(cond: Tensor, uncond: Tensor, scale: float, *, index: int, zero_steps: int = 1) -> Tensor:
    """Guidance with uncond scaled to cond; the first ``zero_steps + 1`` steps predict nothing, as in the original.

    Args:
        cond: Prediction with conditions.
        uncond: Prediction without.
        scale: Guidance scale.
        index: Number of the step in the run.
        zero_steps: Last step that predicts zero.
    """
    if index <= zero_steps:
        return torch.zeros_like(cond)
    axes = tuple(range(1, cond.ndim))
    dot = (cond * uncond).sum(dim=axes, keepdim=True)
    alpha = dot / (uncond.square().sum(dim=axes, keepdim=True) + 1e-8)
    return alpha * uncond + scale * (cond - alpha * uncond)


def double_condition(
    cond: Tensor, uncond: Tensor, only_text: Tensor, *, text_scale: float, lyric_scale: float
) -> Tensor:
    """Guidance with a scale of its own for the text and for the lyrics."""
    return (1 - text_scale) * uncond + (text_scale - lyric_scale) * only_text + lyric_scale * cond
