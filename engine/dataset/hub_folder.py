"""A data set of the hub on this computer: which files of it count, and where the hub client keeps them. No network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from engine.dataset.folder import AUDIO_SUFFIXES
from engine.hardware.models import hub_cache, snapshot_folder

INCOMPLETE_MARK = "acestep-incomplete"
"""A file beside the snapshots while a download of ours is under way or broke off."""

_TABLES = (".parquet", ".arrow", ".jsonl", ".json")
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_DESCRIPTIONS = ("README.md", "state.json", "dataset_info.json", "dataset_dict.json")
# train-00000-of-00012.parquet: each says how many belong together.
_NUMBERED = re.compile(r"(.*)-\d{5}-of-(\d{5})(\.\w+)")


def storage_of(name: str, cache_dir: Path | None = None) -> Path:
    """Where the hub client keeps a data set, whether it is there or not."""
    return hub_cache(cache_dir) / f"datasets--{name.replace('/', '--')}"


def folder_of(name: str, revision: str | None, cache_dir: Path | None = None) -> Path | None:
    """The folder of a data set that was fetched before; None where it is not here, or not all of it.

    A download of ours that broke off is told by its mark, one of another program by the numbers in its files' names.
    """
    storage = storage_of(name, cache_dir)
    folder = snapshot_folder(storage, revision)
    if folder is None or (storage / INCOMPLETE_MARK).exists():
        return None
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return folder if wanted_files(paths) and _is_whole(paths) else None


def holds_rows(folder: Path) -> bool:
    """Whether a folder is a data set in one of the hub's forms, rather than songs with text files beside them.

    Looks at the folder and its ``data``, no deeper: it is asked while somebody types.
    """
    descriptions = ("state.json", "dataset_dict.json", *_METADATA)
    if any((folder / name).is_file() for name in descriptions):
        return True
    tables = [path for part in (folder, folder / "data") for path in part.glob("*") if path.suffix in _TABLES[:2]]
    return any(path.is_file() for path in tables)


def wanted_files(paths: Iterable[str]) -> list[str]:
    """Of a data set's files those that are read: its tables and their descriptions, sound only where it lies in files.

    Empty when there is nothing that can be read.
    """
    paths = [path for path in paths if not any(part.startswith(".") for part in PurePosixPath(path).parts)]
    described = [path for path in paths if PurePosixPath(path).name in _DESCRIPTIONS]
    metadata = [path for path in paths if PurePosixPath(path).name in _METADATA]
    sounds = [path for path in paths if PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES]
    for suffix in _TABLES if not metadata else ():
        tables = [path for path in paths if PurePosixPath(path).suffix.lower() == suffix and path not in described]
        if tables:
            # Tables of text name their files.
            return [*described, *tables, *(sounds if suffix in (".jsonl", ".json") else [])]
    return [*described, *metadata, *sounds] if sounds else []


def _is_whole(paths: Iterable[str]) -> bool:
    """Whether of numbered files all are there."""
    seen: dict[tuple[str, str, str], int] = {}
    for path in paths:
        numbered = _NUMBERED.fullmatch(path)
        if numbered is not None:
            series = (numbered[1], numbered[2], numbered[3])
            seen[series] = seen.get(series, 0) + 1
    return all(int(series[1]) == count for series, count in seen.items())
