"""One optimizer step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.batches.collate import Batch
from engine.contract.config import Config
from engine.contract.errors import NonFiniteLossError
from engine.model.family import ModelFamily
from engine.objective.loss import LossTerms
from engine.objective.reflexflow import reflexflow_of
from engine.optim.build import clip_gradients
from engine.planning.rollout_plan import rollout_plan
from engine.train.state import TrainState
from engine.train.step_clock import StepClock, StepTimes

SMALLEST_LOSS_SCALE = 1.0
"""An fp16 step that still overflows below this factor does not overflow because of the factor."""


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step gave, as plain numbers."""

    loss: float
    ssl_loss: float | None
    grad_norm: float
    lr: float
    audio_s: float
    step_s: float
    bucket: str
    times: StepTimes
    files: tuple[str, ...]
    walks: tuple[int, ...]
    embedder_lr: float | None = None


def precision_context(config: Config, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Autocast for ``mixed_precision`` fp16 or bf16; nothing for ``no`` (everything in float32)."""
    dtypes = {"fp16": torch.float16, "bf16": torch.bfloat16}
    dtype = dtypes.get(config.mixed_precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def train_step(
    state: TrainState,
    micro_batches: Sequence[Batch],
    *,
    family: ModelFamily,
    config: Config,
    sigmas: Tensor,
    ssl_weight: float,
    device: torch.device,
    clock: StepClock,
    before_move: Callable[[], None] = lambda: None,
) -> StepResult:
    """Forward and backward over the micro-batches, clip, finite check, optimizer, schedule.

    The loss is the mean over the *samples* of the step, so 1 × 4 accumulated equals a batch of 4.
    ``before_move`` is called once the gradients are sound, before a weight or an optimizer's memory changes.

    Raises:
        NonFiniteLossError: Loss or gradients are not finite; names the batch's files. The weights are untouched.
    """
    started = time.perf_counter()
    num_samples = sum(len(batch.files) for batch in micro_batches)
    shares = [len(batch.files) / num_samples for batch in micro_batches]
    maths = _Maths(family, config, sigmas, ssl_weight, device, clock)
    terms_of = [_accumulate(state, batch, share, maths) for batch, share in zip(micro_batches, shares, strict=True)]

    with clock.span("optimizer"):
        if state.scaler is not None:
            for optimizer in state.optimizers:
                state.scaler.unscale_(optimizer)
        grad_norm = clip_gradients(
            state.trainable.values(), max_norm=config.max_grad_norm, method=config.grad_clip_method
        )
    loss, ssl_loss, norm = _read(terms_of, shares, grad_norm)
    _check_finite(state, micro_batches, terms_of, loss=loss, grad_norm=norm)

    lr, embedder_lr = state.rate(), state.embedder_rate()
    before_move()
    with clock.span("optimizer"):
        _move(state, overflowed=not math.isfinite(norm), set_to_none=config.set_grads_to_none)
        state.step += 1
        if state.ema is not None:
            state.ema.update(state.step)

    audio_s = sum(batch.audio_s for batch in micro_batches)
    step_s = time.perf_counter() - started
    state.audio_s += audio_s
    state.train_s += step_s
    return StepResult(
        loss=loss,
        ssl_loss=ssl_loss,
        grad_norm=norm,
        lr=lr,
        embedder_lr=embedder_lr,
        audio_s=audio_s,
        step_s=step_s,
        bucket=micro_batches[0].bucket,
        times=clock.read(step_s),
        files=tuple(name for batch in micro_batches for name in batch.files),
        walks=tuple(walk for batch in micro_batches for walk in batch.walks),
    )


@dataclass(frozen=True, slots=True)
class _Maths:
    """What a micro-batch is worked on with."""

    family: ModelFamily
    config: Config
    sigmas: Tensor
    ssl_weight: float
    device: torch.device
    clock: StepClock


def _accumulate(state: TrainState, cpu_batch: Batch, share: float, maths: _Maths) -> LossTerms:
    """Forward and backward of one micro-batch, which is this share of the step's samples."""
    clock, config, device = maths.clock, maths.config, maths.device
    batch, rolled = cpu_batch.to(device), None
    if any(batch.walks):
        # Autocast of its own: it keeps the weights that it casts, and these are cast without gradient.
        with clock.span("rollout"), precision_context(config, device):
            rolled = maths.family.roll_out(state.model, batch, sigmas=maths.sigmas, reflexflow=reflexflow_of(config))
    with clock.span("forward"), precision_context(config, device):
        terms = maths.family.loss(state.model, batch, sigmas=maths.sigmas, ssl_weight=maths.ssl_weight, rolled=rolled)
    with clock.span("backward"):
        total = terms.total * share
        torch.autograd.backward(total if state.scaler is None else state.scaler.scale(total))
    return terms


def _move(state: TrainState, *, overflowed: bool, set_to_none: bool) -> None:
    """Step, zero and schedule every optimizer; where gradients overflowed the loss scaler, all of them stand still.

    All: clipping to a norm that is not finite has spoilt the gradients of the others too.
    """
    for optimizer in state.optimizers:
        if state.scaler is None:
            optimizer.step()
        elif not overflowed:
            state.scaler.step(optimizer)
    if state.scaler is not None:
        state.scaler.update()
    for optimizer, schedule in zip(state.optimizers, state.schedules, strict=True):
        optimizer.zero_grad(set_to_none=set_to_none)
        schedule.step()


def rollout_facts(config: Config, result: StepResult) -> dict[str, float | None]:
    """The fields of the step's event about scheduled sampling; none while it is off."""
    if rollout_plan(config) is None:
        return {}
    walked = [walk for walk in result.walks if walk]
    return {
        "rollout_share": round(len(walked) / len(result.walks), 4),
        "rollout_steps": round(sum(walked) / len(walked), 2) if walked else None,
        "rollout_s": round(result.times.rollout_s or 0.0, 4),
    }


def _read(terms_of: list[LossTerms], weights: list[float], grad_norm: Tensor) -> tuple[float, float | None, float]:
    """Loss, SSL part and gradient norm as numbers: the step's one wait for the device."""
    share = torch.tensor(weights)
    totals = torch.stack([terms.total.detach().float() for terms in terms_of])
    # As it stands in the total: the mean over the representations, the samples of a step counting alike.
    ssl = [
        torch.stack(list(terms.ssl.values())).mean().float() * weight
        for terms, weight in zip(terms_of, weights, strict=True)
        if terms.ssl
    ]
    ssl_total = torch.stack(ssl).sum().reshape(1) if ssl else totals.new_zeros(1)
    *losses, ssl_value, norm = torch.cat([totals, ssl_total, grad_norm.detach().float().reshape(1)]).tolist()
    loss = sum(value * weight for value, weight in zip(losses, share.tolist(), strict=True))
    return loss, (ssl_value if ssl else None), norm


def _check_finite(
    state: TrainState, batches: Sequence[Batch], terms_of: list[LossTerms], *, loss: float, grad_norm: float
) -> None:
    # With a loss scaler, infinite gradients are its ordinary way of finding the scale: it skips the step. Were that to
    # go on below the smallest scale, every step would be skipped in silence.
    # (Asking for the scale waits for the device, so it comes last.)
    if math.isfinite(loss) and (
        math.isfinite(grad_norm) or (state.scaler is not None and state.scaler.get_scale() > SMALLEST_LOSS_SCALE)
    ):
        return
    guilty = [
        name
        for batch, terms in zip(batches, terms_of, strict=True)
        for name, value in zip(batch.files, terms.per_sample.tolist(), strict=True)
        if not math.isfinite(value)
    ]
    files = guilty or [name for batch in batches for name in batch.files]
    where = "It happened in" if guilty else "The songs of that step:"
    what = "the loss is" if not math.isfinite(loss) else "the gradients are"
    names = " and ".join(dict.fromkeys(files))
    raise NonFiniteLossError(
        f"stopped at step {state.step + 1}: {what} no longer a number. {where} {names}",
        hint="Leave these songs out (exclude_files), or halve learning_rate, then run the same command again: "
        "it goes on from the last checkpoint.",
    )
