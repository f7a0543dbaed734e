"""Activation offload: the inputs of recomputed groups wait in main memory between forward and backward pass.

Full recompute keeps one (B, T, D) a group, which is what then grows with length and batch: 24 × 5 kB a latent frame
and song. It pays for long pieces times many songs; the copies are short beside the computation then.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.contract.errors import ConfigError
from engine.memory.copies import CopyStream, HostMemory, Ticket, Warn, silent
from engine.memory.runner import runner_of

if TYPE_CHECKING:
    from engine.model.transformer import AceStepTransformer

STAYING_INPUTS = 2
"""The newest inputs stay on the device too: their copy may still run, and the backward pass begins with them."""


def offload_inputs(model: AceStepTransformer, on: bool, device: torch.device, *, warn: Warn = silent) -> None:
    """Keep the inputs of recomputed groups in main memory from now on, or on the device again; between two steps.

    It has its effect with the recompute policy ``full`` alone.

    Args:
        model: The transformer.
        on: Whether they go to main memory.
        device: Where the model computes.
        warn: Told when main memory cannot be locked.

    Raises:
        ConfigError: ``on`` for an Apple GPU, whose memory is main memory.
    """
    if on and device.type == "mps":
        raise ConfigError(
            "activation_offload saves nothing on an Apple GPU: its memory is the computer's main memory",
            hint="Set activation_offload to false.",
        )
    runner_of(model).offload = InputOffload(device, warn=warn) if on else None


class InputOffload:
    """Sends inputs away and has them back in time: each fetch also starts that of the group before.

    Args:
        device: Where the model computes.
        warn: Told when main memory cannot be locked.
    """

    def __init__(self, device: torch.device, *, warn: Warn = silent) -> None:
        self.copies = CopyStream(device)
        self._memory = HostMemory(device, warn=warn)
        self._buffers: list[Tensor] = []
        self._newest: deque[weakref.ref[KeptInput]] = deque()

    def keep(self, hidden: Tensor, *, is_first: bool) -> KeptInput:
        """Start sending an input, (B, T, D), to main memory; ``is_first``: a forward pass begins with it."""
        if is_first:
            # What a pass without a backward pass left over (it failed) is no part of this one.
            self._newest.clear()
        before = self._newest[-1] if self._newest else None
        kept = KeptInput(self, hidden.detach(), before)
        self._newest.append(weakref.ref(kept))
        if len(self._newest) > STAYING_INPUTS:
            oldest = self._newest.popleft()()
            if oldest is not None:
                oldest.leave_device()
        return kept

    def take(self, num_bytes: int) -> Tensor:
        """A buffer in main memory of at least so many bytes."""
        # The stream of copies is one: what is written into a buffer next comes after what was read from it last.
        for index, buffer in enumerate(self._buffers):
            if buffer.numel() >= num_bytes:
                return self._buffers.pop(index)
        self._buffers.clear()  # all too small: longer pieces have come
        return self._memory.empty(num_bytes)

    def give_back(self, buffer: Tensor) -> None:
        """The buffer's content is no longer needed."""
        self._buffers.append(buffer)

    @property
    def num_free_buffers(self) -> int:
        """Buffers that wait for the next pass."""
        return len(self._buffers)


class KeptInput:
    """One input, on the device until `leave_device`, in main memory as long as this object lives: as the graph does."""

    def __init__(self, owner: InputOffload, hidden: Tensor, before: weakref.ref[KeptInput] | None) -> None:
        self._owner, self._before = owner, before
        self._shape, self._dtype, self._device = hidden.shape, hidden.dtype, hidden.device
        num_bytes = hidden.numel() * hidden.element_size()
        self._buffer = owner.take(num_bytes)
        self._host = self._buffer[:num_bytes].view(hidden.dtype).view(hidden.shape)
        self._here: Tensor | None = hidden
        self._ticket: Ticket = owner.copies.copy(self._host, hidden)

    def __del__(self) -> None:
        # After a failed pass a copy may still run: whoever gets the memory next comes after it.
        self._owner.copies.wait(self._ticket)
        self._owner.give_back(self._buffer)

    @property
    def is_here(self) -> bool:
        """Whether it takes memory of the device."""
        return self._here is not None

    def leave_device(self) -> None:
        """Let go of the device's memory, once the copy is done there."""
        self._owner.copies.wait(self._ticket)
        self._here = None

    def start(self) -> None:
        """Start the way back to the device, unless it is there."""
        if self._here is None:
            self._here = torch.empty(self._shape, dtype=self._dtype, device=self._device)
            self._ticket = self._owner.copies.copy(self._here, self._host)

    def fetch(self) -> Tensor:
        """The input on the device, (B, T, D); this object no longer holds it there."""
        self.start()
        self._owner.copies.wait(self._ticket)
        before = None if self._before is None else self._before()
        if before is not None:
            before.start()
        here, self._here = self._here, None
        assert here is not None
        return here
