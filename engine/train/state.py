"""Everything that changes while training, in one place: what a checkpoint must hold and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

RNG_PREFIX = "rng."
OPTIMIZER_PREFIX = "optimizer."


@dataclass
class TrainState:
    """The moving parts of a run.

    Attributes:
        model: The transformer, with its adapter in LoRA runs.
        trainable: Name → parameter, in a fixed order; the optimizer's parameters are these.
        optimizer: Steps `trainable`.
        schedule: Learning rate as a pure function of the step; stepped after the optimizer.
        scaler: Loss scaler of fp16, else None.
        step: Optimizer steps done.
        heldout_first: Held-out loss before the first step, once measured.
        heldout_last: The newest held-out loss.
        best_step: Step of the lowest held-out loss among the saved ones.
        best_loss: That loss.
        audio_s: Seconds of audio trained on.
        train_s: Seconds spent in training, over all starts.
    """

    model: nn.Module
    trainable: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler | None = None
    step: int = 0
    heldout_first: float | None = None
    heldout_last: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    audio_s: float = 0.0
    train_s: float = 0.0

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
    """The optimizer's memory by parameter name: ``optimizer.<parameter>|<entry>`` → CPU tensor.

    Plain numbers (some optimizers count steps so) become 0-d float64 tensors.
    """
    names = {id(parameter): name for name, parameter in state.trainable.items()}
    tensors = {}
    for parameter, entries in state.optimizer.state.items():
        for entry, value in entries.items():
            tensor = value if isinstance(value, torch.Tensor) else torch.tensor(float(value), dtype=torch.float64)
            tensors[f"{OPTIMIZER_PREFIX}{names[id(parameter)]}|{entry}"] = tensor.detach().cpu().contiguous()
    return tensors


def load_optimizer_tensors(state: TrainState, tensors: dict[str, torch.Tensor]) -> None:
    """Put the tensors of `optimizer_tensors` back, through the optimizer's own loading (devices, dtypes)."""
    saved = state.optimizer.state_dict()
    order = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    index = {id(parameter): position for position, parameter in enumerate(order)}
    memory: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(OPTIMIZER_PREFIX):
            name, entry = key[len(OPTIMIZER_PREFIX) :].rsplit("|", 1)
            memory.setdefault(index[id(state.trainable[name])], {})[entry] = tensor
    saved["state"] = memory
    state.optimizer.load_state_dict(saved)


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
