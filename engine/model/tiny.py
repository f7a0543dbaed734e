"""Writes a small random checkpoint in exactly the hub's layout: `python -m engine.model.tiny DIR`.

Tests and the demo run on it. Everything a real checkpoint has is there, so the ordinary loader reads it: four
sub-folders, a tokenizer that takes any caption, the 8x codec, the real lyric vocabulary. Same seed, same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.contract.errors import ModelError, UserError, as_disk_error, is_disk_failure
from engine.contract.files import write_json
from engine.contract.model_files import (
    DCAE_FOLDER,
    DIFFUSERS_WEIGHTS,
    TEXT_ENCODER_FOLDER,
    TRANSFORMER_FOLDER,
    TRANSFORMERS_WEIGHTS,
    VOCODER_FOLDER,
)
from engine.model.card import LyricEncoderConfig, TransformerConfig
from engine.model.codec_load import EXPECTED_DCAE
from engine.model.parameter_names import checkpoint_shapes
from engine.model.tensor_file import write_tensors
from engine.model.vocoder import Vocoder, VocoderConfig, checkpoint_tensors

TINY_TRANSFORMER = TransformerConfig(
    num_layers=3,
    attention_head_dim=32,
    num_attention_heads=3,
    mlp_ratio=2.5,
    speaker_embedding_dim=32,
    text_embedding_dim=64,
    ssl_encoder_depths=(1, 1),
    ssl_latent_dims=(32, 24),
    lyric_encoder_vocab_size=6693,
    lyric_hidden_size=48,
    lyric_encoder=LyricEncoderConfig(input_size=48, output_size=48, attention_heads=4, linear_units=96, num_blocks=2),
)
"""About 1.7 M parameters; every lyric id of the real tokenizer has its row."""

TINY_DCAE: dict[str, Any] = {
    "_class_name": "AutoencoderDC",
    **EXPECTED_DCAE,
    "attention_head_dim": 8,
    "encoder_block_out_channels": [8, 16, 16, 32],
    "decoder_block_out_channels": [8, 16, 16, 32],
    "encoder_layers_per_block": [1, 1, 1, 1],
    "decoder_layers_per_block": [1, 1, 1, 1],
}

TINY_VOCODER = VocoderConfig(
    depths=(1,),
    dims=(8,),
    num_mels=8,
    upsample_rates=(8, 8, 8),
    upsample_kernel_sizes=(16, 16, 16),
    upsample_initial_channel=16,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1, 3, 5),),
)

TINY_TEXT_ENCODER: dict[str, Any] = {
    "architectures": ["UMT5EncoderModel"],
    "model_type": "umt5",
    "d_model": TINY_TRANSFORMER.text_embedding_dim,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-06,
    "dropout_rate": 0.1,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}

SPECIAL_TOKENS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
"""Ids 0, 1, 2, as in UMT5."""

# Standard deviations in units of 1/sqrt(fan in), 1 where nothing is said; a name takes the first row it ends with.
# As they are, latents of music have a standard deviation near 0.9, decoded noise an RMS near 0.07 and a peak near 0.65,
# and the untrained transformer's velocity is wrong enough that a LoRA halves the loss in 120 steps.
_TRANSFORMER_SCALES: dict[str, float] = {
    "final_layer.linear.weight": 1.0,
    "scale_shift_table": 0.5,
    "pos_bias_u": 0.5,
    "pos_bias_v": 0.5,
}
_DCAE_SCALES: dict[str, float] = {}
_VOCODER_SCALES: dict[str, float] = {"head.conv_post.weight": 6.0}
_TEXT_ENCODER_SCALES: dict[str, float] = {}


def write_tiny_checkpoint(folder: Path, *, seed: int = 0, config: TransformerConfig = TINY_TRANSFORMER) -> Path:
    """Write the checkpoint all or nothing: aside first, then renamed.

    Args:
        folder: Where it shall stand; must not be there yet (an empty folder is fine).
        seed: Same seed, same bytes.
        config: The transformer; its text width and latent height must be those of the other three parts.

    Returns:
        ``folder``.

    Raises:
        ModelError: ``folder`` is not empty.
        DiskError: The disk is full or not writable.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ModelError(f"{folder} is not empty", hint="Give a new folder for the tiny model.")
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        _write_transformer(aside / TRANSFORMER_FOLDER, config, seed)
        _write_dcae(aside / DCAE_FOLDER, seed)
        _write_vocoder(aside / VOCODER_FOLDER, seed)
        _write_text_encoder(aside / TEXT_ENCODER_FOLDER, seed)
        _put_in_place(aside, folder)
    except OSError as error:
        if is_disk_failure(error):
            raise as_disk_error(error, action="writing the tiny model", path=folder) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _put_in_place(aside: Path, folder: Path) -> None:
    try:
        aside.replace(folder)
    except OSError:
        # Another process may have been quicker, with the same bytes.
        if not (folder / TEXT_ENCODER_FOLDER).is_dir():
            raise


def _write_transformer(folder: Path, config: TransformerConfig, seed: int) -> None:
    """All tensors of a checkpoint, the never-used ones included."""
    values = {"_class_name": "Transformer2DModel"} | config.to_dict()
    _write_model(folder, values, checkpoint_shapes(config), seed=seed, scales=_TRANSFORMER_SCALES)


def _write_dcae(folder: Path, seed: int) -> None:
    # diffusers costs seconds to import; only writing a checkpoint pays for it here.
    from diffusers import AutoencoderDC

    with torch.device("meta"):
        dcae = AutoencoderDC.from_config({key: value for key, value in TINY_DCAE.items() if key[0] != "_"})
    _write_model(folder, TINY_DCAE, _shapes(dcae.state_dict()), seed=seed, scales=_DCAE_SCALES)


def _write_vocoder(folder: Path, seed: int) -> None:
    """Head convolutions are weight-normalised in the file, as in the released one."""
    vocoder = Vocoder(TINY_VOCODER)
    shapes = _shapes(vocoder.state_dict())
    vocoder.load_state_dict(_random_tensors(shapes, folder.name, seed, _VOCODER_SCALES))
    tensors = checkpoint_tensors(vocoder)
    write_tensors(folder / DIFFUSERS_WEIGHTS, _shapes(tensors), tensors.__getitem__, dtype=torch.float32)
    write_json(folder / "config.json", {"_class_name": "ADaMoSHiFiGANV1"} | TINY_VOCODER.to_dict())


def _write_text_encoder(folder: Path, seed: int) -> None:
    # transformers costs seconds to import; only writing a checkpoint pays for it here.
    from transformers import UMT5Config, UMT5EncoderModel

    vocabulary_size = write_tokenizer(folder)
    values = TINY_TEXT_ENCODER | {"vocab_size": vocabulary_size}
    with torch.device("meta"):
        encoder = UMT5EncoderModel(UMT5Config(**values))
    shapes = _shapes(encoder.state_dict())
    # The same table as `shared.weight`; the released file stores it once.
    shapes.pop("encoder.embed_tokens.weight", None)
    _write_model(folder, values, shapes, seed=seed, scales=_TEXT_ENCODER_SCALES, weights=TRANSFORMERS_WEIGHTS)


def write_tokenizer(folder: Path) -> int:
    """A byte-level tokenizer without merges: any caption in any script has tokens. Returns the vocabulary size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    specials = list(SPECIAL_TOKENS.values())
    pieces = specials + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = SPECIAL_TOKENS["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, pieces.index(end))]
    )
    tokenizer.add_special_tokens(specials)
    write_json(folder / "tokenizer.json", json.loads(tokenizer.to_str()))
    write_json(folder / "special_tokens_map.json", SPECIAL_TOKENS)
    write_json(
        folder / "tokenizer_config.json",
        SPECIAL_TOKENS | {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512},
    )
    return len(pieces)


def _write_model(
    folder: Path,
    config: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    seed: int,
    scales: Mapping[str, float],
    weights: str = DIFFUSERS_WEIGHTS,
) -> None:
    """A folder with random weights of the given shapes and their configuration."""
    tensors = _random_tensors(shapes, folder.name, seed, scales)
    write_tensors(folder / weights, shapes, tensors.__getitem__, dtype=torch.float32, action="writing the tiny model")
    write_json(folder / "config.json", dict(config), action="writing the tiny model")


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _random_tensors(
    shapes: Mapping[str, tuple[int, ...]], part: str, seed: int, scales: Mapping[str, float]
) -> dict[str, Tensor]:
    """Weights by name: each has its own generator, so that a new parameter changes no other."""
    tensors = {}
    for name, shape in shapes.items():
        scale = next((value for ending, value in scales.items() if name.endswith(ending)), 1.0)
        if len(shape) == 1:
            # Norms and ConvNeXt's `gamma` pass their input on, biases add nothing.
            tensors[name] = torch.full(shape, scale if name.endswith(("weight", "gamma")) else 0.0)
            continue
        digest = hashlib.sha256(f"{seed}/{part}/{name}".encode()).digest()
        generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        fan_in = 1 if name.endswith(("shared.weight", "lyric_embs.weight")) else torch.Size(shape[1:]).numel()
        tensors[name] = torch.randn(shape, generator=generator) * scale / fan_in**0.5
    return tensors


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.model.tiny", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the checkpoint shall stand; new or empty")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default 0)")
    options = parser.parse_args()
    try:
        print(write_tiny_checkpoint(options.folder, seed=options.seed))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    _main()
