"""Sizes from config.json and safetensors headers, against the counts of ace-step-v1.md 5 and exports.md 4."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from engine.contract.errors import ModelError
from engine.contract.fields_lora import LORA_TARGETS
from engine.planning.sizes import CODEC_FOLDERS, published_sizes, read_header, read_sizes

DEPTH, WIDTH, LYRIC = 2, 8, 4


def checkpoint(root: Path) -> Path:
    """A checkpoint of a few numbers in the hub's layout, in two shards."""
    tensors = {"speaker_embedder.weight": (WIDTH, 3), "speaker_embedder.bias": (WIDTH,)}
    for block in range(DEPTH):
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            tensors[f"transformer_blocks.{block}.attn.{name}.weight"] = (WIDTH, WIDTH)
        tensors[f"transformer_blocks.{block}.cross_attn.to_q.weight"] = (WIDTH, WIDTH)
        tensors[f"transformer_blocks.{block}.cross_attn.add_q_proj.weight"] = (WIDTH, WIDTH)
        tensors[f"transformer_blocks.{block}.cross_attn.to_add_out.bias"] = (WIDTH,)
        tensors[f"transformer_blocks.{block}.ff.point_conv.conv.weight"] = (WIDTH, 20, 1)
    tensors["lyric_encoder.encoders.0.self_attn.linear_q.weight"] = (LYRIC, LYRIC)
    tensors["projectors.0.0.weight"] = (5, WIDTH)
    folder = root / "ace_step_transformer"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"num_layers": DEPTH, "num_attention_heads": 2, "attention_head_dim": 4})
    )
    arrays = {name: np.zeros(shape, dtype=np.float16) for name, shape in tensors.items()}
    half = len(arrays) // 2
    for shard, names in enumerate((list(arrays)[:half], list(arrays)[half:])):
        save_file({name: arrays[name] for name in names}, folder / f"part-{shard}.safetensors", {"format": "pt"})
    for part in (*CODEC_FOLDERS, "umt5-base"):
        (root / part).mkdir()
        tensors = {"w": np.zeros((3, 5), dtype=np.float32)}
        if part == CODEC_FOLDERS[0]:
            tensors |= {name: np.zeros(7, dtype=np.float32) for name in ("encoder.a", "decoder.a", "decoder.b")}
        save_file(tensors, root / part / "model.safetensors")
    return root


def test_counts_of_a_checkpoint_in_shards(tmp_path):
    sizes = read_sizes(checkpoint(tmp_path / "m"))
    per_block = 6 * WIDTH * WIDTH + WIDTH + WIDTH * 20
    assert sizes.num_parameters == DEPTH * per_block + WIDTH * 4 + LYRIC * LYRIC + 5 * WIDTH
    assert sizes.num_unused == DEPTH * (WIDTH * WIDTH + WIDTH)
    assert sizes.num_projectors == 5 * WIDTH
    assert (sizes.num_blocks, sizes.inner_dim) == (DEPTH, 8)
    assert (sizes.num_codec, sizes.num_text_encoder) == (51, 15)
    assert (sizes.num_codec_encoder, sizes.num_codec_decoder, sizes.num_vocoder) == (7, 14, 30)


def test_an_adapter_is_counted_on_names_that_end_in_a_target(tmp_path):
    sizes = read_sizes(checkpoint(tmp_path / "m"))
    square = 2 * WIDTH
    assert sizes.num_adapter(("to_q",), 3) == 3 * square * 2 * DEPTH
    assert sizes.num_adapter(("to_q", "linear_q", "speaker_embedder"), 1) == square * 2 * DEPTH + 2 * LYRIC + WIDTH + 3
    assert sizes.num_adapter(("point_conv.conv",), 1) == (WIDTH + 20) * DEPTH
    assert sizes.num_adapter(("q",), 1) == 0


def test_published_sizes_are_those_of_the_specification():
    sizes = published_sizes()
    assert sizes.num_used == 3_305_659_264 - 629_391_360 - 87_840_512
    assert len(sizes.linears) == 24 * 8 + 6 * 3 + 1
    # exports.md 4: rank 16 without speaker 65 MB, rank 256 with speaker 1.05 GB, both in fp32.
    assert sizes.num_adapter(LORA_TARGETS["attn_qkv+linear_qkv"], 16) * 4 == pytest.approx(65e6, rel=0.01)
    with_speaker = LORA_TARGETS["attn_qkv+linear_qkv+speech_embedder"]
    assert sizes.num_adapter(with_speaker, 256) * 4 == pytest.approx(1.05e9, rel=0.01)


@pytest.mark.parametrize("part", ["ace_step_transformer", "music_dcae_f8c8", "music_vocoder", "umt5-base"])
def test_a_missing_part_is_named(tmp_path, part):
    root = checkpoint(tmp_path / "m")
    for file in (root / part).iterdir():
        file.unlink()
    with pytest.raises(ModelError, match=f"{part}: the folder holds no .safetensors file"):
        read_sizes(root)
    (root / part).rmdir()
    with pytest.raises(ModelError, match=f"{part}: the folder is missing"):
        read_sizes(root)


@pytest.mark.parametrize(
    "content",
    [b"", b"abc", struct.pack("<Q", 10**12) + b"{}", struct.pack("<Q", 4) + b"nope", struct.pack("<Q", 2) + b"[]"],
)
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.safetensors: not a readable safetensors file"):
        read_header(path)


def test_a_missing_config_is_named(tmp_path):
    root = checkpoint(tmp_path / "m")
    (root / "ace_step_transformer" / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json: cannot be read"):
        read_sizes(root)
