"""What the look at a LoRA file's header takes for a module is what the model has, in every dialect."""

from __future__ import annotations

import pytest

from engine.contract.lora_key_names import may_name_module
from engine.model.adapters import known_modules
from tests.unit.export.small import small_config


@pytest.mark.parametrize("prefix", ["", "transformer.", "base_model.model.transformer.", "diffusion_model.", "unet."])
def test_every_module_of_the_model_may_be_named(prefix: str) -> None:
    for module in known_modules(small_config()):
        assert may_name_module(f"{prefix}{module}"), module
        assert may_name_module(f"lora_unet_{module.replace('.', '_')}"), module


@pytest.mark.parametrize(
    "written",
    [
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v",
        "single_transformer_blocks.0.attn.to_q",
        "text_model.encoder.layers.0.self_attn.q_proj",
        "speaker_embedder_2",
        "a.transformer_blocks.0.attn.to_q",
    ],
)
def test_modules_of_other_models_may_not(written: str) -> None:
    assert not may_name_module(written)
