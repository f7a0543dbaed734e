"""The two attentions of a block and their rotary positions (spec 2.5-2.7).

Shapes: B batch, T latent frames, S condition tokens, H heads, d head width, D = H x d.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


class Rotary(NamedTuple):
    """Rows 0 to length-1 of the position tables, float32, broadcastable over (B, length, H, d)."""

    cos: Tensor  # (length, 1, d)
    signed_sin: Tensor  # (length, 1, d); even channels negated, see `apply_rotary`


class BlockContext(NamedTuple):
    """What every block of one forward pass shares."""

    modulation: Tensor  # (B, 6, D), the timestep's part of the six rows
    tokens: Tensor  # (B, S, D), embedded conditions
    key_mask: Tensor  # (B, 1, 1, S) bool, from `key_mask_of`
    frames: Rotary  # positions of the T frames
    token_positions: Rotary  # positions of the S tokens: their index in the concatenated conditions
    frame_mask: Tensor | None  # (B, T, 1), None when every frame is valid
    key_blocks: BlockMask | None = None  # `first_keys`, where it takes the place of `key_mask`


class RotaryTable:
    """Position tables of any length, made once per device and grown when a longer sequence comes (spec 2.5).

    Not a module: the tables are no part of a checkpoint, and moving or casting the model must leave them in float32.

    Args:
        head_dim: Head width d, even.
        theta: Base of the frequencies.
        initial_length: Rows made at first; growth doubles, so a run settles on one table per device.
    """

    def __init__(self, head_dim: int, theta: float, *, initial_length: int = 4096) -> None:
        self.head_dim = head_dim
        self.theta = theta
        self._length = initial_length
        self._tables: dict[torch.device, Rotary] = {}
        self._replaced: list[Rotary] = []  # a CUDA graph may read them still

    def rows(self, length: int, device: torch.device) -> Rotary:
        """The first ``length`` rows on ``device``, as views of the cached table."""
        table = self._tables.get(device)
        if table is None or table.cos.shape[0] < length:
            while self._length < length:
                self._length *= 2
            if table is not None:
                self._replaced.append(table)
            table = self._tables[device] = self._make(device)
        return Rotary(table.cos[:length], table.signed_sin[:length])

    def _make(self, device: torch.device) -> Rotary:
        # A validation clip may be the first caller, under inference mode; training could not save such tensors.
        with torch.inference_mode(False), torch.no_grad():
            exponents = torch.arange(0, self.head_dim, 2, dtype=torch.float32, device="cpu") / self.head_dim
            positions = torch.arange(self._length, dtype=torch.float32, device="cpu")
            angles = torch.outer(positions, 1.0 / self.theta**exponents)
            # The angles stand as two halves while `apply_rotary` pairs neighbours: not a rotation, but the weights
            # were trained with it.
            angles = torch.cat((angles, angles), dim=-1)[:, None]
            sin = angles.sin()
            sin[..., 0::2].neg_()
            return Rotary(angles.cos().to(device), sin.to(device))


def apply_rotary(x: Tensor, rotary: Rotary) -> Tensor:
    """``x * cos + rot(x) * sin`` with ``rot`` sending neighbours (a, b) to (-b, a), in float32 (spec 2.5).

    Args:
        x: (B, length, H, d), any float type.
        rotary: Rows of the same length; its sine carries the minus sign of ``rot``, which saves a pass.

    Returns:
        (B, length, H, d) float32.
    """
    x = x.float()
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x * rotary.cos, swapped, rotary.signed_sin)


def linear_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Normalised attention without softmax: ``o_t = sum_s (q_t . k_s) v_s / (sum_s q_t . k_s + 1e-15)`` (spec 2.6).

    The two products run in bfloat16 when the values are bfloat16, else in float32; the normaliser always in float32.

    Args:
        query: (B, T, H, d) float32, not negative.
        key: (B, T, H, d) float32, not negative; rows of padding are zero.
        value: (B, T, H, d) in the compute dtype.

    Returns:
        (B, T, H, d) float32.
    """
    if value.dtype is torch.float16:
        # Sums over a whole song leave float16's range, and autocast would put the products back into it.
        with torch.autocast(value.device.type, enabled=False):
            return linear_attention(query, key, value.float())
    num_frames = query.shape[1]
    if torch.compiler.is_compiling():
        # Zeros add nothing to any sum, and rows of a multiple of eight take the fast, aligned products.
        query, key, value = (F.pad(x, (0, 0, 0, 0, 0, -num_frames % 8)) for x in (query, key, value))
    query, key, value = (x.to(value.dtype).transpose(1, 2) for x in (query, key, value))  # (B, H, T, d)
    products = query @ (key.transpose(-1, -2) @ value)
    normaliser = (query.float() * key.sum(dim=-2, keepdim=True, dtype=torch.float32)).sum(dim=-1, keepdim=True)
    return (products.float() / (normaliser + 1e-15)).transpose(1, 2)[:, :num_frames]


class _Projections(nn.Module):
    """The four projections both attentions share, named as in the checkpoint."""

    def __init__(self, dim: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        # A list for the name `to_out.0`; the checkpoint's second entry is a dropout of 0.
        self.to_out = nn.ModuleList([nn.Linear(dim, dim)])

    def split(self, x: Tensor) -> Tensor:
        """(B, length, D) to (B, length, H, d)."""
        return x.unflatten(-1, (-1, self.head_dim))


class SelfAttention(_Projections):
    """ReLU linear attention over the latent frames: global, without causality, O(T) (spec 2.6)."""

    def forward(self, hidden: Tensor, context: BlockContext) -> Tensor:
        """Mix the frames of ``hidden``, (B, T, D) to (B, T, D)."""
        query = F.relu(apply_rotary(self.split(self.to_q(hidden)), context.frames))
        key = F.relu(apply_rotary(self.split(self.to_k(hidden)), context.frames))
        value = self.split(self.to_v(hidden))
        if context.frame_mask is not None:
            # A zero key takes its value out of both sums, so the values need no mask of their own.
            query = query * context.frame_mask.unsqueeze(-1)
            key = key * context.frame_mask.unsqueeze(-1)
        mixed = linear_attention(query, key, value)
        return self.to_out[0](mixed.to(value.dtype).flatten(2))


class CrossAttention(_Projections):
    """Softmax attention from the latent frames to the condition tokens (spec 2.7).

    The checkpoint also holds ``add_q_proj``, ``add_k_proj``, ``add_v_proj`` and ``to_add_out`` here: they take no part
    in the forward pass and are never allocated (`engine.model.parameter_names` carries them through).
    """

    def forward(self, hidden: Tensor, context: BlockContext) -> Tensor:
        """Read the conditions into the frames of ``hidden``, (B, T, D) to (B, T, D)."""
        value = self.split(self.to_v(context.tokens))
        query = apply_rotary(self.split(self.to_q(hidden)), context.frames).to(value.dtype)
        key = apply_rotary(self.split(self.to_k(context.tokens)), context.token_positions).to(value.dtype)
        heads = (query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        if context.key_blocks is None:
            attended = F.scaled_dot_product_attention(*heads, attn_mask=context.key_mask)
        else:
            attended = attend_to_first(*heads, context.key_blocks)
        attended = attended.transpose(1, 2).flatten(2)
        if context.frame_mask is not None:
            # Padded frames would otherwise reach valid ones through the depthwise convolution of the feed-forward.
            attended = attended * context.frame_mask.to(attended.dtype)
        return self.to_out[0](attended)


def first_keys(lengths: Tensor, *, num_queries: int, num_keys: int) -> BlockMask:
    """The mask of `attend_to_first`: a sample's queries see its first keys, as many as ``lengths`` says.

    Torch's other kernels take a mask as a bias of every pair, at half the speed; this one skips blocks that nobody sees
    and looks at single pairs only in the last one. Made without a look at the numbers, so nobody waits for the device.

    Args:
        lengths: (B,) int32.
        num_queries: T.
        num_keys: S.
    """
    from torch.nn.attention.flex_attention import BlockMask

    size = 128
    rows, columns = (-(-num // size) for num in (num_queries, num_keys))
    num_full = (lengths // size)[:, None, None].expand(-1, 1, rows).contiguous()
    num_partial = (lengths % size > 0).to(torch.int32)[:, None, None].expand(-1, 1, rows).contiguous()
    order = torch.arange(columns, dtype=torch.int32, device=lengths.device).expand(len(lengths), 1, rows, columns)

    def is_seen(sample: Tensor, _head: Tensor, _query: Tensor, key: Tensor) -> Tensor:
        return key < lengths[sample]

    return BlockMask.from_kv_blocks(
        num_partial,
        ((num_full[..., None] + order) % columns).contiguous(),
        num_full,
        order.contiguous(),
        BLOCK_SIZE=size,
        mask_mod=is_seen,
        seq_lengths=(num_queries, num_keys),
    )


def attend_to_first(query: Tensor, key: Tensor, value: Tensor, blocks: BlockMask) -> Tensor:
    """Softmax attention, (B, H, T, d), under the mask of `first_keys`; to be compiled."""
    from torch.nn.attention.flex_attention import flex_attention

    attended = flex_attention(query, key, value, block_mask=blocks)
    assert isinstance(attended, Tensor)
    return attended


def key_mask_of(condition_mask: Tensor) -> Tensor:
    """The boolean key mask of `CrossAttention` from a (B, S) condition mask, 1 = valid.

    A row without one valid key, which the speaker token rules out, attends to everything: no kernel then meets an
    empty softmax, whose result differs between kernels (zero or NaN).
    """
    valid = condition_mask > 0
    return (valid | ~valid.any(dim=-1, keepdim=True))[:, None, None, :]
