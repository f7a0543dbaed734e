"""ReflexFlow: weighing where the model's own way led astray (config-formats.md section 7, point 5).

Shapes: B samples, C latent channels, H latent height, T frames. All sums go over the frames that hold sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from engine.objective.flow import flow_loss
from engine.planning.rollout_plan import uses_reflexflow

if TYPE_CHECKING:
    from engine.objective.rollout import RolledOut

SMALLEST_SUM = 1e-6
"""Floor of what is divided by: two equal predictions weigh nothing."""


@dataclass(frozen=True, slots=True)
class ReflexFlow:
    """The three strengths.

    Attributes:
        alpha: Of the weight of each element.
        beta1: Of the direction's loss.
        beta2: Of the weighted loss, of rolled-out samples alone: the loss of any other stays as it is.
    """

    alpha: float = 1.0
    beta1: float = 10.0
    beta2: float = 1.0


def reflexflow_of(config: Mapping[str, Any]) -> ReflexFlow | None:
    """What a configuration asks for; None where ReflexFlow is off or no sample is rolled out."""
    if not uses_reflexflow(config):
        return None
    return ReflexFlow(
        alpha=config["scheduled_sampling_reflexflow_alpha"],
        beta1=config["scheduled_sampling_reflexflow_beta1"],
        beta2=config["scheduled_sampling_reflexflow_beta2"],
    )


def exposure_weight(undisturbed: Tensor, walked: Tensor, frame_mask: Tensor | None, *, alpha: float) -> Tensor:
    """``w = 1 + alpha (c - b) / sum|c - b|`` of each element, the sum over its sample.

    Args:
        undisturbed: c, (B, C, H, T): the velocity predicted on the noised latent itself.
        walked: b, likewise: on the point that the model's own way led to.
        frame_mask: (B, T), 1 where a frame is audio; None = every frame.
        alpha: Strength.

    Returns:
        (B, C, H, T) float32; 1 in padding.
    """
    difference = _masked(undisturbed.float() - walked.float(), frame_mask)
    total = difference.abs().sum(dim=(1, 2, 3), keepdim=True)
    return 1 + alpha * difference / total.clamp_min(SMALLEST_SUM)


def direction_loss(velocity: Tensor, x_t: Tensor, x_0: Tensor, frame_mask: Tensor | None) -> Tensor:
    """``‖v/‖v‖ - d/‖d‖‖²`` with ``d = x_t - x_0``, from 0 (the same direction) to 4 (the opposite one).

    Args:
        velocity: (B, C, H, T) prediction at ``x_t``.
        x_t: (B, C, H, T) where it was made.
        x_0: (B, C, H, T) clean latents.
        frame_mask: (B, T), 1 where a frame is audio; None = every frame.

    Returns:
        (B,) float32.
    """
    predicted = _unit(_masked(velocity.float(), frame_mask))
    wanted = _unit(_masked(x_t.float() - x_0.float(), frame_mask))
    return (predicted - wanted).square().sum(dim=(1, 2, 3))


def reflexflow_loss(
    velocity: Tensor, x_0_hat: Tensor, *, x_0: Tensor, frame_mask: Tensor | None, rolled: RolledOut
) -> Tensor:
    """``beta2 · flow_loss(weighted) + beta1 · direction_loss`` of a rolled-out sample, the plain loss of any other.

    What a sample costs hangs on nothing but itself: one that was not rolled out is trained as ever, whatever its
    neighbours in the batch do. Otherwise 1 x 4 accumulated would not be a batch of 4.

    Args:
        velocity: (B, C, H, T) prediction at ``rolled.x_t``, with its gradient.
        x_0_hat: (B, C, H, T) data estimate made of it.
        x_0: (B, C, H, T) clean latents.
        frame_mask: (B, T), 1 where a frame is audio; None = every frame.
        rolled: With ReflexFlow's weights and strengths.

    Returns:
        (B,) float32.
    """
    assert rolled.reflexflow is not None
    beta1, beta2 = rolled.reflexflow.beta1, rolled.reflexflow.beta2
    weighted = flow_loss(x_0_hat, x_0, frame_mask, weight=rolled.weight)
    direction = direction_loss(velocity, rolled.x_t, x_0, frame_mask)
    return (1 + (beta2 - 1) * rolled.is_walked) * weighted + beta1 * rolled.is_walked * direction


def _masked(values: Tensor, frame_mask: Tensor | None) -> Tensor:
    return values if frame_mask is None else values * frame_mask.to(values.dtype)[:, None, None, :]


def _unit(values: Tensor) -> Tensor:
    # The floor is under the root: a root's slope at zero is infinite, and one such sample would spoil its whole batch.
    square = values.square().sum(dim=(1, 2, 3), keepdim=True)
    return values / square.clamp_min(SMALLEST_SUM**2).sqrt()
