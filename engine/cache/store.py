"""Cache entries on disk: one uncompressed safetensors file each, written whole, read memory-mapped.

``<audio folder>/<sub-folder of the song>/<key>.safetensors`` and ``<text folder>/<key>.safetensors``. Several runs may
share a folder and write at once: names are hashes of the content, files appear by rename, equal names hold equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.cache.key import SCHEMA_VERSION
from engine.contract import files
from engine.contract.errors import ModelError
from engine.model.tensor_file import read_header

LATENTS = "latents"
LATENT_LENGTH = "latent_length"
STATES = "states"
SSL_PREFIX = "ssl."


class DamagedEntryError(Exception):
    """An entry is torn, has another shape than it should, or holds numbers that are not finite. It is deleted."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class AudioEntry:
    """What is cached of a clip.

    Attributes:
        latents: (8, H, F) float32.
        latent_length: Frames of it that are sound to their end.
        ssl: Features by encoder name, (frames, width) float16; empty when none were computed.
    """

    latents: Tensor
    latent_length: int
    ssl: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CacheStore:
    """Where entries are, how they are written and read.

    Attributes:
        audio_folder: Folder of audio entries.
        text_folder: Folder of text states.
        audio_folders: Folders of single backends (``cache_dir_vae``), by backend id.
    """

    audio_folder: Path
    text_folder: Path
    audio_folders: Mapping[str, Path] = field(default_factory=dict)

    def audio_path(self, key: str, *, backend_id: str, relative_path: str) -> Path:
        """File of an audio entry, in the song's own sub-folder."""
        folder = self.audio_folders.get(backend_id, self.audio_folder)
        return folder / PurePosixPath(relative_path).parent / f"{key}.safetensors"

    def text_path(self, key: str) -> Path:
        """File of a caption's states."""
        return self.text_folder / f"{key}.safetensors"


def write_audio(path: Path, entry: AudioEntry) -> None:
    """Write an audio entry, all or nothing.

    Raises:
        DiskError: The disk is full or not writable.
        ValueError: Latents or features are not finite: such an entry must never be stored.
    """
    if not bool(torch.isfinite(entry.latents).all()):
        raise ValueError(f"{path}: latents are not finite")
    if not all(bool(torch.isfinite(features).all()) for features in entry.ssl.values()):
        raise ValueError(f"{path}: features are not finite")
    tensors = {
        LATENTS: entry.latents.to(torch.float32),
        LATENT_LENGTH: torch.tensor(entry.latent_length, dtype=torch.int64),
        **{f"{SSL_PREFIX}{name}": features.to(torch.float16) for name, features in entry.ssl.items()},
    }
    _write(path, tensors, action="writing a cache entry")


def write_text(path: Path, states: Tensor) -> None:
    """Write the unpadded states (tokens, width) of a caption, all or nothing.

    Raises:
        DiskError: The disk is full or not writable.
        ValueError: The states are not finite.
    """
    if not bool(torch.isfinite(states).all()):
        raise ValueError(f"{path}: text states are not finite")
    _write(path, {STATES: states}, action="writing text states to the cache")


def read_audio_entry(path: Path) -> AudioEntry:
    """Read an audio entry; its tensors lie in the mapped file.

    Raises:
        DamagedEntryError: Torn or not finite. The file is deleted, so the next preparation makes it anew.
        FileNotFoundError: There is none.
    """
    tensors = _read(path)
    if LATENTS not in tensors or LATENT_LENGTH not in tensors:
        raise _damaged(path, "it holds no latents")
    latents = tensors[LATENTS]
    if not bool(torch.isfinite(latents).all()):
        raise _damaged(path, "its latents are not finite")
    ssl = {name.removeprefix(SSL_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(SSL_PREFIX)}
    if not all(bool(torch.isfinite(features).all()) for features in ssl.values()):
        raise _damaged(path, "its features are not finite")
    return AudioEntry(latents=latents, latent_length=int(tensors[LATENT_LENGTH]), ssl=ssl)


def read_text(path: Path) -> Tensor:
    """Read the states (tokens, width) of a caption.

    Raises:
        DamagedEntryError: Torn or not finite. The file is deleted.
        FileNotFoundError: There is none.
    """
    states = _read(path).get(STATES)
    if states is None or not bool(torch.isfinite(states).all()):
        raise _damaged(path, "its states are missing or not finite")
    return states


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of an entry's tensors by its header alone; empty when there is no whole file.

    The header tells the length that the file must have, so a torn file is found without reading it.
    """
    try:
        return {name: tensor.shape for name, tensor in read_header(path).items()}
    except ModelError:
        return {}


def _write(path: Path, tensors: dict[str, Tensor], *, action: str) -> None:
    content = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"schema": str(SCHEMA_VERSION)},
    )
    files.write_atomic(path, content, action=action)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> DamagedEntryError:
    path.unlink(missing_ok=True)
    return DamagedEntryError(path, reason)
