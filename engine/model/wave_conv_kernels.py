"""The Triton kernel of the vocoder's convolutions; imported where Triton is. Rows are positions, columns channels."""

# ruff: noqa: PLR0917 -- kernels take what they take
from __future__ import annotations

import triton
import triton.language as tl

_SIZES = ["length", "channels", "eighths", "num_taps", "dilation"]
_FLAGS = ["has_residual", "has_total", "has_raw", "has_active"]


# One compilation for all sizes: a head has 168 convolutions of some sixty kinds.
@triton.jit(do_not_specialize=[*_SIZES, *_FLAGS, "scale"])
def convolve(
    x,
    weight,
    bias,
    residual,
    total,
    raw,
    active,
    length,
    channels,
    eighths,
    num_taps,
    dilation,
    scale,
    has_residual,
    has_total,
    has_raw,
    has_active,
    BLOCK_T: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """``y = (conv(x) + bias + residual + total) · scale``; written as it is, through SiLU, or both.

    The convolution is one matrix product over taps and channels, its left side read where it lies: what is asked for
    before the first position or behind the last comes as zeros. Added up in float32.

    Args:
        x: Describes (B, length, channels), read in pieces (1, BLOCK_T, BLOCK_C); channels a multiple of BLOCK_C.
        weight: Describes (num_taps · channels, columns ≥ width), read in pieces (BLOCK_C, BLOCK_N).
        bias: (width,), ``width = 8 · eighths``: a row begins where several numbers can be read at once.
        residual: (B, length, width), read if ``has_residual``; ``total`` likewise.
        raw: (B, length, width), written if ``has_raw``; ``active`` likewise, through SiLU.
    """
    width = eighths * 8
    num_columns = (width + BLOCK_N - 1) // BLOCK_N
    # Programs that read the same positions follow each other: what they read is near.
    column = tl.program_id(0) % num_columns * BLOCK_N
    time = tl.program_id(0) // num_columns * BLOCK_T
    sample = tl.program_id(1)
    first = time - num_taps // 2 * dilation
    num_pieces = channels // BLOCK_C
    sums = tl.zeros((BLOCK_T, BLOCK_N), dtype=tl.float32)
    for step in range(num_taps * num_pieces):
        near = x.load([sample, first + step // num_pieces * dilation, step % num_pieces * BLOCK_C])
        part = weight.load([step * BLOCK_C, column])
        sums = tl.dot(near.reshape(BLOCK_T, BLOCK_C), part, sums)
    times = time + tl.arange(0, BLOCK_T)
    columns = column + tl.arange(0, BLOCK_N)
    in_width = columns < width
    places = sample.to(tl.int64) * length * width + times[:, None] * width + columns[None, :]
    inside = (times < length)[:, None] & in_width[None, :]
    sums += tl.load(bias + columns, mask=in_width, other=0.0).to(tl.float32)[None, :]
    if has_residual:
        sums += tl.load(residual + places, mask=inside, other=0.0).to(tl.float32)
    if has_total:
        sums += tl.load(total + places, mask=inside, other=0.0).to(tl.float32)
    sums *= scale
    if has_raw:
        tl.store(raw + places, sums.to(raw.dtype.element_ty), mask=inside)
    if has_active:
        tl.store(active + places, (sums * tl.sigmoid(sums)).to(active.dtype.element_ty), mask=inside)
