"""What the codec takes of a device: windows as its memory allows, weights that are there only while they work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import nn

from engine.planning.codec_window import window_within

Module = TypeVar("Module", bound=nn.Module)


def window_frames(weight: torch.Tensor) -> int:
    """Mel frames to work on at once; the result is the same, up to rounding, with each.

    Args:
        weight: One of the codec, for its device and dtype.
    """
    total, free = memory_room(weight.device)
    return window_within(total, free, kind="cuda" if weight.device.type == "cuda" else "cpu")


def memory_room(device: torch.device) -> tuple[float, float]:
    """Bytes that this process may take of a device at most, and those that it does not have in use yet."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        used = torch.cuda.memory_allocated(device)
        # Some versions of torch ask for a number here: "cuda" alone is the current card.
        index = torch.cuda.current_device() if device.index is None else device.index
        allowed = total * torch.cuda.get_per_process_memory_fraction(index)
        return allowed, min(free + torch.cuda.memory_reserved(device), allowed) - used
    if device.type == "mps":
        total = torch.mps.recommended_max_memory()
        return float(total), float(total - torch.mps.driver_allocated_memory())
    return float("inf"), float("inf")


@contextlib.contextmanager
def visiting(module: Module, device: torch.device) -> Iterator[Module]:
    """A module that waits in main memory is on a device inside, and back after it.

    Nothing is copied back: the weights must not change. What is on the device already stays there.
    """
    tensors = [*module.parameters(), *module.buffers()]
    waiting = [(tensor, tensor.data) for tensor in tensors if tensor.device != device]
    try:
        for tensor, there in waiting:
            tensor.data = there.to(device)
        yield module
    finally:
        for tensor, there in waiting:
            tensor.data = there


def on_processor(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in main memory; from a CUDA card into pinned memory, ten times as fast."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    try:
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    except RuntimeError:  # the system allows no more
        return tensor.cpu()
    copied = pinned.copy_(tensor, non_blocking=True)
    torch.cuda.current_stream(tensor.device).synchronize()
    return copied
