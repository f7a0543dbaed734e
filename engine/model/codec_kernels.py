"""Triton kernels of the codec's fast form; imported where Triton is. Rows are positions, columns channels side by side.

A convolution leaves its result without its bias; what comes after it is one pass over memory here, in float32 inside.
"""

# ruff: noqa: PLR0917 -- kernels take what they take
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def silu_bias(x, bias, num, channels, BLOCK: tl.constexpr):
    """``x = silu(x + bias)`` in place, over ``num`` numbers."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < num
    value = tl.load(x + places, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + places % channels, mask=inside, other=0.0).to(tl.float32)
    tl.store(x + places, (value * tl.sigmoid(value)).to(x.dtype.element_ty), mask=inside)


@triton.jit
def gate_bias(x, bias, out, num, half, BLOCK: tl.constexpr):
    """``out = (x_value + bias_value) · silu(x_gate + bias_gate)``, the gates behind the values in each row of x."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < num
    channels = places % half
    values = places // half * (2 * half) + channels
    value = tl.load(x + values, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + channels, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(x + values + half, mask=inside, other=0.0).to(tl.float32)
    gate += tl.load(bias + channels + half, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + places, (value * gate * tl.sigmoid(gate)).to(out.dtype.element_ty), mask=inside)


@triton.jit
def norm_residual(x, weight, bias, residual, num_rows, eps, CHANNELS: tl.constexpr, ROWS: tl.constexpr):
    """``x = x / sqrt(mean(x²) + eps) · weight + bias + residual`` in place, each row by itself."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, CHANNELS)
    places = rows[:, None] * CHANNELS + columns[None, :]
    inside = (rows < num_rows)[:, None] & (columns >= 0)[None, :]
    value = tl.load(x + places, mask=inside, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(value * value, axis=1) / CHANNELS + eps)
    value = value * scale[:, None] * tl.load(weight + columns).to(tl.float32)[None, :]
    value += tl.load(bias + columns).to(tl.float32)[None, :]
    value += tl.load(residual + places, mask=inside, other=0.0).to(tl.float32)
    tl.store(x + places, value.to(x.dtype.element_ty), mask=inside)


@triton.jit
def halved_shortcut(x, bias, picture, num, height, width, channels, BLOCK: tl.constexpr):
    """Add bias and shortcut to a picture of half the height and width, and twice the channels.

    Channel ``2c + i`` of the shortcut is the mean of two neighbours in row ``2y + i`` of the larger one's channel c.

    Args:
        x: (B, height, width, channels), changed in place.
        bias: (channels,).
        picture: (B, 2·height, 2·width, channels / 2).
    """
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < num
    channel = places % channels
    column = places // channels % width
    row = places // (channels * width) % height
    sample = places // (channels * width * height)
    above = ((sample * height + row) * 2 + channel % 2) * (2 * width) + 2 * column
    half = channels // 2
    first = above * half + channel // 2
    value = tl.load(x + places, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32)
    one = tl.load(picture + first, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(picture + first + half, mask=inside, other=0.0).to(tl.float32)
    tl.store(x + places, (value + 0.5 * (one + other)).to(x.dtype.element_ty), mask=inside)
