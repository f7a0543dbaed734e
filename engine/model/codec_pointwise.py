"""What stands between the codec's convolutions, one pass over memory each: a Triton kernel on NVIDIA cards, else torch.

All on pictures (B, C, H, W) or rows (N, C) with channels side by side in memory. Tensors that are called ``x`` are
overwritten.
"""

from __future__ import annotations

from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.model.triton_kernels import HAS_TRITON, run_right

_BLOCK = 1024
_NUMBERS_A_PROGRAM = 4096
_MOST_CHANNELS = 4096


def silu_bias(x: Tensor, bias: Tensor) -> Tensor:
    """``silu(x + bias)``."""
    if not _suits(x):
        return F.silu(x.add_(_over(x, bias)), inplace=True)
    from engine.model import codec_kernels

    codec_kernels.silu_bias[(_blocks(x.numel()),)](x, bias, x.numel(), x.shape[1], BLOCK=_BLOCK)
    return x


def gate_bias(x: Tensor, bias: Tensor) -> Tensor:
    """``(value + bias) · silu(gate + bias)``: the first half of the channels are values, the second gates."""
    half = x.shape[1] // 2
    if not _suits(x):
        value, gate = x.add_(_over(x, bias)).chunk(2, dim=1)
        return value * F.silu(gate)
    from engine.model import codec_kernels

    layout = torch.channels_last if x.ndim == 4 else torch.contiguous_format
    out = torch.empty((len(x), half, *x.shape[2:]), dtype=x.dtype, device=x.device, memory_format=layout)
    codec_kernels.gate_bias[(_blocks(out.numel()),)](x, bias, out, out.numel(), half, BLOCK=_BLOCK)
    return out


def norm_residual(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor, *, eps: float) -> Tensor:
    """RMS norm over the channels, weight and bias, plus ``residual`` of the same shape."""
    channels = x.shape[1]
    is_power = channels & (channels - 1) == 0 and channels <= _MOST_CHANNELS
    if not (_suits(x) and is_power and residual.stride() == x.stride()):
        rows = x.movedim(1, -1)
        return F.rms_norm(rows, (channels,), weight, eps).add_(bias).movedim(-1, 1).add_(residual)
    from engine.model import codec_kernels

    num_rows, at_once = x.numel() // channels, max(1, _NUMBERS_A_PROGRAM // channels)
    grid = (-(-num_rows // at_once),)
    codec_kernels.norm_residual[grid](x, weight, bias, residual, num_rows, eps, CHANNELS=channels, ROWS=at_once)
    return x


def halved_shortcut(x: Tensor, bias: Tensor, picture: Tensor) -> Tensor:
    """``x + bias`` and what `diffusers` adds where a picture is halved: means of two neighbours (DC-AE's shortcut).

    Args:
        x: (B, 2C, H, W).
        bias: (2C,).
        picture: (B, C, 2H, 2W).
    """
    if not (_suits(x) and _is_dense(picture)):
        halves = F.pixel_unshuffle(picture, 2).unflatten(1, (-1, 2)).mean(dim=2)
        return x.add_(_over(x, bias)).add_(halves)
    from engine.model import codec_kernels

    _, channels, height, width = x.shape
    grid = (_blocks(x.numel()),)
    codec_kernels.halved_shortcut[grid](x, bias, picture, x.numel(), height, width, channels, BLOCK=_BLOCK)
    return x


@lru_cache
def kernels_work(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the kernels run on a card in some format, which is tried once."""
    return run_right(device, partial(_is_right, device, dtype))


def _is_right(device: torch.device, dtype: torch.dtype) -> bool:
    from engine.model import codec_kernels

    x, bias = torch.ones(8, 8, device=device, dtype=dtype), torch.ones(8, device=device, dtype=dtype)
    codec_kernels.silu_bias[(1,)](x, bias, x.numel(), 8, BLOCK=_BLOCK)
    return bool((x.float() - F.silu(torch.tensor(2.0))).abs().max() < 0.01)


def _suits(x: Tensor) -> bool:
    """Whether the kernels work on a tensor: on an NVIDIA card, its channels side by side, nothing between its rows."""
    return x.is_cuda and HAS_TRITON and _is_dense(x) and kernels_work(x.device, x.dtype)


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.is_contiguous()


def _blocks(num: int) -> int:
    return -(-num // _BLOCK)


def _over(x: Tensor, bias: Tensor) -> Tensor:
    """A number a channel, to be added to ``x``."""
    return bias.view(1, -1, *[1] * (x.ndim - 2))
