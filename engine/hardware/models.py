"""What of a model is on this machine: each sub-folder whole, incomplete or missing. No network, no tensor, no torch."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.contract.errors import ModelError
from engine.contract.model_files import (
    DCAE_FOLDER,
    DEMO_MODEL,
    HUB_ID,
    LAYOUT_HINT,
    NEEDED_FILES,
    RELEASED_MODEL,
    SUB_FOLDERS,
    TEXT_ENCODER_FOLDER,
    TRANSFORMER_FOLDER,
    VOCODER_FOLDER,
    check_tokenizer,
    default_weights,
    read_config,
    weight_files,
)
from engine.contract.paths import demo_model, expanded
from engine.planning.sizes import read_header

PartState = Literal["whole", "incomplete", "missing"]
Kind = Literal["folder", "hub", "demo", "nowhere"]

PUBLISHED_BYTES = {
    TRANSFORMER_FOLDER: 6_611_318_528,
    DCAE_FOLDER: 313_624_852,
    VOCODER_FOLDER: 206_010_276,
    TEXT_ENCODER_FOLDER: 1_144_000_000,
}
"""Of `RELEASED_MODEL`, within a few per cent: parameters (spec ace-step-v1.md 5) at two bytes each; the text encoder at
four, with its tokenizer. The download itself asks the hub."""

# A download of our own that goes on later. (The hub client's carry a second name part and cannot be gone on from.)
_PARTIAL = re.compile(r"[0-9a-f]{40,64}\.incomplete")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One of the four sub-folders.

    Attributes:
        name: The sub-folder's name.
        state: whole = config.json, weights (each as long as its header says) and tokenizer are there.
        bytes: What is there of it.
        total_bytes: What it takes when whole; None = unknown before the hub is asked.
        problem: What is wrong with an incomplete one, in words; empty otherwise.
    """

    name: str
    state: PartState
    bytes: int = 0
    total_bytes: int | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What is here of a model.

    Attributes:
        name: As asked for.
        kind: A folder, a hub repository (in the hub client's cache), the demo's own model, or neither of them.
        path: The folder that holds the parts; None where there is none yet.
        parts: The four sub-folders in the order of `SUB_FOLDERS`.
        partial_bytes: Of downloads that broke off or are under way and go on where they are.
        problem: Why nothing of that name can be used or fetched; empty otherwise.
    """

    name: str
    kind: Kind
    path: Path | None
    parts: tuple[PartStatus, ...]
    partial_bytes: int = 0
    problem: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether all four parts are there and whole."""
        return all(part.state == "whole" for part in self.parts)

    @property
    def is_ready(self) -> bool:
        """Whether training can start without a download: whole, or the demo's, which is written when it is needed."""
        return self.is_whole or self.kind == "demo"

    @property
    def bytes(self) -> int:
        """What is there, broken-off downloads included."""
        return sum(part.bytes for part in self.parts) + self.partial_bytes

    @property
    def total_bytes(self) -> int | None:
        """What the whole model takes; None = unknown before the hub is asked."""
        totals = [part.total_bytes for part in self.parts if part.total_bytes is not None]
        return sum(totals) if len(totals) == len(self.parts) else None

    @property
    def missing_bytes(self) -> int | None:
        """What is still to be downloaded; None = unknown before the hub is asked."""
        if self.is_ready:
            return 0
        return None if self.total_bytes is None else max(0, self.total_bytes - self.bytes)


def model_status(name_or_path: str | Path, revision: str | None = None, cache_dir: Path | None = None) -> ModelStatus:
    """Look at a model as `engine.model.load.resolve_checkpoint` would find it: a folder first, else a hub id.

    Reads four config.json and the headers of the weights: milliseconds on a local disk.

    Args:
        name_or_path: A folder in the hub's layout, a hub id (OWNER/NAME), or ``demo:tiny-model``.
        revision: Branch, tag or commit on the hub.
        cache_dir: The hub client's cache; its usual one (``HF_HOME``) when None.
    """
    name = str(name_or_path)
    if name == DEMO_MODEL:
        return _status(name, "demo", demo_model())
    folder = expanded(name)
    if name and _is_folder(folder):
        return _status(name, "folder", folder)
    if not HUB_ID.fullmatch(name):
        problem = f"no folder {name}, and it is not the id of a hub repository (OWNER/NAME)" if name else "no name"
        return _status(name, "nowhere", None, problem=f"{problem}. {LAYOUT_HINT}")
    storage = storage_folder(name, cache_dir)
    return _status(name, "hub", snapshot_folder(storage, revision), partial_bytes=partial_bytes(storage))


def hub_cache(cache_dir: Path | None = None) -> Path:
    """The hub client's cache: ``cache_dir``, else what ``HF_HOME`` and its kin say."""
    if cache_dir is not None:
        return expanded(cache_dir)
    # 30 ms, and only where a hub id is asked for.
    from huggingface_hub import constants

    return expanded(constants.HF_HUB_CACHE)


def storage_folder(name: str, cache_dir: Path | None = None) -> Path:
    """Where the hub client keeps a repository, whether it is there or not."""
    return hub_cache(cache_dir) / f"models--{name.replace('/', '--')}"


def snapshot_folder(storage: Path, revision: str | None) -> Path | None:
    """The snapshot that a revision stands for, as far as it is here; None when nothing of it is."""
    commit = revision or "main"
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (storage / "refs" / commit).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
    folder = storage / "snapshots" / commit
    return folder if _is_folder(folder) else None


def check_weights(path: Path) -> None:
    """Make sure that a safetensors file is as long as its header says.

    Raises:
        ModelError: It cannot be read, has no header, or is shorter or longer.
    """
    header = read_header(path)
    try:
        with path.open("rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
        expected = begin + max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        size = path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"{path} has no usable header: {error!r}", hint="Download or copy the file again.") from error
    if size != expected:
        how = "is cut off" if size < expected else "is too long"
        raise ModelError(f"{path} {how}: {size:,} of {expected:,} bytes", hint="Download or copy the file again.")


def _status(name: str, kind: Kind, root: Path | None, *, partial_bytes: int = 0, problem: str = "") -> ModelStatus:
    parts = tuple(_part(root, sub_folder, published=name == RELEASED_MODEL) for sub_folder in SUB_FOLDERS)
    path = root if root is not None and _is_folder(root) else None
    return ModelStatus(name, kind, path, parts, partial_bytes=partial_bytes, problem=problem)


def _part(root: Path | None, name: str, *, published: bool) -> PartStatus:
    total = PUBLISHED_BYTES[name] if published else None
    if root is None or not _is_folder(root / name):
        return PartStatus(name, "missing", total_bytes=total)
    folder = root / name
    num_bytes = sum(_sizes(folder))
    try:
        read_config(folder)
        for path in weight_files(folder, default_name=default_weights(name)):
            check_weights(path)
        if name == TEXT_ENCODER_FOLDER:
            check_tokenizer(folder)
    except ModelError as error:
        problem = error.message.replace(f"{folder}/", "").replace(str(folder), name)
        return PartStatus(name, "incomplete", num_bytes, total, problem)
    except OSError as error:
        return PartStatus(name, "incomplete", num_bytes, total, f"cannot be read: {error.strerror or error}")
    return PartStatus(name, "whole", num_bytes, num_bytes)


def _sizes(folder: Path) -> Iterator[int]:
    """Sizes of the files that count; a link whose target is gone counts nothing."""
    for pattern in NEEDED_FILES:
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                yield path.stat().st_size


def partial_bytes(storage: Path) -> int:
    """Bytes of a repository's downloads that broke off and go on where they are."""
    total = 0
    with contextlib.suppress(OSError):
        for path in (storage / "blobs").iterdir():
            if _PARTIAL.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    total += path.stat().st_size
    return total


def _is_folder(path: Path) -> bool:
    """Whether there is a folder; False too where it may not be looked at, or the name is no possible one."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
