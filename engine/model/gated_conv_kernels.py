"""The Triton kernels of `engine.model.gated_conv`; imported where Triton is.

A program goes through some frames of some channels in order. Of each frame it loads the two halves once and keeps those
of its neighbours in registers. Frames outside the song are zeros, and so are their SiLUs and gradients.
"""

# ruff: noqa: PLR0917 -- kernels take what they take
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _silu(x):
    return x * tl.sigmoid(x)


@triton.jit
def _frame(start, t, num_frames, width, channels, is_inside):
    """One frame's channels in float32; zeros outside."""
    there = is_inside & (t >= 0) & (t < num_frames)
    return tl.load(start + t * width + channels, mask=there, other=0.0).to(tl.float32)


@triton.jit
def _taps(weight, bias, channels, is_inside):
    """Weights of the frame before, the frame itself, the frame after; bias."""
    before = tl.load(weight + channels * 3, mask=is_inside, other=0.0).to(tl.float32)
    here = tl.load(weight + channels * 3 + 1, mask=is_inside, other=0.0).to(tl.float32)
    after = tl.load(weight + channels * 3 + 2, mask=is_inside, other=0.0).to(tl.float32)
    return before, here, after, tl.load(bias + channels, mask=is_inside, other=0.0).to(tl.float32)


@triton.jit
def forward(x, weight, bias, out, num_frames, half, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    """``out[t] = value[t] * silu(gate[t])``."""
    channels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = channels < half
    first = tl.program_id(1) * CHUNK
    sample = tl.program_id(2).to(tl.int64)
    width = half * 2
    x += sample * num_frames * width
    out += sample * num_frames * half
    gates = channels + half
    before_v, here_v, after_v, bias_v = _taps(weight, bias, channels, inside)
    before_g, here_g, after_g, bias_g = _taps(weight, bias, gates, inside)
    v0 = _silu(_frame(x, first - 1, num_frames, width, channels, inside))
    g0 = _silu(_frame(x, first - 1, num_frames, width, gates, inside))
    v1 = _silu(_frame(x, first, num_frames, width, channels, inside))
    g1 = _silu(_frame(x, first, num_frames, width, gates, inside))
    for step in range(CHUNK):
        t = first + step
        v2 = _silu(_frame(x, t + 1, num_frames, width, channels, inside))
        g2 = _silu(_frame(x, t + 1, num_frames, width, gates, inside))
        value = bias_v + before_v * v0 + here_v * v1 + after_v * v2
        gate = bias_g + before_g * g0 + here_g * g1 + after_g * g2
        result = value * _silu(gate)
        tl.store(out + t * half + channels, result.to(out.dtype.element_ty), mask=inside & (t < num_frames))
        v0, g0, v1, g1 = v1, g1, v2, g2


@triton.jit
def _to_halves(gradient, value, gate):
    """Gradients of value and gate from that of ``value * silu(gate)``."""
    share = tl.sigmoid(gate)
    return gradient * gate * share, gradient * value * share * (1.0 + gate * (1.0 - share))


@triton.jit
def _slope(x):
    """Derivative of SiLU."""
    share = tl.sigmoid(x)
    return share * (1.0 + x * (1.0 - share))


@triton.jit
def backward(gradient, x, weight, bias, result, num_frames, half, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    """The gradient of x: each frame was before one, itself, and after one."""
    channels = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = channels < half
    first = tl.program_id(1) * CHUNK
    sample = tl.program_id(2).to(tl.int64)
    width = half * 2
    x += sample * num_frames * width
    result += sample * num_frames * width
    gradient += sample * num_frames * half
    gates = channels + half
    before_v, here_v, after_v, bias_v = _taps(weight, bias, channels, inside)
    before_g, here_g, after_g, bias_g = _taps(weight, bias, gates, inside)
    # Of the frames t, t + 1 the inputs (x), of t - 1 ... t + 1 their SiLUs (s), of t - 1, t the gradients (d).
    s0_v = _silu(_frame(x, first - 2, num_frames, width, channels, inside))
    s0_g = _silu(_frame(x, first - 2, num_frames, width, gates, inside))
    s1_v = _silu(_frame(x, first - 1, num_frames, width, channels, inside))
    s1_g = _silu(_frame(x, first - 1, num_frames, width, gates, inside))
    x1_v = _frame(x, first, num_frames, width, channels, inside)
    x1_g = _frame(x, first, num_frames, width, gates, inside)
    s2_v, s2_g = _silu(x1_v), _silu(x1_g)
    value = bias_v + before_v * s0_v + here_v * s1_v + after_v * s2_v
    gate = bias_g + before_g * s0_g + here_g * s1_g + after_g * s2_g
    d0_v, d0_g = _to_halves(_frame(gradient, first - 1, num_frames, half, channels, inside), value, gate)
    x2_v = _frame(x, first + 1, num_frames, width, channels, inside)
    x2_g = _frame(x, first + 1, num_frames, width, gates, inside)
    s3_v, s3_g = _silu(x2_v), _silu(x2_g)
    value = bias_v + before_v * s1_v + here_v * s2_v + after_v * s3_v
    gate = bias_g + before_g * s1_g + here_g * s2_g + after_g * s3_g
    d1_v, d1_g = _to_halves(_frame(gradient, first, num_frames, half, channels, inside), value, gate)
    s1_v, s1_g, s2_v, s2_g = s2_v, s2_g, s3_v, s3_g
    for step in range(CHUNK):
        t = first + step
        x3_v = _frame(x, t + 2, num_frames, width, channels, inside)
        x3_g = _frame(x, t + 2, num_frames, width, gates, inside)
        s3_v, s3_g = _silu(x3_v), _silu(x3_g)
        value = bias_v + before_v * s1_v + here_v * s2_v + after_v * s3_v
        gate = bias_g + before_g * s1_g + here_g * s2_g + after_g * s3_g
        d2_v, d2_g = _to_halves(_frame(gradient, t + 1, num_frames, half, channels, inside), value, gate)
        back_v = (after_v * d0_v + here_v * d1_v + before_v * d2_v) * _slope(x1_v)
        back_g = (after_g * d0_g + here_g * d1_g + before_g * d2_g) * _slope(x1_g)
        there = inside & (t < num_frames)
        tl.store(result + t * width + channels, back_v.to(result.dtype.element_ty), mask=there)
        tl.store(result + t * width + gates, back_g.to(result.dtype.element_ty), mask=there)
        d0_v, d0_g, d1_v, d1_g = d1_v, d1_g, d2_v, d2_g
        x1_v, x1_g, x2_v, x2_g = x2_v, x2_g, x3_v, x3_g
        s1_v, s1_g, s2_v, s2_g = s2_v, s2_g, s3_v, s3_g
