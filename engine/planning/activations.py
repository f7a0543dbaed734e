"""What a training step keeps of a sample besides the model: by length, conditions, songs at once and recompute policy.

Counted by following every tensor of a step of the released sizes without data, then fitted to a card
(`memory_terms.json`).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.config import Config
from engine.planning.facts import DataFacts, num_latent_frames
from engine.planning.memory_terms import MemoryTerms
from engine.planning.sizes import ModelSizes
from engine.planning.weights import blocks_per_group, is_quantised

_LYRIC_LAYERS = 6
_LARGEST_WEIGHT_SHARE = 0.32
"""Of a block's weights: those of the feed-forward's first layer."""

_LYRIC_WIDTH_SHARE = 0.4  # of the model's width: 1024 of 2560
_LYRIC_KEPT = 23.2  # numbers a token, channel and layer
_LYRIC_PAIR_BYTES = 64  # scores of 16 heads, twice, for each pair of tokens
_ADAPTED_BY_FRAME, _ADAPTED_BY_TOKEN = 6, 2  # of a block's eight projections: where the adapter's inner states stand
_OFFLOAD_INPUTS = 3  # inputs of blocks that stay on the card while the others travel


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes of one micro-batch.

    Attributes:
        kept: What lies there when the forward pass ends, released block after block in the backward pass.
        outer: What lies there from the first to the last moment: conditions, patches, head.
        under_way: What one block adds while it is worked on.
        late: What the lyric encoder adds when its own backward pass comes, after that of all blocks.
        casts: Copies of the trained weights in the compute format.
        host: What waits in main memory instead (``activation_offload``).
    """

    kept: float
    outer: float
    under_way: float
    late: float
    casts: float
    host: float = 0.0


def policy_of(config: Config) -> str:
    """``none``, ``selective`` or ``full``."""
    if not config.gradient_checkpointing:
        return "none"
    return str(config.get("gradient_checkpointing_policy") or "full")


def activations(
    config: Config, data: DataFacts, sizes: ModelSizes, terms: MemoryTerms, *, num_trained: int
) -> Activations:
    """What a micro-batch of the longest pieces takes."""
    number = 4 if config.mixed_precision == "no" else 2
    batch = config.train_batch_size
    frame = num_latent_frames(data.longest_s) * batch * sizes.inner_dim * number
    token = (1 + data.num_text_tokens + data.num_lyric_tokens) * batch * sizes.inner_dim * number
    is_lora = config.model_type != "full"
    whole = _block(frame, token, is_lora=is_lora, terms=terms)
    if is_lora:
        inner = frame * _ADAPTED_BY_FRAME + token * _ADAPTED_BY_TOKEN
        whole += inner * config.lora_rank / sizes.inner_dim
    policy, blocks = policy_of(config), sizes.num_blocks
    group = blocks_per_group(config)
    inputs = frame * blocks / group
    under_way = frame * terms.under_way_frame
    casts = 0.0 if config.mixed_precision == "no" else num_trained * 2.0 * terms.cast_share
    if policy == "none":
        kept = whole * blocks
    elif policy == "selective":
        # The feed-forward, which is what is computed again, keeps nothing of the tokens.
        part = frame * terms.selective_frame + token * (terms.kept_token_lora if is_lora else terms.kept_token_full)
        kept, under_way = part * blocks, under_way + whole - min(part, whole)
    else:
        kept, under_way = inputs, under_way + whole * group + casts * group / blocks
    host = 0.0
    if config.get("activation_offload") and policy == "full":
        stays = min(kept, frame * _OFFLOAD_INPUTS)
        kept, host = stays, kept - stays
    if is_quantised(config):
        # All of a block's weights stay widened where its graph alone is alive, else one at a time is.
        share = terms.widened_share if policy == "full" and group == 1 else _LARGEST_WEIGHT_SHARE
        under_way += sizes.num_block * number * share
    lyrics, late = _lyrics(data, sizes, batch, number, is_recomputed=policy != "none")
    outer = frame * terms.outer_frame + token * terms.outer_token + lyrics * terms.lyric_share
    if data.has_features:
        outer += frame * terms.ssl_frame
    return Activations(kept, outer, under_way, late * terms.lyric_share, casts, host)


def _block(frame: float, token: float, *, is_lora: bool, terms: MemoryTerms) -> float:
    """What one block keeps without recomputation, the adapter's inner states aside."""
    if is_lora:
        return frame * terms.kept_frame_lora + token * terms.kept_token_lora
    return frame * terms.kept_frame_full + token * terms.kept_token_full


def _lyrics(data: DataFacts, sizes: ModelSizes, batch: int, number: int, *, is_recomputed: bool) -> tuple[float, float]:
    """What the lyric encoder keeps, and what it computes again at the end; scores stand for each pair of tokens."""
    tokens = data.num_lyric_tokens
    width = sizes.inner_dim * _LYRIC_WIDTH_SHARE * number
    layer = batch * (tokens * width * _LYRIC_KEPT + tokens**2 * _LYRIC_PAIR_BYTES * number / 2)
    if is_recomputed:
        return batch * tokens * width * _LYRIC_LAYERS, layer
    return layer * _LYRIC_LAYERS, 0.0
