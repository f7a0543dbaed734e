"""Scheduled sampling: training on points that the model walked to itself (config-formats.md section 7).

In training every noisy latent lies exactly between song and noise; while it plays, the model meets its own mistakes
instead. Here a sample starts at a noisier level and takes some steps of its own down to the level it is trained at.

Shapes: B samples, R of them rolled out, C latent channels, H latent height, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.model.calling import evaluation
from engine.model.transformer import ConditionInputs
from engine.objective.flow import interpolate
from engine.objective.reflexflow import ReflexFlow, exposure_weight
from engine.objective.timesteps import timesteps_of
from engine.planning.rollout_plan import RolloutPlan

if TYPE_CHECKING:
    from engine.model.transformer import AceStepTransformer, Conditions

PURPOSE = "rollout"
"""Purpose of the draws in `engine.objective.randomness`."""


@dataclass(frozen=True, slots=True)
class RolledOut:
    """Where the samples of a batch are trained, instead of at their interpolated latents.

    Attributes:
        x_t: (B, C, H, T) float32, without gradient; samples that were not rolled out stand where they always do.
        is_walked: (B,) float32, 1 where a sample was rolled out.
        weight: (B, C, H, T) float32 of `exposure_weight`, 1 for the others; None without ReflexFlow.
        reflexflow: Its strengths; None without it.
        num_forwards: Calls of the model that this took.
    """

    x_t: Tensor
    is_walked: Tensor
    weight: Tensor | None
    reflexflow: ReflexFlow | None
    num_forwards: int


def draw_walk(generator: torch.Generator, plan: RolloutPlan, *, step: int, timestep_index: int) -> int:
    """Draw how many positions of the table a sample is rolled out, always with two draws.

    Args:
        generator: CPU generator of this sample and `PURPOSE`.
        plan: Probability and lengths.
        step: The optimizer step that the sample belongs to, counted from 0.
        timestep_index: Where the sample is trained: no way can be longer, the table begins there.

    Returns:
        0 for a sample that is not rolled out.
    """
    eligible, length = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    if eligible >= plan.probability_at(step):
        return 0
    return min(plan.length_of(length), timestep_index)


def roll_out(
    model: AceStepTransformer,
    *,
    x_0: Tensor,
    noise: Tensor,
    timestep_index: Tensor,
    walks: Sequence[int],
    sigmas: Tensor,
    inputs: ConditionInputs,
    frame_mask: Tensor | None,
    reflexflow: ReflexFlow | None = None,
    pack: bool = False,
) -> RolledOut:
    """Walk each sample ``walks`` positions of the table down to its own level, in Euler steps.

    With i the sample's index and j = i - walk: ``x = sigma_j noise + (1 - sigma_j) x_0``, then for m = j ... i - 1
    ``x <- x + (sigma_{m+1} - sigma_m) v(x, 1000 sigma_m)``. Without gradient and in evaluation mode, so module dropout
    neither acts nor draws. At each step the samples that still walk share one forward pass.

    Call it in an autocast context of its own: weights cast here, without gradient, must not pass for the training's.

    Args:
        model: The transformer; its mode is put back.
        x_0: (B, C, H, T) clean latents, float32.
        noise: (B, C, H, T) standard normal, zero in padding.
        timestep_index: (B,) indices into ``sigmas``.
        walks: Length of each sample's way, 0 ... its index; at least one is above 0.
        sigmas: The table, on the model's device.
        inputs: The batch's conditions, dropout already applied.
        frame_mask: (B, T), 1 where a frame is audio; None = every frame.
        reflexflow: Also compute its weights: two more forward passes.
        pack: As in `engine.objective.loss.compute_loss`.
    """
    # The longest ways first: who still walks is always the first so many.
    order = sorted((row for row, walk in enumerate(walks) if walk), key=lambda row: -walks[row])
    rows = torch.tensor(order, device=x_0.device)
    mask = None if frame_mask is None else frame_mask[rows]
    end = timestep_index[rows]
    start = end - torch.tensor([walks[row] for row in order], device=x_0.device)
    x_t = interpolate(x_0, noise, sigmas[timestep_index])
    with evaluation(model):
        conditions = model.encode_conditions(_rows_of(inputs, rows))
        predict = _Predictor(model, conditions.packed() if pack else conditions, mask)
        x = interpolate(x_0[rows], noise[rows], sigmas[start])
        for done in range(walks[order[0]]):
            num = sum(walks[row] > done for row in order)
            sigma, next_sigma = sigmas[start[:num] + done], sigmas[start[:num] + done + 1]
            x[:num] += (next_sigma - sigma)[:, None, None, None] * predict(x[:num], sigma)
        weight = None
        if reflexflow is not None:
            undisturbed, walked = predict(x_t[rows], sigmas[end]), predict(x, sigmas[end])
            of_walked = exposure_weight(undisturbed, walked, mask, alpha=reflexflow.alpha)
            weight = torch.ones_like(x_t).index_copy(0, rows, of_walked)
    return RolledOut(
        x_t=x_t.index_copy(0, rows, x),
        is_walked=torch.tensor([float(walk > 0) for walk in walks], device=x_0.device),
        weight=weight,
        reflexflow=reflexflow,
        num_forwards=predict.num_forwards,
    )


class _Predictor:
    """Velocities of the first so many samples, zero in padding: it stays as silent as it is in any training batch."""

    def __init__(self, model: AceStepTransformer, conditions: Conditions, frame_mask: Tensor | None) -> None:
        self._model = model
        self._conditions = conditions
        self._frame_mask = frame_mask
        self.num_forwards = 0

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        num = len(x)
        mask = None if self._frame_mask is None else self._frame_mask[:num]
        self.num_forwards += 1
        output = self._model(x, timesteps_of(sigma), self._conditions.first(num), frame_mask=mask)
        velocity: Tensor = output.velocity.float()
        return velocity if mask is None else velocity * mask[:, None, None, :]


def _rows_of(inputs: ConditionInputs, rows: Tensor) -> ConditionInputs:
    return ConditionInputs(
        text_states=inputs.text_states[rows],
        text_mask=inputs.text_mask[rows],
        lyric_ids=inputs.lyric_ids[rows],
        lyric_mask=inputs.lyric_mask[rows],
        speaker=None if inputs.speaker is None else inputs.speaker[rows],
    )
