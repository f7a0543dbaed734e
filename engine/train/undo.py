"""Taking a step back: a second try of the same step gives what an undisturbed one gives."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from engine.hardware.host import read_host
from engine.optim.memory import load_memory, memory_tensors
from engine.train.state import TrainState, load_random_tensors, random_tensors

_HOST_SHARE = 0.5
"""At most this share of the free main memory goes into a copy."""


class HostCopy:
    """All of a `TrainState` that a step changes, in main memory: weights, optimizer, schedule, counters, randomness.

    The average of the weights is no part of it.

    Args:
        state: As it is to be put back.
        device: Its random state is kept too.
        with_values: Keep weights and optimizer too; without, only a step that ends before they move can be undone.
    """

    def __init__(self, state: TrainState, device: torch.device, *, with_values: bool = True) -> None:
        self._state, self._device, self._with_values = state, device, with_values
        self._weights = {name: _copied(parameter) for name, parameter in state.trainable.items() if with_values}
        self._gradients = [name for name, parameter in state.trainable.items() if parameter.grad is not None]
        memory = memory_tensors(state.optimizers, state.trainable) if with_values else {}
        self._memory = {name: tensor.clone() for name, tensor in memory.items()}
        self._groups = [
            [
                {key: copy.deepcopy(value) for key, value in group.items() if key != "params"}
                for group in optimizer.param_groups
            ]
            for optimizer in state.optimizers
        ]
        self._schedules = [
            {name: copy.copy(getattr(schedule, name)) for name in ("last_epoch", "_step_count", "_last_lr")}
            for schedule in state.schedules
        ]
        self._scaler = None if state.scaler is None else state.scaler.state_dict()
        self._counters = state.counters()
        self._random = random_tensors(device)

    @staticmethod
    def has_room(state: TrainState) -> bool:
        """Whether main memory has room for a copy beside all else."""
        sizes = [_num_bytes(parameter) for parameter in state.trainable.values()]
        sizes += [
            _num_bytes(value)
            for optimizer in state.optimizers
            for entries in optimizer.state.values()
            for value in entries.values()
            if isinstance(value, Tensor)
        ]
        free = read_host().free_bytes
        return free is None or sum(sizes) <= _HOST_SHARE * free

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back, bit for bit; what an optimizer allocated since is freed."""
        state = self._state
        _drop_gradients(state)
        for optimizer in state.optimizers if self._with_values else ():
            optimizer.state.clear()
        if self._memory:
            load_memory(state.optimizers, state.trainable, self._memory)
        for name, weight in self._weights.items():
            state.trainable[name].copy_(weight)
        for optimizer, groups in zip(state.optimizers, self._groups, strict=True):
            for group, kept in zip(optimizer.param_groups, groups, strict=True):
                for key in [key for key in group if key != "params" and key not in kept]:
                    del group[key]
                group.update(copy.deepcopy(kept))
        for schedule, kept in zip(state.schedules, self._schedules, strict=True):
            for name, value in kept.items():
                setattr(schedule, name, copy.copy(value))
        _put_back_scaler(state, self._scaler, self._device)
        _zero_gradients(state, self._gradients)
        state.restore_counters(self._counters)
        load_random_tensors(self._random, self._device)


class StepStart:
    """How a step began. As long as no weight has moved, going back there costs next to nothing.

    A weight moves in `train_step` after `before_move`. An optimizer allocates its memory when it first moves, and could
    run out half way: for that once the weights are copied to main memory before. Later moves take no more than what
    is asked for and given back just before them, so that memory runs out there or not at all.

    Args:
        state: At the start of a step.
        device: Where it trains.
        is_first: Whether no weight has moved yet in this start.
    """

    def __init__(self, state: TrainState, device: torch.device, *, is_first: bool) -> None:
        self._state, self._device = state, device
        self._random = random_tensors(device)
        self._scaler = None if state.scaler is None else state.scaler.state_dict()
        self._gradients = [name for name, parameter in state.trainable.items() if parameter.grad is not None]
        self._copy: HostCopy | None = None
        self._is_first, self._is_moving = is_first, False

    def before_move(self) -> None:
        """The weights are about to move."""
        if self._is_first and HostCopy.has_room(self._state):
            self._copy = HostCopy(self._state, self._device)
        elif self._device.type == "cuda":
            # As many and as large as the temporary values of an optimizer that works on all weights at once.
            room = [torch.empty_like(parameter) for parameter in self._state.trainable.values()]
            del room
        self._is_moving = True

    def restore(self) -> bool:
        """Go back to the start of the step; False where weights have moved that nobody can move back."""
        if self._copy is not None:
            self._copy.restore()
        elif self._is_moving:
            return False
        _drop_gradients(self._state)
        _put_back_scaler(self._state, self._scaler, self._device)
        _zero_gradients(self._state, self._gradients)
        load_random_tensors(self._random, self._device)
        self._copy, self._is_moving = None, False
        return True


def _drop_gradients(state: TrainState) -> None:
    for parameter in state.trainable.values():
        parameter.grad = None


def _zero_gradients(state: TrainState, names: list[str]) -> None:
    """Where a gradient of zeros was, one is again: an optimizer moves such a weight, but not one without a gradient."""
    for name in names:
        state.trainable[name].grad = torch.zeros_like(state.trainable[name])


def _put_back_scaler(state: TrainState, kept: dict[str, Any] | None, device: torch.device) -> None:
    if kept is not None:
        # A new one: the old one may have unscaled gradients that are gone.
        state.scaler = torch.amp.GradScaler(device.type)
        state.scaler.load_state_dict(kept)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _num_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
