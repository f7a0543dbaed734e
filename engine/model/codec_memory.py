"""What the codec takes of a device: windows as its memory allows, weights that are there only while they work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from engine.planning.codec_window import window_within


def window_frames(weight: torch.Tensor) -> int:
    """Mel frames to work on at once; the result is the same, up to rounding, with each.

    Args:
        weight: One of the codec, for its device and dtype.
    """
    total, free = memory_room(weight.device)
    return window_within(total, free, bytes_per_number=weight.element_size())


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
