"""The lyric encoder: a pre-norm transformer with Transformer-XL relative positions (spec section 3).

Shapes: B batch, L lyric tokens, W model width, H heads, h head width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.calling import Runner, call
from engine.model.card import LyricEncoderConfig
from engine.model.keyed_dropout import KeyedDropout

DROPOUT = 0.1
"""Of embedding, positions, feed-forward and residuals; attention weights have none."""


class RelativePositions:
    """Sinusoids of the distances L down to -(L-1), positive when the key stands left of the query.

    The first, L, is that of no pair; with it the number of distances is even, and products run on aligned rows. One
    table per device, grown when longer lyrics come; a shorter length is the middle of it. Not in a checkpoint.
    """

    def __init__(self, width: int, *, initial_length: int = 512) -> None:
        self.width = width
        self._length = initial_length
        self._tables: dict[torch.device, Tensor] = {}

    def rows(self, length: int, device: torch.device) -> Tensor:
        """(1, 2 length, width) float32, a view of the cached table."""
        table = self._tables.get(device)
        if table is None or table.shape[0] < 2 * length:
            while self._length < length:
                self._length *= 2
            table = self._tables[device] = self._make(device)
        middle = table.shape[0] // 2
        return table[None, middle - length : middle + length]

    def _make(self, device: torch.device) -> Tensor:
        # A validation clip may be the first caller, under inference mode; training could not save such tensors.
        with torch.inference_mode(False), torch.no_grad():
            distances = torch.arange(self._length, -self._length, -1, dtype=torch.float32, device="cpu")
            channels = torch.arange(0, self.width, 2, dtype=torch.float32, device="cpu")
            angles = torch.outer(distances, torch.exp(channels * (-math.log(10_000.0) / self.width)))
            return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).to(device)


class RelativeAttention(nn.Module):
    """``score[i, j] = ((q_i + u) . k_j + (q_i + v) . p_(i-j)) / sqrt(h)``, softmax over the valid keys."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.head_dim = width // num_heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(num_heads, self.head_dim))
        self.pos_bias_v = nn.Parameter(torch.zeros(num_heads, self.head_dim))

    def forward(self, x: Tensor, positions: Tensor, key_mask: Tensor) -> Tensor:
        """Attend over the lyric tokens.

        Args:
            x: (B, L, W).
            positions: (1, 2L, W), descending distances from L.
            key_mask: (B, 1, 1, L) bool; a sample may have no valid key at all.

        Returns:
            (B, L, W); the bias of ``linear_out`` for samples without a valid key.
        """
        query = self._split(self.linear_q(x))
        key, value = self._split(self.linear_k(x)), self._split(self.linear_v(x))
        distance_keys = self._split(self.linear_pos(positions))
        content_query = query + self.pos_bias_u[:, None]
        position_query = (query + self.pos_bias_v[:, None]) * self.head_dim**-0.5
        bias = distances_to_keys(position_query @ distance_keys.transpose(-1, -2))
        # The lowest finite number, not -inf: a row of -inf would be NaN in the backward pass. Its weight is exactly 0
        # beside any valid key; where there is none the result is dropped below.
        bias = bias.masked_fill(~key_mask, torch.finfo(bias.dtype).min)
        attended = F.scaled_dot_product_attention(content_query, key, value, attn_mask=bias.to(value.dtype))
        attended = attended * key_mask.any(dim=-1, keepdim=True)
        return self.linear_out(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(B, length, W) to (B, H, length, h)."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def distances_to_keys(scores: Tensor) -> Tensor:
    """From scores per distance (.., L, 2L), L falling, to scores per key (.., L, L): row i starts at distance i.

    The column of distance L turns the row-dependent shift into one reshape, without an index table of L x L.
    """
    *lead, length, _ = scores.shape
    shifted = scores.reshape(*lead, 2 * length, length)[..., 1:, :]
    return shifted.reshape(*lead, length, 2 * length - 1)[..., :length]


class LyricFeedForward(nn.Module):
    """Two linear layers with SiLU and dropout between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)
        self.dropout = KeyedDropout(DROPOUT, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, W) to (B, L, W)."""
        return self.w_2(self.dropout(F.silu(self.w_1(x))))


class LyricLayer(nn.Module):
    """Pre-norm attention and feed-forward, each with a dropped-out residual."""

    def __init__(self, config: LyricEncoderConfig) -> None:
        super().__init__()
        width = config.output_size
        self.self_attn = RelativeAttention(width, config.attention_heads)
        self.feed_forward = LyricFeedForward(width, config.linear_units)
        self.norm_mha = nn.LayerNorm(width, eps=1e-5)
        self.norm_ff = nn.LayerNorm(width, eps=1e-5)
        self.dropout = KeyedDropout(DROPOUT, width)
        self.dropout_ff = KeyedDropout(DROPOUT, width)

    def forward(self, x: Tensor, positions: Tensor, key_mask: Tensor) -> Tensor:
        """(B, L, W) to (B, L, W)."""
        x = x + self.dropout(self.self_attn(self.norm_mha(x), positions, key_mask))
        return x + self.dropout_ff(self.feed_forward(self.norm_ff(x)))


class LyricEmbedding(nn.Module):
    """Linear, LayerNorm and dropout, then the scale by sqrt(W) that the position term expects."""

    def __init__(self, config: LyricEncoderConfig) -> None:
        super().__init__()
        self.out = nn.Sequential(
            nn.Linear(config.input_size, config.output_size),
            nn.LayerNorm(config.output_size, eps=1e-5),
            KeyedDropout(DROPOUT, config.output_size),
        )
        self.dropout = KeyedDropout(DROPOUT, config.output_size)
        self.scale = config.output_size**0.5

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, input width) to (B, L, W)."""
        return self.dropout(self.out(x) * self.scale)


class LyricEncoder(nn.Module):
    """Embedded lyric tokens to lyric states (spec section 3)."""

    def __init__(self, config: LyricEncoderConfig) -> None:
        super().__init__()
        self.embed = LyricEmbedding(config)
        self.encoders = nn.ModuleList(LyricLayer(config) for _ in range(config.num_blocks))
        self.after_norm = nn.LayerNorm(config.output_size, eps=1e-5)
        self.position_dropout = KeyedDropout(DROPOUT, config.output_size, of_distances=True)
        self.positions = RelativePositions(config.output_size)
        # What `engine.memory` sets: whether a layer's call is recomputed, and whether it is compiled.
        self.run_layer: Runner = call
        self.call_layer: Runner = call

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Encode one batch of lyrics.

        Args:
            embedded: (B, L, input width) rows of the lyric embedding table.
            mask: (B, L), positive = valid. Only keys are masked: padded places still produce values.

        Returns:
            (B, L, W).
        """
        x = self.embed(embedded)
        positions = self.position_dropout(self.positions.rows(x.shape[1], x.device).to(x.dtype))
        key_mask = (mask > 0)[:, None, None, :]
        for layer in self.encoders:
            x = self.run_layer(self.call_layer, layer, x, positions, key_mask)
        return self.after_norm(x)
