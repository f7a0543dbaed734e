"""A checkpoint of the released sizes with random weights, in the hub's layout: real memory and speed, no real music.

``python -m bench.checkpoint DIR [--layers 24]``. Takes about 8 GB of disk. The hub's weights are not needed to measure.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from engine.contract.files import write_json
from engine.contract.model_files import (
    DCAE_FOLDER,
    DIFFUSERS_WEIGHTS,
    TEXT_ENCODER_FOLDER,
    TRANSFORMER_FOLDER,
    TRANSFORMERS_WEIGHTS,
    VOCODER_FOLDER,
)
from engine.model.card import real_config
from engine.model.codec_load import EXPECTED_DCAE
from engine.model.parameter_names import checkpoint_shapes
from engine.model.tensor_file import write_tensors
from engine.model.tiny import write_tiny_checkpoint, write_tokenizer
from engine.model.vocoder import Vocoder, VocoderConfig, checkpoint_tensors

UMT5_BASE = {
    "architectures": ["UMT5EncoderModel"],
    "model_type": "umt5",
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 12,
    "num_heads": 12,
    "vocab_size": 256_384,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-06,
    "dropout_rate": 0.1,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}

# One block of random numbers, reused: drawing 3.3 billion of them takes minutes and measures nothing.
_NUM_DRAWN = 1 << 26


def write_released_sizes(folder: Path, *, num_layers: int = 24) -> Path:
    """Write the checkpoint; an existing one stays.

    Args:
        folder: Where.
        num_layers: Blocks of the transformer; fewer for machines with little disk.
    """
    if (folder / TEXT_ENCODER_FOLDER / "config.json").is_file():
        return folder
    source = _random_numbers()
    write_transformer(folder / TRANSFORMER_FOLDER, num_layers=num_layers, source=source)
    _write_codec(folder, source)
    _write_text_encoder(folder / TEXT_ENCODER_FOLDER, source)
    return folder


def write_transformer(folder: Path, *, num_layers: int, source: Tensor | None = None) -> None:
    """Write the transformer's part alone.

    Args:
        folder: Its own.
        num_layers: Blocks.
        source: Random numbers to take; drawn when None.
    """
    config = replace(real_config(), num_layers=num_layers)
    values = {"_class_name": "Transformer2DModel"} | config.to_dict()
    numbers = _random_numbers() if source is None else source
    _write(folder, values, checkpoint_shapes(config), numbers, dtype=torch.bfloat16)


def _random_numbers() -> Tensor:
    source = torch.randn(_NUM_DRAWN, generator=torch.Generator().manual_seed(0))
    # Scaling and rounding 3.3 billion numbers takes half a minute on a processor.
    return source.cuda() if torch.cuda.is_available() else source


def _write_codec(folder: Path, source: Tensor) -> None:
    from diffusers import AutoencoderDC

    with torch.device("meta"):
        dcae = AutoencoderDC.from_config(EXPECTED_DCAE)
        vocoder = Vocoder(VocoderConfig())
    _write(folder / DCAE_FOLDER, {"_class_name": "AutoencoderDC"} | EXPECTED_DCAE, _shapes(dcae.state_dict()), source)
    shapes = _shapes(vocoder.state_dict())
    vocoder = Vocoder(VocoderConfig())
    vocoder.load_state_dict({name: _weights(name, shape, source) for name, shape in shapes.items()})
    tensors = checkpoint_tensors(vocoder)
    target = folder / VOCODER_FOLDER
    write_tensors(target / DIFFUSERS_WEIGHTS, _shapes(tensors), tensors.__getitem__, dtype=torch.float32)
    write_json(target / "config.json", {"_class_name": "ADaMoSHiFiGANV1"} | VocoderConfig().to_dict())


def _write_text_encoder(folder: Path, source: Tensor) -> None:
    from transformers import UMT5Config, UMT5EncoderModel

    write_tokenizer(folder)
    with torch.device("meta"):
        encoder = UMT5EncoderModel(UMT5Config(**UMT5_BASE))
    shapes = _shapes(encoder.state_dict())
    shapes.pop("encoder.embed_tokens.weight", None)
    _write(folder, UMT5_BASE, shapes, source, weights=TRANSFORMERS_WEIGHTS)


def _write(
    folder: Path,
    config: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
    source: Tensor,
    *,
    weights: str = DIFFUSERS_WEIGHTS,
    dtype: torch.dtype = torch.float32,
) -> None:
    write_tensors(folder / weights, shapes, lambda name: _weights(name, shapes[name], source), dtype=dtype)
    write_json(folder / "config.json", dict(config))


def _weights(name: str, shape: tuple[int, ...], source: Tensor) -> Tensor:
    """Random matrices of standard deviation 1/sqrt(fan in); norms one, biases zero."""
    if len(shape) <= 1:
        return torch.full(shape, 1.0 if name.endswith(("weight", "gamma", "weight_g")) else 0.0)
    count = torch.Size(shape).numel()
    fan_in = torch.Size(shape[1:]).numel()
    repeats = -(-count // _NUM_DRAWN)
    values = source.repeat(repeats)[:count] if repeats > 1 else source[:count]
    return values.reshape(shape) / fan_in**0.5


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.checkpoint", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--tiny", action="store_true", help="the tiny model, with which a script is tried")
    options = parser.parse_args()
    write_tiny = options.tiny and not options.folder.is_dir()
    if write_tiny:
        write_tiny_checkpoint(options.folder)
    elif not options.tiny:
        write_released_sizes(options.folder, num_layers=options.layers)
    print(options.folder)
