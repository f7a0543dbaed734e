"""What a step gave, read from the device when it is known: the host need not wait for a step to begin the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.batches.collate import Batch
from engine.contract.errors import NonFiniteLossError
from engine.objective.loss import LossTerms
from engine.train.state import TrainState
from engine.train.step_clock import Spans, StepTimes

SMALLEST_LOSS_SCALE = 1.0
"""An fp16 step that still overflows below this factor does not overflow because of the factor."""


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step gave, as plain numbers; `step` counts it."""

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
    step: int = 0


class Numbers:
    """A few numbers on their way from the device.

    Args:
        values: (N,) float32 on the device; queued for copying now, so later work does not delay them.
    """

    def __init__(self, values: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()
        else:
            self._values = values

    @property
    def are_here(self) -> bool:
        """Whether reading them waits for nothing."""
        return self._event is None or self._event.query()

    def read(self) -> list[float]:
        """Wait for them."""
        if self._event is not None:
            self._event.synchronize()
        return self._values.tolist()


class PendingStep:
    """A step that the device may still be at work on.

    Args:
        state: Its counters have the step counted already when it moved without being read.
        batches: The step's micro-batches.
        terms_of: Their losses.
        grad_norm: Before clipping, on the device.
    """

    lr: float
    embedder_lr: float | None
    spans: Spans

    def __init__(
        self, state: TrainState, batches: Sequence[Batch], terms_of: Sequence[LossTerms], grad_norm: Tensor
    ) -> None:
        self.step, self.batches = state.step + 1, batches
        self._state, self._terms_of = state, terms_of
        self._has_ssl = any(terms.ssl for terms in terms_of)
        self._numbers = Numbers(_stacked(terms_of, batches, grad_norm))
        self._read: list[float] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether `result` waits for nothing."""
        return self._numbers.are_here and self.spans.are_over

    def check(self) -> float:
        """Wait for the losses; the gradient norm.

        Raises:
            NonFiniteLossError: Loss or gradients are not finite; names the batch's files. The weights are untouched.
        """
        if self._read is None:  # once: the loss scaler that it looks at moves with the weights
            numbers = self._numbers.read()
            *totals, _, norm = numbers
            _check_finite(self, self._state, self._terms_of, loss=math.fsum(totals), grad_norm=norm)
            self._read = numbers
        return self._read[-1]

    def result(self) -> StepResult:
        """Wait for the step; to be called once.

        Raises:
            NonFiniteLossError: As `check`.
        """
        self.check()
        assert self._read is not None
        *totals, ssl, norm = self._read
        step_s, times = self.spans.read()
        audio_s = sum(batch.audio_s for batch in self.batches)
        self._state.audio_s += audio_s
        self._state.train_s += step_s
        return StepResult(
            loss=math.fsum(totals),
            ssl_loss=ssl if self._has_ssl else None,
            grad_norm=norm,
            lr=self.lr,
            embedder_lr=self.embedder_lr,
            audio_s=audio_s,
            step_s=step_s,
            bucket=self.batches[0].bucket,
            times=times,
            files=tuple(name for batch in self.batches for name in batch.files),
            walks=tuple(walk for batch in self.batches for walk in batch.walks),
            step=self.step,
        )


def shares_of(batches: Sequence[Batch]) -> list[float]:
    """Each micro-batch's part of the step's samples."""
    num_samples = sum(len(batch.files) for batch in batches)
    return [len(batch.files) / num_samples for batch in batches]


def _stacked(terms_of: Sequence[LossTerms], batches: Sequence[Batch], grad_norm: Tensor) -> Tensor:
    """Each micro-batch's part of the loss, the SSL part and the gradient norm, (M + 2,) float32."""
    weights = shares_of(batches)
    totals = [terms.total.detach().float() * weight for terms, weight in zip(terms_of, weights, strict=True)]
    # As it stands in the total: the mean over the representations, the samples of a step counting alike.
    ssl = [
        torch.stack(list(terms.ssl.values())).mean().float() * weight
        for terms, weight in zip(terms_of, weights, strict=True)
        if terms.ssl
    ]
    ssl_total = torch.stack(ssl).sum() if ssl else torch.zeros_like(totals[0])
    return torch.stack([*totals, ssl_total, grad_norm.detach().float().reshape(())])


def _check_finite(
    pending: PendingStep, state: TrainState, terms_of: Sequence[LossTerms], *, loss: float, grad_norm: float
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
        for batch, terms in zip(pending.batches, terms_of, strict=True)
        for name, value in zip(batch.files, terms.per_sample.tolist(), strict=True)
        if not math.isfinite(value)
    ]
    files = guilty or [name for batch in pending.batches for name in batch.files]
    where = "It happened in" if guilty else "The songs of that step:"
    what = "the loss is" if not math.isfinite(loss) else "the gradients are"
    names = " and ".join(dict.fromkeys(files))
    raise NonFiniteLossError(
        f"stopped at step {pending.step}: {what} no longer a number. {where} {names}",
        hint="Leave these songs out (exclude_files), or halve learning_rate, then run the same command again: "
        "it goes on from the last checkpoint.",
    )
