"""ERG: blunting the attention of fixed layers, so that the unconditional branch becomes a weaker self (spec 11.2)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from torch import nn

from engine.model.query_scale import scaled_outputs
from engine.model.transformer import AceStepTransformer

TAU = 0.01
"""Temperature: what query outputs are multiplied with, bias included, before any rotation."""

LYRIC_LAYERS: tuple[int, ...] = (4, 5)
"""Layers of the lyric encoder (0-based) that are blunted."""

BLOCKS: tuple[int, ...] = (15, 16, 17, 18, 19)
"""Transformer blocks (0-based) that are blunted, in both of their attentions."""


def erg_supported(model: AceStepTransformer, *, lyric: bool = True, diffusion: bool = True) -> bool:
    """Whether the model has the layers that ERG names; small models must be sampled without it.

    Args:
        model: The transformer.
        lyric: Ask about the layers of the lyric encoder.
        diffusion: Ask about the transformer blocks.
    """
    config = model.config
    has_layers = config.lyric_encoder.num_blocks > max(LYRIC_LAYERS)
    has_blocks = config.num_layers > max(BLOCKS)
    return (has_layers or not lyric) and (has_blocks or not diffusion)


def blunt_lyrics(
    model: AceStepTransformer, *, layers: Sequence[int] = LYRIC_LAYERS, tau: float = TAU
) -> AbstractContextManager[None]:
    """Inside the block the lyric encoder's queries in `layers` are multiplied by `tau`."""
    return scaled_outputs([model.lyric_encoder.encoders[layer].self_attn.linear_q for layer in layers], tau)


def blunt_blocks(
    model: AceStepTransformer, *, blocks: Sequence[int] = BLOCKS, tau: float = TAU
) -> AbstractContextManager[None]:
    """Inside the block the queries of both attentions of `blocks` are multiplied by `tau`."""
    queries: list[nn.Module] = []
    for index in blocks:
        block = model.transformer_blocks[index]
        queries += [block.attn.to_q, block.cross_attn.to_q]
    return scaled_outputs(queries, tau)
