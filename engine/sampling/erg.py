"""ERG: blunting the attention of fixed layers, so that the unconditional branch becomes a weaker self (spec 11.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from torch import Tensor, nn

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
    model: AceStepTransformer, *, layers: Sequence[int] = LYRIC_LAYERS, tau: float | Tensor = TAU
) -> AbstractContextManager[None]:
    """Inside the block the lyric encoder's queries in `layers` are multiplied by `tau`, as in `blunt_blocks`."""
    return scaled_outputs([model.lyric_encoder.encoders[layer].self_attn.linear_q for layer in layers], tau)


@contextmanager
def blunt_blocks(
    model: AceStepTransformer, *, blocks: Iterable[int] = BLOCKS, tau: float | Tensor = TAU
) -> Iterator[None]:
    """Inside the block the queries of both attentions of `blocks` are multiplied by `tau`.

    Args:
        model: The transformer.
        blocks: Which, 0-based.
        tau: One factor for all samples, or float32 (B, 1, 1): with 1 for a sample it stays as it is, to the last bit.
    """
    attentions = [attention for index in blocks for attention in _attentions(model.transformer_blocks[index])]
    plain = [attention.to_q for attention in attentions]
    try:
        # In place of the layers rather than as hooks on them: the compiler sees equal layers in all blocks.
        for attention in attentions:
            attention.to_q = BluntedLinear(attention.to_q, tau)
        yield
    finally:
        for attention, layer in zip(attentions, plain, strict=True):
            attention.to_q = layer


def _attentions(block: nn.Module) -> tuple[nn.Module, nn.Module]:
    return block.attn, block.cross_attn


class BluntedLinear(nn.Module):
    """A layer whose output is multiplied, bias included.

    Args:
        layer: The layer.
        tau: As `blunt_blocks`.
    """

    def __init__(self, layer: nn.Module, tau: float | Tensor) -> None:
        super().__init__()
        self.layer = layer
        if isinstance(tau, Tensor):
            self.register_buffer("tau", tau, persistent=False)
        else:
            self.tau = tau

    def forward(self, x: Tensor) -> Tensor:
        """``(B, n, C)`` to ``(B, n, C')``."""
        output = self.layer(x)
        return (output * self.tau).to(output.dtype)
