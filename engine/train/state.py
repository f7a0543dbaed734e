"""Everything that changes while training, in one place: what a checkpoint must hold and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from engine.model.transformer import AceStepTransformer
from engine.optim.memory import load_memory, memory_tensors
from engine.train.ema import Ema

RNG_PREFIX = "rng."


@dataclass(frozen=True)
class EmbedderTraining:
    """How the lyrics embedder is trained where that differs from the rest (spec config-formats.md 8).

    Attributes:
        optimizer: Its own, or None where it is the last group of the main one.
        schedule: That of `optimizer`.
    """

    optimizer: Optimizer | None = None
    schedule: LambdaLR | None = None


@dataclass
class TrainState:
    """The moving parts of a run.

    Attributes:
        model: The transformer, with its adapter in LoRA runs.
        trainable: Name → parameter, in a fixed order; the optimizers' parameters are these.
        optimizer: Steps `trainable`.
        schedule: Learning rate as a pure function of the step; stepped after the optimizer.
        scaler: Loss scaler of fp16, else None.
        ema: The moving average of `trainable`, if one is kept.
        embedder: The lyrics embedder's rate or optimizer, if it has one of its own.
        step: Optimizer steps done.
        heldout_first: Held-out loss before the first step, once measured.
        heldout_last: The newest held-out loss.
        best_step: Step of the lowest held-out loss among the saved ones.
        best_loss: That loss.
        audio_s: Seconds of audio trained on.
        train_s: Seconds spent in training, over all starts.
        halted: () float32 on the device, 1 once a step was bad; every later step is then left out. None until needed.
    """

    model: AceStepTransformer
    trainable: dict[str, nn.Parameter]
    optimizer: Optimizer
    schedule: LambdaLR
    scaler: torch.amp.GradScaler | None = None
    ema: Ema | None = None
    embedder: EmbedderTraining | None = None
    step: int = 0
    heldout_first: float | None = None
    heldout_last: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    audio_s: float = 0.0
    train_s: float = 0.0
    halted: torch.Tensor | None = None

    @property
    def can_move_unread(self) -> bool:
        """Whether the optimizers can leave out a bad step by themselves, on the device: torch's fused ones can.

        Elsewhere the host has to look at the loss before a weight moves, and waits for it.
        """
        return self.scaler is None and all(
            group.get("fused") and group["params"][0].device.type == "cuda"
            for optimizer in self.optimizers
            for group in optimizer.param_groups
        )

    def halt_where(self, is_bad: torch.Tensor) -> None:
        """From now on no weight moves where ``is_bad``, () bool on the device, holds; nor later."""
        bad = is_bad.float()
        self.halted = bad if self.halted is None else torch.maximum(self.halted, bad)
        for optimizer in self.optimizers:
            optimizer.found_inf = self.halted  # type: ignore[attr-defined]  # what a loss scaler tells them

    @property
    def optimizers(self) -> tuple[Optimizer, ...]:
        """The main one, and the lyrics embedder's own if it has one."""
        own = None if self.embedder is None else self.embedder.optimizer
        return (self.optimizer,) if own is None else (self.optimizer, own)

    @property
    def schedules(self) -> tuple[LambdaLR, ...]:
        """One for each of `optimizers`."""
        own = None if self.embedder is None else self.embedder.schedule
        return (self.schedule,) if own is None else (self.schedule, own)

    def rate(self) -> float:
        """The main learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def embedder_rate(self) -> float | None:
        """The lyrics embedder's learning rate of the next step, where it has one of its own."""
        return None if self.embedder is None else float(self.optimizers[-1].param_groups[-1]["lr"])

    @contextlib.contextmanager
    def as_judged(self) -> Iterator[None]:
        """The weights are those that are measured, heard, saved and shared inside the block.

        Only a schedule-free optimizer trains others; after the block they are back, bit for bit.
        """
        changed = [optimizer for optimizer in self.optimizers if optimizer.param_groups[0].get("train_mode")]
        for optimizer in changed:
            optimizer.eval()  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for optimizer in changed:
                optimizer.train()  # type: ignore[attr-defined]

    def counters(self) -> dict[str, float | int | None]:
        """The plain numbers, for training_state.json."""
        return {
            "global_step": self.step,
            "heldout_first": self.heldout_first,
            "heldout_last": self.heldout_last,
            "best_step": self.best_step,
            "best_loss": self.best_loss,
            "audio_s": self.audio_s,
            "train_s": self.train_s,
        }

    def restore_counters(self, counters: dict[str, float | int | None]) -> None:
        """Take the numbers of `counters` back."""
        self.step = int(counters["global_step"] or 0)
        self.heldout_first = counters.get("heldout_first")
        self.heldout_last = counters.get("heldout_last")
        best_step = counters.get("best_step")
        self.best_step = None if best_step is None else int(best_step)
        self.best_loss = counters.get("best_loss")
        self.audio_s = float(counters.get("audio_s") or 0.0)
        self.train_s = float(counters.get("train_s") or 0.0)


def optimizer_tensors(state: TrainState) -> dict[str, torch.Tensor]:
    """All that the optimizers remember, on the CPU by parameter name (`engine.optim.memory`)."""
    return memory_tensors(state.optimizers, state.trainable)


def load_optimizer_tensors(state: TrainState, tensors: dict[str, torch.Tensor]) -> tuple[str, ...]:
    """Put the tensors of `optimizer_tensors` back; returns the names in them that are not trained now."""
    return load_memory(state.optimizers, state.trainable, tensors)


def random_tensors(device: torch.device) -> dict[str, torch.Tensor]:
    """States of the generators that module dropout draws from (CPU, and the device's own)."""
    tensors = {f"{RNG_PREFIX}cpu": torch.get_rng_state()}
    if device.type == "cuda":
        tensors[f"{RNG_PREFIX}cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        tensors[f"{RNG_PREFIX}mps"] = torch.mps.get_rng_state()
    return tensors


def load_random_tensors(tensors: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore `random_tensors`; a state of another kind of device is left alone."""
    torch.set_rng_state(tensors[f"{RNG_PREFIX}cpu"])
    if device.type == "cuda" and f"{RNG_PREFIX}cuda" in tensors:
        torch.cuda.set_rng_state(tensors[f"{RNG_PREFIX}cuda"], device)
    elif device.type == "mps" and f"{RNG_PREFIX}mps" in tensors:
        torch.mps.set_rng_state(tensors[f"{RNG_PREFIX}mps"])
