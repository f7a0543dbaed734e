"""One training step's loss, from clean latents to a scalar (spec ace-step-v1.md 9.3, 9.4): pure, no host sync.

The trainer, the held-out loss and the golden vectors all go through `compute_loss`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.objective.flow import Padding, denoised, flow_loss, interpolate
from engine.objective.reflexflow import reflexflow_loss
from engine.objective.rollout import RolledOut
from engine.objective.ssl import ssl_losses
from engine.objective.timesteps import timesteps_of

if TYPE_CHECKING:
    from engine.model.transformer import AceStepTransformer, ConditionInputs


@dataclass(frozen=True, slots=True)
class LossTerms:
    """The loss of one batch; everything but ``total`` is detached, everything stays on the device."""

    total: Tensor
    """Scalar to call ``backward`` on: ``denoising + ssl_weight * mean(ssl)``."""
    denoising: Tensor
    """Scalar: mean of ``per_sample``."""
    per_sample: Tensor
    """(B,) denoising loss of each sample, with ReflexFlow's terms where it was rolled out. Not finite where x_t or
    x_0_hat is not, so one check of it covers both."""
    ssl: dict[str, Tensor] = field(default_factory=dict)
    """Scalar per representation; empty when the SSL loss is off."""


def compute_loss(
    model: AceStepTransformer,
    *,
    x_0: Tensor,
    noise: Tensor,
    timestep_index: Tensor,
    sigmas: Tensor,
    inputs: ConditionInputs,
    frame_mask: Tensor | None,
    ssl_targets: Mapping[str, Sequence[Tensor | None]] | None = None,
    ssl_weight: float = 0.0,
    padding: Padding = "valid",
    pack: bool = False,
    rolled: RolledOut | None = None,
) -> LossTerms:
    """Noise the latents, predict the velocity, compare the data estimate with the clean latents.

    ``total = mean_b(flow_loss_b) + ssl_weight * mean_n(ssl_n)``; `reflexflow_loss` takes the place of the first where
    samples were rolled out with it.

    Args:
        model: The transformer; its own precision decides that of the prediction, the loss is float32.
        x_0: (B, C, H, T) clean latents, float32.
        noise: (B, C, H, T) standard normal.
        timestep_index: (B,) indices into ``sigmas``.
        sigmas: The table of `engine.objective.timesteps.sigma_table`, on the model's device.
        inputs: The batch's conditions, dropout already applied.
        frame_mask: (B, T), 1 where a frame is audio; None = every frame.
        ssl_targets: Name -> one (L, C) or None per sample; None or no names = no SSL loss.
        ssl_weight: 0 switches the SSL loss off.
        padding: ``valid`` to train, ``upstream`` only to compare with the original trainer.
        pack: Move padding behind all conditions (`Conditions.packed`), so that no sample depends on its batch. True to
            train; the original's vectors were made without.
        rolled: Where the samples are trained instead (`engine.objective.rollout.roll_out` of the same batch).
    """
    sigma = sigmas[timestep_index]
    x_t = interpolate(x_0, noise, sigma) if rolled is None else rolled.x_t
    with_ssl = bool(ssl_targets) and ssl_weight > 0
    conditions = model.encode_conditions(inputs)
    if pack:
        conditions = conditions.packed()
    output = model(x_t, timesteps_of(sigma), conditions, frame_mask=frame_mask, with_ssl=with_ssl)
    velocity = output.velocity.float()
    x_0_hat = denoised(x_t, velocity, sigma)
    if rolled is None or rolled.weight is None:
        per_sample = flow_loss(x_0_hat, x_0, frame_mask, padding=padding)
    else:
        per_sample = reflexflow_loss(velocity, x_0_hat, x_0=x_0, frame_mask=frame_mask, rolled=rolled)
    denoising = per_sample.mean()
    total = denoising
    ssl: dict[str, Tensor] = {}
    if with_ssl:
        names = model.config.ssl_names
        ssl = ssl_losses(model.projectors, output.ssl_hidden, ssl_targets, names, frame_mask, padding=padding)
        total = denoising + ssl_weight * torch.stack(list(ssl.values())).mean()
    return LossTerms(
        total=total,
        denoising=denoising.detach(),
        per_sample=per_sample.detach(),
        ssl={name: loss.detach() for name, loss in ssl.items()},
    )
