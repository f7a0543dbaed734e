"""A transformer of a few thousand parameters and conditions for it, for tests that need no checkpoint on disk."""

from __future__ import annotations

import torch

from engine.model.card import LyricEncoderConfig, TransformerConfig
from engine.model.transformer import AceStepTransformer, ConditionInputs

SMALL = TransformerConfig(
    num_layers=3,
    attention_head_dim=8,
    num_attention_heads=4,
    mlp_ratio=2.5,
    speaker_embedding_dim=6,
    text_embedding_dim=10,
    ssl_encoder_depths=(1, 2),
    ssl_latent_dims=(5, 7),
    lyric_encoder_vocab_size=40,
    lyric_hidden_size=16,
    lyric_encoder=LyricEncoderConfig(input_size=16, output_size=16, attention_heads=2, linear_units=24, num_blocks=2),
)


def small_transformer(config: TransformerConfig = SMALL, *, with_projectors: bool = True) -> AceStepTransformer:
    """The same weights at every call, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AceStepTransformer(config, with_projectors=with_projectors).eval()


def small_inputs(config: TransformerConfig = SMALL, *, batch: int = 2) -> ConditionInputs:
    """Ragged text and lyrics and a speaker, the same at every call."""
    generator = torch.Generator().manual_seed(1)
    text_mask, lyric_mask = torch.ones(batch, 5), torch.ones(batch, 7)
    text_mask[-1, 3:] = 0
    lyric_mask[-1, 4:] = 0
    return ConditionInputs(
        text_states=torch.randn(batch, 5, config.text_embedding_dim, generator=generator),
        text_mask=text_mask,
        lyric_ids=torch.randint(config.lyric_encoder_vocab_size, (batch, 7), generator=generator),
        lyric_mask=lyric_mask,
        speaker=torch.randn(batch, config.speaker_embedding_dim, generator=generator),
    )


def small_latent(config: TransformerConfig = SMALL, *, batch: int = 2, num_frames: int = 9) -> torch.Tensor:
    """A noisy latent, the same at every call."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(batch, config.in_channels, config.latent_height, num_frames, generator=generator)
