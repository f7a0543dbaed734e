"""One transformer block: linear attention, cross attention, gated convolutional feed-forward (spec 2.4, 2.8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.attention import BlockContext, CrossAttention, SelfAttention
from engine.model.calling import Runner, call
from engine.model.card import TransformerConfig
from engine.model.gated_conv import can_gate, gated_conv


def rms_norm(x: Tensor) -> Tensor:
    """``x / sqrt(mean(x^2) + 1e-6)`` over the last axis, without weights; the mean is taken in float32 (spec 2.4)."""
    return F.rms_norm(x, (x.shape[-1],), eps=1e-6)


def uniform(*shape: int, bound: float) -> Tensor:
    """A tensor to initialise a parameter with, on the default device.

    Normal draws would do as well, but on the meta device, where every load builds its model, they pull in sympy:
    1.6 s and 160 MB.
    """
    return torch.empty(shape).uniform_(-bound, bound)


class NamedConv(nn.Module):
    """Adds the ``.conv`` of the checkpoint's parameter names around one layer on (B, T, C)."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return self.conv(x)


class DepthwiseConv(nn.Module):
    """A depthwise convolution over time, kernel 3, zero padding 1, on (B, T, C).

    Three shifted multiply-adds keep the layout of the matmuls around it: no transposes to (B, C, T) and back.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(uniform(channels, 1, 3, bound=3**-0.5))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        before, here, after = self.weight.squeeze(1).t().contiguous().unbind()
        num_frames = x.shape[1]
        padded = F.pad(x, (0, 0, 1, 1))
        result = torch.addcmul(self.bias, padded[:, :num_frames], before)
        result = torch.addcmul(result, padded[:, 1 : num_frames + 1], here)
        return torch.addcmul(result, padded[:, 2:], after)


class FeedForward(nn.Module):
    """Expand, SiLU, depthwise convolution, gate, contract (spec 2.8); padded frames leak one frame here, as upstream.

    The 1x1 convolutions of the checkpoint are linear layers: `engine.model.parameter_names` squeezes their weights.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.inverted_conv = NamedConv(nn.Linear(dim, 2 * hidden_dim))
        self.depth_conv = NamedConv(DepthwiseConv(2 * hidden_dim))
        self.point_conv = NamedConv(nn.Linear(hidden_dim, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        expanded = self.inverted_conv(x)
        conv = self.depth_conv.conv
        assert isinstance(conv, DepthwiseConv)
        if can_gate(expanded, conv.weight, conv.bias):
            return self.point_conv(gated_conv(expanded, conv.weight, conv.bias))
        value, gate = conv(F.silu(expanded)).chunk(2, dim=-1)
        return self.point_conv(value * F.silu(gate))


class Block(nn.Module):
    """Self attention and feed-forward with timestep modulation; the cross attention between has none (spec 2.4)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim = config.inner_dim
        self.scale_shift_table = nn.Parameter(uniform(6, dim, bound=dim**-0.5))
        self.attn = SelfAttention(dim, config.attention_head_dim)
        self.cross_attn = CrossAttention(dim, config.attention_head_dim)
        self.ff = FeedForward(dim, config.feed_forward_dim)
        # What `engine.memory.recompute` sets: the feed-forward keeps most of what a block keeps for the backward pass.
        self.run_feed_forward: Runner = call

    def forward(self, hidden: Tensor, context: BlockContext) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        rows = (self.scale_shift_table + context.modulation).unsqueeze(2).unbind(1)
        shift_attn, scale_attn, gate_attn, shift_ff, scale_ff, gate_ff = rows

        normed = torch.addcmul(shift_attn, rms_norm(hidden), 1 + scale_attn)
        mixed = self.attn(normed, context)
        hidden = torch.addcmul(hidden, gate_attn, mixed)

        # On the raw residual stream: no norm, no modulation, no gate. It looks like a mistake and must stay.
        hidden = hidden + self.cross_attn(hidden, context)

        return torch.addcmul(hidden, gate_ff, self.run_feed_forward(self._feed_forward, hidden, shift_ff, scale_ff))

    def _feed_forward(self, hidden: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return self.ff(torch.addcmul(shift, rms_norm(hidden), 1 + scale))
