"""A transformer small enough for unit tests, in two variants, with inputs and a trained-looking adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.model.adapters import LoraSpec, adapter_state, add_lora, load_adapter_state
from engine.model.card import LyricEncoderConfig, TransformerConfig
from engine.model.transformer import AceStepTransformer, ConditionInputs

EVERYWHERE = ("to_q", "to_k", "to_v", "to_out.0", "linear_q", "linear_k", "linear_v")
WITH_CONVS = (*EVERYWHERE, "ff.inverted_conv.conv", "ff.point_conv.conv", "early_conv_layers.0", "early_conv_layers.2")


def small_config(*, second: bool = False) -> TransformerConfig:
    """Two blocks of width 32; the second variant changes patch height, RoPE base and feed-forward ratio."""
    variant: dict[str, Any] = (
        {"patch_size": (8, 1), "rope_theta": 20_000.0, "mlp_ratio": 2.0} if second else {"mlp_ratio": 2.5}
    )
    return TransformerConfig(
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        speaker_embedding_dim=12,
        text_embedding_dim=20,
        ssl_encoder_depths=(1, 1),
        ssl_latent_dims=(6, 5),
        lyric_encoder_vocab_size=40,
        lyric_hidden_size=24,
        lyric_encoder=LyricEncoderConfig(
            input_size=24, output_size=24, attention_heads=2, linear_units=32, num_blocks=1
        ),
        **variant,
    )


def small_model(*, second: bool = False, dtype: torch.dtype = torch.float32) -> AceStepTransformer:
    """The same random weights every time, in eval mode; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return AceStepTransformer(small_config(second=second)).to(dtype).eval()


@dataclass
class Sample:
    """One batch: everything a forward pass takes."""

    x_t: Tensor
    t: Tensor
    inputs: ConditionInputs

    def predict(self, model: AceStepTransformer) -> Tensor:
        """The velocity, without gradients."""
        with torch.no_grad():
            return model(self.x_t, self.t, model.encode_conditions(self.inputs)).velocity


def small_sample(config: TransformerConfig, *, batch_size: int = 2, frames: int = 9) -> Sample:
    """Random latents and conditions."""
    generator = torch.Generator().manual_seed(9)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    inputs = ConditionInputs(
        text_states=randn(batch_size, 4, config.text_embedding_dim),
        text_mask=torch.ones(batch_size, 4),
        lyric_ids=torch.randint(1, config.lyric_encoder_vocab_size, (batch_size, 7), generator=generator),
        lyric_mask=torch.ones(batch_size, 7),
        speaker=randn(batch_size, config.speaker_embedding_dim),
    )
    x_t = randn(batch_size, 8, config.latent_height, frames)
    return Sample(x_t, torch.full((batch_size,), 400.0), inputs)


def trained_model(spec: LoraSpec, *, second: bool = False, dtype: torch.dtype = torch.float32) -> AceStepTransformer:
    """A small model whose adapter changes its output visibly."""
    model = small_model(second=second, dtype=dtype)
    add_lora(model, spec, seed=1)
    generator = torch.Generator().manual_seed(3)
    state = {key: torch.randn(value.shape, generator=generator) * 0.1 for key, value in adapter_state(model).items()}
    load_adapter_state(model, state)
    return model
