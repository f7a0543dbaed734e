"""The feed-forward's middle as one CUDA kernel each way: SiLU, depthwise convolution, gate (spec 2.8).

``out = value * silu(gate)`` with ``value, gate = conv(silu(x))``. What the compiler makes of it reads and writes the
widest tensor of a block three times forwards and five times backwards; here it is read once forwards, and backwards
read once and its gradient written once, everything between being computed again in registers. Only for a convolution
that is not trained. Used where Triton is, on NVIDIA cards.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from engine.model.triton_kernels import HAS_TRITON

_CHUNKS = (8, 32)
"""Frames that one program goes through, its neighbours in registers: few where there are few, so that all of a card is
at work; else many, so that few are read twice."""
_MANY_FRAMES = 2048
_BLOCK = 256
"""Channels side by side in one program."""


def can_gate(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether `gated_conv` works on these."""
    is_trained = torch.is_grad_enabled() and (weight.requires_grad or bias.requires_grad)
    return x.device.type == "cuda" and not is_trained and x.dtype == weight.dtype and HAS_TRITON


def gated_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The middle of the feed-forward; differentiable in ``x`` alone.

    Args:
        x: (B, T, 2 N).
        weight: (2 N, 1, 3), of x's dtype.
        bias: (2 N,), likewise.

    Returns:
        (B, T, N), computed in float32 and rounded once.
    """
    result: Tensor = torch.ops.acestep_tui.gated_conv(x, weight, bias)
    return result


@torch.library.custom_op("acestep_tui::gated_conv", mutates_args=())
def _gated_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    x = x.contiguous()
    batch, num_frames, width = x.shape
    out = x.new_empty(batch, num_frames, width // 2)
    kernels, grid, chunk = _launch(x)
    kernels.forward[grid](x, weight.contiguous(), bias, out, num_frames, width // 2, CHUNK=chunk, BLOCK=_BLOCK)
    return out


@torch.library.custom_op("acestep_tui::gated_conv_backward", mutates_args=())
def _gated_conv_backward(gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    x, gradient = x.contiguous(), gradient.contiguous()
    result = torch.empty_like(x)
    kernels, grid, chunk = _launch(x)
    sizes = (x.shape[1], x.shape[2] // 2)
    kernels.backward[grid](gradient, x, weight.contiguous(), bias, result, *sizes, CHUNK=chunk, BLOCK=_BLOCK)
    return result


@_gated_conv.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    del weight, bias
    return x.new_empty(x.shape[0], x.shape[1], x.shape[2] // 2)


@_gated_conv_backward.register_fake
def _(gradient: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    del gradient, weight, bias
    return x.new_empty(x.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    del output
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    return torch.ops.acestep_tui.gated_conv_backward(gradient, *ctx.saved_tensors), None, None


_gated_conv.register_autograd(_differentiate, setup_context=_keep)


def _launch(x: Tensor) -> tuple[Any, tuple[int, int, int], int]:
    """The kernels, as many programs as cover a tensor (B, T, 2 N), and the frames of each."""
    from engine.model import gated_conv_kernels

    batch, num_frames, width = x.shape
    chunk = _CHUNKS[batch * num_frames >= _MANY_FRAMES]
    return gated_conv_kernels, (-(-width // 2 // _BLOCK), -(-num_frames // chunk), batch), chunk
