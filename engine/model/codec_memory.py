"""What the codec takes of a device: windows as its memory allows, weights that are there only while they work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

WINDOWS = (2048, 1024, 512)
"""Mel frames that the full-resolution convolutions may work on at once: 24, 12 or 6 seconds, the fastest first."""

_FRAME_BYTES = 283_000
"""What a frame more in the window takes in float32 at the released width (by following every tensor)."""

_SHARE_OF_ALL, _SHARE_OF_FREE = 1 / 24, 1 / 2
"""A window may take so much of a device: cards from 16 GB on have the widest, those of 6 GB the narrowest."""


def window_frames(weight: torch.Tensor) -> int:
    """Mel frames to work on at once; the result is the same, up to rounding, with each.

    Args:
        weight: One of the codec, for its device and dtype.
    """
    total, free = memory_room(weight.device)
    frame_bytes = _FRAME_BYTES * weight.element_size() / 4
    room = min(total * _SHARE_OF_ALL, free * _SHARE_OF_FREE)
    return next((frames for frames in WINDOWS if frames * frame_bytes <= room), WINDOWS[-1])


def memory_room(device: torch.device) -> tuple[float, float]:
    """Bytes that this process may take of a device at most, and those that it does not have in use yet."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        used = torch.cuda.memory_allocated(device)
        allowed = total * torch.cuda.get_per_process_memory_fraction(device)
        return allowed, min(free + torch.cuda.memory_reserved(device), allowed) - used
    if device.type == "mps":
        total = torch.mps.recommended_max_memory()
        return float(total), float(total - torch.mps.driver_allocated_memory())
    return float("inf"), float("inf")


@contextlib.contextmanager
def visiting(module: nn.Module, device: torch.device) -> Iterator[None]:
    """A module that waits in main memory is on a device inside, and back after it.

    Nothing is copied back: the weights must not change. What is on the device already stays there.
    """
    tensors = [*module.parameters(), *module.buffers()]
    waiting = [(tensor, tensor.data) for tensor in tensors if tensor.device != device]
    try:
        for tensor, there in waiting:
            tensor.data = there.to(device)
        yield
    finally:
        for tensor, there in waiting:
            tensor.data = there
