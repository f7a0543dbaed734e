"""The coarse stages of the mel autoencoder on long clips: attention over the whole clip, worked on in windows.

Each block there is an EfficientViT block (Cai et al. 2023, arXiv:2205.14756): linear attention, whose sums over all
positions add up window by window, and a gated convolution that sees one position around its own. Four minutes would
take 3.8 GiB in one piece at the released sizes; in windows they take what a window takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.model.codec_fast import FastAttention
from engine.model.windows import in_windows, spans

if TYPE_CHECKING:
    from diffusers.models.attention_processor import SanaMultiscaleLinearAttention

_CONVOLUTION_REACH = 1
"""Positions around its own that the gated convolution (3x3) sees."""


def run_stage(stage: nn.Module, hidden: Tensor, *, window: int) -> Tensor:
    """A stage of the autoencoder, its blocks one after the other.

    Args:
        stage: A `torch.nn.Sequential` of `diffusers.AutoencoderDC`.
        hidden: (B, C, H, W), W along time.
        window: Positions along time that are worked on at once.

    Returns:
        ``stage(hidden)``, equal up to rounding: the attention's sums are added in another order.
    """
    for layer in stage.children():
        attention = getattr(layer, "attn", None)
        if attention is None or hidden.shape[-1] <= window:
            hidden = layer(hidden)
        else:
            if isinstance(attention, FastAttention):
                hidden = attention(hidden, window=window)
            else:
                hidden = attend(attention, hidden, window=window)
            hidden = in_windows(layer.conv_out, hidden, window=window, context=_CONVOLUTION_REACH)
    return hidden


def attend(attention: SanaMultiscaleLinearAttention, hidden: Tensor, *, window: int) -> Tensor:
    """Multi-scale linear attention in two passes: keys and values are summed up, then every query reads the sum.

    Args:
        attention: The module; more than its head width positions, else it would not be linear.
        hidden: (B, C, H, W).
        window: Positions along W at once.

    Returns:
        (B, C, H, W), the residual included.
    """
    total: Tensor | None = None
    for _, (_, key, value) in _projected(attention, hidden, window):
        products = value @ key.transpose(-1, -2)
        total = products if total is None else total + products
    assert total is not None
    parts = []
    for (start, end), (query, _, _) in _projected(attention, hidden, window):
        mixed = total @ query
        mixed = (mixed[:, :, :-1] / (mixed[:, :, -1:] + attention.eps)).to(hidden.dtype)
        mixed = mixed.reshape(len(hidden), -1, hidden.shape[2], end - start)
        out = attention.to_out(mixed.movedim(1, -1))
        if attention.norm_type == "rms_norm":
            out = attention.norm_out(out).movedim(-1, 1)
        else:
            out = attention.norm_out(out.movedim(-1, 1))
        parts.append(out + hidden[..., start:end] if attention.residual_connection else out)
    return torch.cat(parts, dim=-1)


def _projected(
    attention: SanaMultiscaleLinearAttention, hidden: Tensor, window: int
) -> Iterator[tuple[tuple[int, int], tuple[Tensor, Tensor, Tensor]]]:
    """Window by window: its place, and (B, heads, d, positions) of query, key and value (one row more: ones), float32.

    Heads of every scale stand beside each other; a scale's convolution sees its own reach around the window.
    """
    reach = max((scale.proj_in.kernel_size[0] // 2 for scale in attention.to_qkv_multiscale), default=0)
    for start, end, left, right in spans(hidden.shape[-1], window=window, context=reach):
        part = hidden[..., left:right].movedim(1, -1)
        joined = torch.cat([project(part) for project in (attention.to_q, attention.to_k, attention.to_v)], dim=-1)
        joined = joined.movedim(-1, 1)
        scales = [joined, *(scale(joined) for scale in attention.to_qkv_multiscale)]
        heads = torch.cat([scale[..., start - left : end - left] for scale in scales], dim=1).float()
        heads = heads.reshape(len(hidden), -1, 3 * attention.attention_head_dim, hidden.shape[2] * (end - start))
        query, key, value = heads.chunk(3, dim=2)
        ones = torch.nn.functional.pad(value, (0, 0, 0, 1), value=1.0)
        yield (start, end), (attention.nonlinearity(query), attention.nonlinearity(key), ones)
