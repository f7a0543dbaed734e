"""Names of cache entries: a hash of everything that the content depends on (spec config-formats.md 5.3).

A changed song, another cut or other encoder weights give another name, so an old entry is never taken for a new one.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from engine.batches.bucket import Clip
from engine.contract.errors import ModelError

SCHEMA_VERSION = 1
"""Raise when the content or layout of entries changes."""

_BLOCK_BYTES = 4096
_NUM_BLOCKS = 64
_SONG_BLOCK_BYTES = 16_384


def audio_key(clip: Clip, *, encoder_id: str, ssl_id: str = "") -> str:
    """Name of the entry of one clip: 64 hexadecimal digits.

    Args:
        clip: Its song's path below the data folder, size, time of change and three blocks of its bytes stand for the
            song's content. The bytes matter where the rest is alike: songs called 001.wav, all 30 s long, from archives
            that set one time for all.
        encoder_id: `codec_fingerprint` of the codec.
        ssl_id: Identifies the models whose features the entry holds too; empty = it holds none.
    """
    return _digest(
        {
            "schema": SCHEMA_VERSION,
            "path": clip.song.relative_path,
            "size_bytes": clip.song.size_bytes,
            "mtime_ns": clip.song.mtime_ns,
            "blocks": _blocks(clip.song.path, clip.song.size_bytes, clip.song.mtime_ns),
            "start_sample": clip.start_sample,
            "num_samples": clip.num_samples,
            "channels": clip.channels,
            "encoder": encoder_id,
            "ssl": ssl_id or False,
        }
    )


def text_key(caption: str, *, encoder_id: str) -> str:
    """Name of the entry of one caption; ``encoder_id`` is `text_fingerprint` of the encoder."""
    return _digest({"schema": SCHEMA_VERSION, "caption": caption, "encoder": encoder_id})


def codec_fingerprint(dcae: Path, vocoder: Path, *, dtype: str) -> str:
    """Identify an audio encoder: the autoencoder's weights, the mel settings (the vocoder's config.json) and the dtype.

    Raises:
        ModelError: A folder holds no config.json or no weights.
    """
    mel_settings = hashlib.sha256(_config_bytes(vocoder)).hexdigest()
    return _digest({"dcae": folder_fingerprint(dcae), "mel": mel_settings, "dtype": dtype})


def text_fingerprint(text_encoder: Path, *, dtype: str, max_length: int) -> str:
    """Identify a text encoder: weights, tokenizer files, dtype of the states and truncation length.

    Raises:
        ModelError: The folder holds no config.json or no weights.
    """
    tokenizer = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(text_encoder.glob("tokenizer*"))]
    weights = folder_fingerprint(text_encoder)
    return _digest({"weights": weights, "tokenizer": tokenizer, "dtype": dtype, "max_length": max_length})


def folder_fingerprint(folder: Path) -> str:
    """Identify a model folder by config.json and, of each weight file, its size, header and 64 spread blocks.

    Cheap, because a gigabyte need not be read to tell two checkpoints apart, and independent of the time of change,
    because a copied checkpoint is the same checkpoint.

    Raises:
        ModelError: No config.json or no ``*.safetensors`` in it.
    """
    digest = hashlib.sha256(_config_bytes(folder))
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelError(f"{folder}: there are no weights (*.safetensors)", hint="Download the checkpoint again.")
    for path in weights:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            header_length = int.from_bytes(file.read(8), "little")
            digest.update(file.read(min(header_length, size)))
            data_start = 8 + header_length
            for block in range(_NUM_BLOCKS):
                file.seek(data_start + max(0, size - data_start - _BLOCK_BYTES) * block // (_NUM_BLOCKS - 1))
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


@functools.cache
def _blocks(path: Path, size_bytes: int, mtime_ns: int) -> str:
    """Digest of the beginning, middle and end of a file, read once a process; empty where it cannot be read.

    ``mtime_ns`` takes no part: it only makes a file that changes while the process lives be read again.
    """
    del mtime_ns
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for start in (0, size_bytes // 2, max(0, size_bytes - _SONG_BLOCK_BYTES)):
                file.seek(start)
                digest.update(file.read(_SONG_BLOCK_BYTES))
    except OSError:
        return ""
    return digest.hexdigest()


def _config_bytes(folder: Path) -> bytes:
    path = folder / "config.json"
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}", hint="Download the checkpoint again.") from error


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
