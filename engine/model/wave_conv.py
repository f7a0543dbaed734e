"""A convolution over time as one kernel with what stands before and after it: residual, sum, SiLU.

The vocoder's head is 168 convolutions, each between two SiLUs, most of few channels, wide reach and dilations. cuDNN
has good kernels for some of them and none for others; here each is one matrix product over taps and channels.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.model.triton_kernels import HAS_TRITON, run_right

CHANNELS = 64
"""Channels are a multiple of this: where there are fewer, `engine.model.vocoder_fast` packs positions together."""

_LEAST_COLUMNS = 16
"""Columns that a product on tensor cores has at least."""

_LARGE_SHARED = 200_000
"""Bytes of shared memory a program may take on cards made for computing centres (A100: 163 kB, H100: 227 kB)."""


@dataclass(frozen=True, slots=True)
class Tile:
    """What one program works on: positions, columns, and as many channels of a tap as `CHANNELS` or half of them.

    Attributes:
        times: Positions.
        columns: Channels that come out.
        channels: Channels of a tap at once.
        num_warps: Threads, by 32.
        num_stages: Loads in flight.
    """

    times: int
    columns: int
    channels: int
    num_warps: int
    num_stages: int


def has_kernel(device: torch.device) -> bool:
    """Whether a device has the kernel: an NVIDIA card from Ampere on, beside a Triton that knows descriptors."""
    if device.type != "cuda" or not HAS_TRITON or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    return importlib.util.find_spec("triton.tools.tensor_descriptor") is not None and _runs(device)


@lru_cache
def _runs(device: torch.device) -> bool:
    return run_right(device, partial(_is_right, device))


def _is_right(device: torch.device) -> bool:
    """Three taps of ones over ones, in the middle and at an end."""
    x, weight = (torch.ones(shape, dtype=torch.float16, device=device) for shape in ((1, 4, 64), (3 * 64, 64)))
    _, active = wave_conv(x, weight / 64, torch.zeros(64, device=device), num_taps=3, is_active=True)
    assert active is not None
    expected = F.silu(torch.tensor([2.0, 3.0, 3.0, 2.0]))[:, None]
    return bool((active[0].float().cpu() - expected).abs().max() < 0.01)


def tile_for(width: int, *, shared_bytes: int) -> Tile:
    """A tile by channels that come out and the card's shared memory; the fastest on an H100 (docs/performance.md)."""
    if width >= 256 and shared_bytes >= _LARGE_SHARED:
        return Tile(128, 256, 64, 8, 4)
    if width >= 128:
        return Tile(256, 128, 64, 8, 4) if shared_bytes >= _LARGE_SHARED else Tile(128, 128, 32, 4, 4)
    return Tile(128, 64, 64, 8, 3) if width > _LEAST_COLUMNS else Tile(128, _LEAST_COLUMNS, 64, 4, 3)


def wave_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    num_taps: int,
    dilation: int = 1,
    residual: Tensor | None = None,
    total: Tensor | None = None,
    scale: float = 1.0,
    raw: torch.dtype | None = None,
    is_active: bool = False,
    tile: Tile | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """``y = (conv(x) + bias + residual + total) · scale``, padded with zeros to the same length; inference alone.

    Args:
        x: (B, n, C), float16 or bfloat16, contiguous; C a multiple of `CHANNELS`.
        weight: (num_taps · C, columns), of x's dtype: tap by tap, channels side by side; columns a multiple of 16,
            those beyond N are not used.
        bias: (N,), N a multiple of 8.
        num_taps: Odd.
        dilation: Positions from tap to tap.
        residual: (B, n, N).
        total: Likewise.
        scale: See above.
        raw: dtype in which y is wanted; None = it is not.
        is_active: Whether SiLU of y is wanted.
        tile: Instead of `tile_for`'s.

    Returns:
        y and SiLU of y, (B, n, N) each, the latter of x's dtype; None for what is not wanted.

    Raises:
        ValueError: C or N is no multiple of what it has to be.
    """
    from triton.tools.tensor_descriptor import TensorDescriptor

    from engine.model import wave_conv_kernels

    batch, length, channels = x.shape
    width = len(bias)
    if width % 8 or channels % CHANNELS:
        raise ValueError(f"{channels} channels to {width}: multiples of {CHANNELS} and 8 are wanted")
    tile = tile or tile_for(width, shared_bytes=_shared_bytes(x.device))
    plain = x.new_empty((batch, length, width), dtype=raw) if raw else None
    active = x.new_empty((batch, length, width)) if is_active else None
    tensors = (residual, total, plain, active)
    wave_conv_kernels.convolve[-(-length // tile.times) * -(-width // tile.columns), batch](
        TensorDescriptor.from_tensor(x, [1, tile.times, tile.channels]),
        TensorDescriptor.from_tensor(weight, [tile.channels, tile.columns]),
        bias,
        *(x if tensor is None else tensor for tensor in tensors),
        *(length, channels, width // 8, num_taps, dilation, scale),
        *(int(tensor is not None) for tensor in tensors),
        BLOCK_T=tile.times,
        BLOCK_N=tile.columns,
        BLOCK_C=tile.channels,
        num_warps=tile.num_warps,
        num_stages=tile.num_stages,
    )
    return plain, active


def _shared_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return 0  # Triton's interpreter
    properties: Any = torch.cuda.get_device_properties(device)
    return int(getattr(properties, "shared_memory_per_block_optin", 0))
