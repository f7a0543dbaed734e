"""The diffusion transformer of ACE-Step v1 (spec section 2).

Shapes: B batch, C latent channels, H latent rows, T latent frames, S condition tokens, D inner width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.contract.errors import ModelError
from engine.model.attention import BlockContext, RotaryTable, first_keys, key_mask_of
from engine.model.block import Block, rms_norm, uniform
from engine.model.calling import Runner, call
from engine.model.card import TransformerConfig
from engine.model.keyed_dropout import DropoutKeys, give_keys
from engine.model.lyric_encoder import LyricEncoder

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

PATCH_CHANNELS = 8
"""Latent channels of the patch embedding; upstream never forwards ``in_channels`` to it (spec 2.1)."""

PATCH_MIDDLE = PATCH_CHANNELS * 256
"""Width between the two layers of the patch embedding."""

TIME_CHANNELS = 256
"""Width of the timestep sinusoid."""


@dataclass(frozen=True, slots=True)
class ConditionInputs:
    """What a song is conditioned on, before embedding; the batch is padded, masks are 1 where something stands.

    Attributes:
        text_states: (B, S_text, text width) hidden states of the text encoder; zeros when dropped.
        text_mask: (B, S_text), any number type; kept when the text is dropped.
        lyric_ids: (B, S_lyric) int64 token ids; padding and dropped lyrics are 0.
        lyric_mask: (B, S_lyric), any number type; 0 everywhere for dropped or absent lyrics.
        speaker: (B, speaker width), or None for zeros.
    """

    text_states: Tensor
    text_mask: Tensor
    lyric_ids: Tensor
    lyric_mask: Tensor
    speaker: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """Embedded conditions: one speaker token, the text tokens, the lyric tokens (spec 2.3).

    Attributes:
        tokens: (B, S, D) with S = 1 + S_text + S_lyric, in the model's dtype.
        mask: (B, S) float32, 1 where a token counts; the speaker token always does.
        lengths: (B,) int32: how many count, where they are known to come first.
    """

    tokens: Tensor
    mask: Tensor
    lengths: Tensor | None = None

    def packed(self) -> Conditions:
        """The same with the tokens that count moved to the front, in their order.

        Keys are rotated by their place in the sequence (spec 2.5), so padding between text and lyrics would shift the
        lyrics of every sample but the longest: a sample must not depend on its neighbours in a batch. Nothing changes
        where nothing is padded.
        """
        order = (self.mask == 0).to(torch.int8).argsort(dim=1, stable=True)
        tokens = self.tokens.gather(1, order[..., None].expand_as(self.tokens))
        lengths = (self.mask > 0).sum(dim=1, dtype=torch.int32)
        return Conditions(tokens=tokens, mask=self.mask.gather(1, order), lengths=lengths)

    def first(self, num: int) -> Conditions:
        """Those of the first ``num`` samples."""
        lengths = None if self.lengths is None else self.lengths[:num]
        return Conditions(tokens=self.tokens[:num], mask=self.mask[:num], lengths=lengths)


@dataclass(frozen=True, slots=True)
class TransformerOutput:
    """What one call predicts.

    Attributes:
        velocity: (B, C, H, T), the dtype of ``x_t``.
        ssl_hidden: One (B, T, D) per self-supervised projector, its input; empty unless asked for.
    """

    velocity: Tensor
    ssl_hidden: tuple[Tensor, ...] = ()


def timestep_sinusoid(t: Tensor) -> Tensor:
    """(B,) timesteps on the 0-1000 scale to (B, 256) float32: cosines first, then sines (spec 2.2).

    Float32 throughout: in bfloat16 the timestep itself would be rounded to multiples of up to 4.
    """
    half = TIME_CHANNELS // 2
    exponents = -math.log(10_000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t.float()[:, None] * exponents.exp()
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class PatchEmbedding(nn.Module):
    """One token per latent frame: linear, GroupNorm over all frames, linear (spec 2.1)."""

    def __init__(self, height: int, dim: int) -> None:
        super().__init__()
        self.early_conv_layers = nn.ModuleList(
            [
                nn.Linear(PATCH_CHANNELS * height, PATCH_MIDDLE),
                nn.GroupNorm(32, PATCH_MIDDLE, eps=1e-6),
                nn.Linear(PATCH_MIDDLE, dim),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, T) to (B, T, D)."""
        first, norm, last = self.early_conv_layers
        patches = first(x.permute(0, 3, 1, 2).flatten(2))
        # Statistics over all frames, padding included: a padded sample differs from the same one alone (spec 2.1).
        return last(norm(patches.transpose(1, 2)).transpose(1, 2))


class TimestepEmbedding(nn.Module):
    """Two linear layers on the sinusoid."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(TIME_CHANNELS, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, sinusoid: Tensor) -> Tensor:
        """(B, 256) to (B, D)."""
        return self.linear_2(nn.functional.silu(self.linear_1(sinusoid)))


class FinalLayer(nn.Module):
    """Modulated norm, projection and un-patchify (spec 2.9)."""

    def __init__(self, dim: int, height: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.scale_shift_table = nn.Parameter(uniform(2, dim, bound=dim**-0.5))
        self.linear = nn.Linear(dim, height * channels)

    def forward(self, hidden: Tensor, time_embedding: Tensor) -> Tensor:
        """(B, T, D) and the (B, D) embedding from before ``t_block`` to (B, C, H, T)."""
        shift, scale = (self.scale_shift_table + time_embedding[:, None]).unsqueeze(2).unbind(1)
        features = self.linear(torch.addcmul(shift, rms_norm(hidden), 1 + scale))
        # A token's features are ordered (row, channel), the channel fastest.
        return features.unflatten(-1, (-1, self.channels)).permute(0, 3, 2, 1)


class SpeakerConstant(nn.Module):
    """What a speaker embedder makes of no speaker, which is a vector of zeros: its bias.

    Args:
        bias: That of the embedder, (D,).
    """

    def __init__(self, bias: nn.Parameter) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, speaker: Tensor) -> Tensor:
        """(B, any width) to (B, D), in the dtype that the product would have."""
        kind = speaker.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.bias.dtype
        return self.bias.to(dtype).expand(speaker.shape[0], -1)


class AceStepTransformer(nn.Module):
    """Predicts the velocity of a noisy latent under text, lyric and speaker conditions.

    Module names are the checkpoint's parameter names; weights of 1x1 convolutions are kept squeezed, as linear layers.
    Masks, positions and the timestep are handled so that one shape means one graph: nothing branches on data.

    Args:
        config: Sizes, as read from the checkpoint.
        with_projectors: Allocate the self-supervised projectors, which only their training loss needs (spec 4).

    Attributes:
        notices: What a user should know about how the model was loaded, in sentences.
    """

    notices: tuple[str, ...] = ()

    def __init__(self, config: TransformerConfig, *, with_projectors: bool = True) -> None:
        super().__init__()
        self.config = config
        dim = config.inner_dim
        lyric_dim = config.lyric_encoder.output_size
        self.proj_in = PatchEmbedding(config.latent_height, dim)
        self.timestep_embedder = TimestepEmbedding(dim)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.speaker_embedder: nn.Module = nn.Linear(config.speaker_embedding_dim, dim)
        self.genre_embedder = nn.Linear(config.text_embedding_dim, dim)
        # From a tensor: the constructor's own `normal_` is what `uniform` is there to avoid.
        table = uniform(config.lyric_encoder_vocab_size, config.lyric_hidden_size, bound=1.0)
        self.lyric_embs = nn.Embedding.from_pretrained(table, freeze=False)
        self.lyric_encoder = LyricEncoder(config.lyric_encoder)
        self.lyric_proj = nn.Linear(lyric_dim, dim)
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_layer = FinalLayer(dim, config.latent_height, config.out_channels)
        self.projectors = (
            nn.ModuleList(_projector(dim, ssl_dim) for ssl_dim in config.ssl_latent_dims) if with_projectors else None
        )
        self.rotary = RotaryTable(config.attention_head_dim, config.rope_theta)
        # What `engine.memory.recompute` sets: how many blocks go through one call of the runner, and the runner.
        self.blocks_per_group = 1
        self.run_group: Runner = call
        # What `engine.memory.compile` sets: how a block is called.
        self.call_block: Runner = call
        self.sees_first_keys = False  # whether cross attention is compiled for `first_keys`
        self.dropout_keys = DropoutKeys()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype the model computes in (that of a table which is never quantised)."""
        return self.final_layer.scale_shift_table.dtype

    def key_dropout(self, device: torch.device) -> None:
        """From now on all module dropout follows ``dropout_keys``; to be called when the adapter is in place."""
        self.dropout_keys = give_keys(self, device)

    def leave_speaker_out(self) -> None:
        """Give up the speaker embedder's weight: songs from files have no speaker, so it takes no part.

        The result stays bit-equal; a full checkpoint takes the weight from its source (`engine.model.load`). Nothing
        happens where the embedder carries an adapter.
        """
        if isinstance(self.speaker_embedder, nn.Linear):
            self.speaker_embedder = SpeakerConstant(self.speaker_embedder.bias)

    def encode_conditions(self, inputs: ConditionInputs) -> Conditions:
        """Embed speaker, text and lyrics into one sequence (spec 2.3); reusable over all steps of a sampling run.

        Args:
            inputs: On the model's device.

        Returns:
            Tokens (B, 1 + S_text + S_lyric, D) and their mask.

        Raises:
            ValueError: A speaker is given to a model that left its embedder out.
        """
        batch, device = inputs.text_states.shape[0], inputs.text_states.device
        speaker = inputs.speaker
        if speaker is not None and isinstance(self.speaker_embedder, SpeakerConstant):
            raise ValueError("the model was made ready for songs without a speaker (leave_speaker_out)")
        if speaker is None:
            speaker = torch.zeros(batch, self.config.speaker_embedding_dim, device=device)
        lyrics = self.lyric_encoder(self.lyric_embs(inputs.lyric_ids), inputs.lyric_mask)
        tokens = torch.cat(
            (
                self.speaker_embedder(speaker.to(self.dtype))[:, None],
                self.genre_embedder(inputs.text_states.to(self.dtype)),
                self.lyric_proj(lyrics),
            ),
            dim=1,
        )
        speaker_mask = torch.ones(batch, 1, device=device)
        mask = torch.cat((speaker_mask, inputs.text_mask.float(), inputs.lyric_mask.float()), dim=1)
        return Conditions(tokens, mask)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        conditions: Conditions,
        *,
        frame_mask: Tensor | None = None,
        with_ssl: bool = False,
    ) -> TransformerOutput:
        """Predict the velocity ``noise - data`` at ``x_t``.

        Args:
            x_t: (B, C, H, T) noisy latent, any float type.
            t: (B,) timesteps, 0 to 1000; kept in float32 until the sinusoid is made.
            conditions: From `encode_conditions`.
            frame_mask: (B, T), 1 = valid; None means that every frame is, and no mask work is done.
            with_ssl: Also return the block outputs that the self-supervised projectors read.

        Returns:
            Velocity (B, C, H, T) in the dtype of ``x_t``.

        Raises:
            ModelError: ``with_ssl`` on a model with fewer blocks than the projectors ask for.
        """
        time_embedding = self.timestep_embedder(timestep_sinusoid(t).to(self.dtype))
        tokens = conditions.tokens
        context = BlockContext(
            modulation=self.t_block(time_embedding).unflatten(-1, (6, -1)),
            tokens=tokens,
            key_mask=key_mask_of(conditions.mask),
            frames=self.rotary.rows(x_t.shape[-1], x_t.device),
            token_positions=self.rotary.rows(tokens.shape[1], tokens.device),
            frame_mask=None if frame_mask is None else frame_mask.to(self.dtype)[..., None],
            key_blocks=self._key_blocks(conditions, num_frames=x_t.shape[-1]),
        )
        hidden, recorded = self._run_blocks(self.proj_in(x_t.to(self.dtype)), context, with_ssl=with_ssl)
        velocity = self.final_layer(hidden, time_embedding)
        return TransformerOutput(velocity.to(x_t.dtype), recorded)

    def _key_blocks(self, conditions: Conditions, *, num_frames: int) -> BlockMask | None:
        """The mask of the compiled cross attention; None where the plain one runs."""
        lengths = conditions.lengths
        if lengths is None or not (self.sees_first_keys and self.training and torch.is_grad_enabled()):
            return None
        return first_keys(lengths, num_queries=num_frames, num_keys=conditions.tokens.shape[1])

    def _run_blocks(
        self, hidden: Tensor, context: BlockContext, *, with_ssl: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All blocks in groups; also the outputs at ``ssl_encoder_depths``, one per projector."""
        num_blocks = len(self.transformer_blocks)
        depths = self.config.ssl_encoder_depths if with_ssl else ()
        if any(depth >= num_blocks for depth in depths):
            raise ModelError(f"ssl_encoder_depths {list(depths)} reach beyond the model's {num_blocks} blocks")
        recorded: dict[int, Tensor] = {}
        for first in range(0, num_blocks, self.blocks_per_group):
            indices = range(first, min(first + self.blocks_per_group, num_blocks))
            outputs = self.run_group(self._run_group, hidden, context, indices, frozenset(depths))
            hidden = outputs[-1]
            recorded.update(outputs[0])
        return hidden, tuple(recorded[depth] for depth in depths)

    def _run_group(
        self, hidden: Tensor, context: BlockContext, indices: range, wanted: frozenset[int]
    ) -> tuple[dict[int, Tensor], Tensor]:
        """The blocks of one group in order; the outputs of the wanted ones by index, and the last output."""
        recorded = {}
        for index in indices:
            hidden = self.call_block(self.transformer_blocks[index], hidden, context)
            if index in wanted:
                recorded[index] = hidden
        return recorded, hidden


def _projector(dim: int, ssl_dim: int) -> nn.Sequential:
    """D to 2D to 2D to the feature width, SiLU between (spec 4)."""
    return nn.Sequential(
        nn.Linear(dim, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, ssl_dim)
    )
