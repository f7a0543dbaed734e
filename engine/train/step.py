"""One optimizer step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.batches.collate import Batch
from engine.contract.config import Config
from engine.memory.graphs import MicroStepGraphs
from engine.memory.runner import runner_of
from engine.model.family import ModelFamily
from engine.model.keyed_dropout import sample_keys
from engine.objective.loss import LossTerms
from engine.objective.reflexflow import reflexflow_of
from engine.objective.rollout import RolledOut
from engine.optim.build import clip_gradients
from engine.planning.rollout_plan import rollout_plan
from engine.train.reading import PendingStep, StepResult, shares_of
from engine.train.state import TrainState
from engine.train.step_clock import StepClock


def precision_context(config: Config, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Autocast for ``mixed_precision`` fp16 or bf16; nothing for ``no`` (everything in float32)."""
    dtypes = {"fp16": torch.float16, "bf16": torch.bfloat16}
    dtype = dtypes.get(config.mixed_precision)
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


@dataclass(frozen=True, slots=True)
class Maths:
    """What the micro-batches of a run are worked on with.

    Attributes:
        family: The model's.
        config: The run's.
        sigmas: The table of noise levels, on the device.
        ssl_weight: 0 = no SSL loss.
        device: Where it trains.
        clock: Times the parts.
        graphs: Replays micro-batches of a shape that came before, if that is possible.
    """

    family: ModelFamily
    config: Config
    sigmas: Tensor
    ssl_weight: float
    device: torch.device
    clock: StepClock
    graphs: MicroStepGraphs | None = None


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
) -> StepResult:
    """`begin_step` as it is, uncaptured, and wait for what it gave; the arguments are those of `Maths`.

    Raises:
        NonFiniteLossError: Loss or gradients are not finite; names the batch's files. The weights are untouched.
    """
    return begin_step(state, micro_batches, Maths(family, config, sigmas, ssl_weight, device, clock)).result()


def begin_step(
    state: TrainState,
    micro_batches: Sequence[Batch],
    maths: Maths,
    *,
    before_move: Callable[[], None] = lambda: None,
) -> PendingStep:
    """Forward and backward over the micro-batches, clip, finite check, optimizer, schedule.

    The loss is the mean over the *samples* of the step, so 1 × 4 accumulated equals a batch of 4.
    ``before_move`` is called once the gradients are there, before a weight or an optimizer's memory changes.

    Where the optimizer can leave a step out by itself (`TrainState.can_move_unread`), nobody waits for the device: the
    check is then made there, and told by `PendingStep.result`. Weights stand still from the bad step on.

    Raises:
        NonFiniteLossError: As `train_step`, where the losses were waited for.
    """
    config, clock = maths.config, maths.clock
    clock.begin()
    shares = shares_of(micro_batches)
    terms_of = [_accumulate(state, batch, share, maths) for batch, share in zip(micro_batches, shares, strict=True)]

    with clock.span("optimizer"):
        if state.scaler is not None:
            for optimizer in state.optimizers:
                state.scaler.unscale_(optimizer)
        grad_norm = clip_gradients(
            state.trainable.values(), max_norm=config.max_grad_norm, method=config.grad_clip_method
        )
    pending = PendingStep(state, micro_batches, terms_of, grad_norm)
    pending.lr, pending.embedder_lr = state.rate(), state.embedder_rate()
    overflowed = False
    if state.can_move_unread:
        state.halt_where(_is_bad(terms_of, grad_norm))
    else:
        overflowed = not math.isfinite(pending.check())

    before_move()
    with clock.span("optimizer"):
        _move(state, overflowed=overflowed, set_to_none=config.set_grads_to_none)
        state.step += 1
        if state.ema is not None:
            state.ema.update(state.step)
    pending.spans = clock.end()
    return pending


def _accumulate(state: TrainState, cpu_batch: Batch, share: float, maths: Maths) -> LossTerms:
    """Forward and backward of one micro-batch, which is this share of the step's samples."""
    clock, config, device = maths.clock, maths.config, maths.device
    keys = sample_keys(config.seed, state.step, cpu_batch.positions)
    replayed = _replayed(state, cpu_batch, keys, share, maths)
    if replayed is not None:
        return replayed
    batch, rolled = cpu_batch.to(device, non_blocking=True), None
    if any(batch.walks):
        # Autocast of its own: it keeps the weights that it casts, and these are cast without gradient.
        with clock.span("rollout"), precision_context(config, device):
            rolled = maths.family.roll_out(state.model, batch, sigmas=maths.sigmas, reflexflow=reflexflow_of(config))
    with _dropout_of(state, batch, keys.to(device, non_blocking=True)):
        with clock.span("forward"):
            terms = _losses(state, batch, maths, rolled)
        with clock.span("backward"):
            total = terms.total * share
            torch.autograd.backward(total if state.scaler is None else state.scaler.scale(total))
    return terms


def _replayed(state: TrainState, batch: Batch, keys: Tensor, share: float, maths: Maths) -> LossTerms | None:
    """The same by CUDA graphs; None where there are none for the batch."""
    graphs = maths.graphs
    # What waits in main memory may do so only since memory ran out: what a graph would replay is no longer so then.
    if graphs is None or any(batch.walks) or not runner_of(state.model).is_all_here:
        return None
    key = graphs.key_of(batch)
    captured = graphs.get(key)
    if captured is None:
        if not graphs.is_due(key):
            return None
        captured = graphs.capture(
            key,
            batch,
            keys,
            share,
            forward=lambda fixed: _losses(state, fixed, maths),
            within=lambda fixed, fixed_keys: _dropout_of(state, fixed, fixed_keys),
        )
    with maths.clock.span("forward"):
        back = graphs.replay(captured, batch, keys, share)
    with maths.clock.span("backward"):
        return back()


def _dropout_of(state: TrainState, batch: Batch, keys: Tensor) -> contextlib.AbstractContextManager[None]:
    """Also around the backward pass, which may compute layers again."""
    return state.model.dropout_keys.of(keys, longest=batch.longest)


def _losses(state: TrainState, batch: Batch, maths: Maths, rolled: RolledOut | None = None) -> LossTerms:
    with precision_context(maths.config, maths.device):
        return maths.family.loss(state.model, batch, sigmas=maths.sigmas, ssl_weight=maths.ssl_weight, rolled=rolled)


def _is_bad(terms_of: Sequence[LossTerms], grad_norm: Tensor) -> Tensor:
    """() bool on the device: a loss or a gradient is not finite."""
    finite = torch.stack([terms.total.detach().float() for terms in terms_of] + [grad_norm.float().reshape(())])
    return ~finite.isfinite().all()


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
