import subprocess
import sys

import pytest

from engine.contract.errors import ModelError
from engine.model.card import (
    TransformerConfig,
    encoded_frames,
    real_config,
    whole_frames,
)


def test_the_real_configuration_survives_a_round_trip() -> None:
    config = real_config()
    assert config.inner_dim == 2560
    assert config.feed_forward_dim == 6400
    assert config.latent_height == 16
    assert "lyric_encoder" not in config.to_dict()
    assert TransformerConfig.from_dict(config.to_dict()) == config


def test_absent_keys_take_upstreams_defaults_and_unknown_keys_are_left_alone() -> None:
    config = TransformerConfig.from_dict({"_class_name": "Transformer2DModel", "inner_dim": 7})
    assert (config.num_layers, config.attention_head_dim, config.num_attention_heads) == (28, 64, 24)
    assert (config.mlp_ratio, config.ssl_encoder_depths, config.lyric_encoder_vocab_size) == (4.0, (9, 9), 6681)
    assert config.inner_dim == 24 * 64


def test_the_lyric_encoder_takes_its_input_width_from_the_table() -> None:
    config = TransformerConfig.from_dict(
        {
            "lyric_hidden_size": 48,
            "lyric_encoder": {"output_size": 32, "attention_heads": 4, "linear_units": 64, "num_blocks": 2},
        }
    )
    assert config.lyric_encoder.input_size == 48
    assert config.lyric_encoder.output_size == 32
    assert TransformerConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"num_layers": "24"}, "num_layers"),
        ({"num_layers": True}, "num_layers"),
        ({"num_layers": 2.5}, "num_layers"),
        ({"patch_size": [16, 2]}, "patch_size"),
        ({"attention_head_dim": 33}, "attention_head_dim"),
        ({"ssl_names": ["mert"]}, "ssl_names"),
        ({"lyric_encoder": {"attention_heads": 3}}, "attention_heads"),
    ],
)
def test_a_bad_value_is_named(values: dict[str, object], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        TransformerConfig.from_dict(values)


def test_the_latent_clock_of_the_specification() -> None:
    assert [encoded_frames(seconds * 48_000) for seconds in (30, 60, 120, 240)] == [323, 646, 1292, 2584]
    assert [whole_frames(seconds * 48_000) for seconds in (30, 60, 120, 240)] == [322, 645, 1291, 2583]
    assert encoded_frames(4096, sample_rate=44_100) == whole_frames(4096, sample_rate=44_100) == 1
    assert encoded_frames(4097, sample_rate=44_100) == 2


def test_card_needs_no_torch() -> None:
    program = "import sys, engine.model.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
