"""What stands in a cache of prepared songs and captions: entries, their sizes, whether they are whole. No torch.

An entry is ``<64 hexadecimal digits>.safetensors`` (`engine.cache.key`). Nothing else in a folder is ever looked at,
counted or removed: somebody may keep a cache among files of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.errors import ModelError
from engine.contract.files import write_json
from engine.contract.run_dir import RunDir
from engine.hardware.models import check_weights
from engine.planning.sizes import read_header

ENTRY_NAME = re.compile(r"[0-9a-f]{64}\.safetensors")

USES_SCHEMA = 1

# bfloat16 is the upper half of a float32: all ones in the exponent mean that it is no number.
_BF16_EXPONENT = 0x7F80
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One file of a cache.

    Attributes:
        path: The file.
        num_bytes: Its size.
        written_t: When it was written, seconds since 1970.
    """

    path: Path
    num_bytes: int
    written_t: float


@dataclass(frozen=True, slots=True)
class DataSetUse:
    """What one data set of a run takes from a cache.

    Attributes:
        id: The data set's id.
        source: Its folder of songs, or its name on the hub.
        folder: Where its entries are.
        names: The entries, as paths below ``folder``.
    """

    id: str
    source: str
    folder: Path
    names: tuple[str, ...]

    def paths(self) -> Iterator[Path]:
        """The entries' files."""
        return (self.folder / name for name in self.names)


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What a run (or a preparation) took from the cache when it last started.

    Attributes:
        t: When that was, seconds since 1970.
        data_sets: Its data sets.
        captions: Its captions, as a data set of no id.
        folders: Every folder of its cache, empty ones too.
    """

    t: float
    data_sets: tuple[DataSetUse, ...] = ()
    captions: tuple[DataSetUse, ...] = ()
    folders: tuple[Path, ...] = field(default=())


def find_entries(folder: Path) -> Iterator[CacheEntry]:
    """All entries below a folder, in the order of their paths; links to folders are not followed."""
    for where, below, names in os.walk(folder):
        below.sort()
        for name in sorted(names):
            if ENTRY_NAME.fullmatch(name):
                path = Path(where) / name
                with contextlib.suppress(OSError):
                    found = path.stat()
                    yield CacheEntry(path, found.st_size, found.st_mtime)


def entry_problem(path: Path) -> str:
    """What is wrong with an entry, in words; empty when it is whole and all its numbers are finite.

    The tensors are mapped and read once.
    """
    try:
        check_weights(path)
        header = read_header(path)
        if not header:
            return "it holds nothing"
        with path.open("rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
        for name, tensor in header.items():
            if not _is_finite(path, begin, tensor):
                return f"{name} holds numbers that are not finite"
    except ModelError as error:
        return error.message.replace(f"{path} ", "").replace(f"{path}: ", "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"it cannot be read: {error}"
    return ""


def _is_finite(path: Path, begin: int, tensor: Mapping[str, Any]) -> bool:
    import numpy as np  # 0.1 s, only where entries are read

    dtype = _FLOATS.get(tensor["dtype"])
    first, last = tensor["data_offsets"]
    if dtype is None or last <= first:
        return True
    values = np.memmap(
        path, dtype=dtype, mode="r", offset=begin + first, shape=((last - first) // np.dtype(dtype).itemsize,)
    )
    if tensor["dtype"] == "BF16":
        return not bool(((values & _BF16_EXPONENT) == _BF16_EXPONENT).any())
    return bool(np.isfinite(values).all())


def remove_entry(path: Path) -> bool:
    """Remove one entry and the folder it leaves empty; whether it is gone.

    Raises:
        ValueError: The file is no entry by its name.
    """
    if not ENTRY_NAME.fullmatch(path.name):
        raise ValueError(f"{path} is no cache entry")
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        path.parent.rmdir()  # only an empty one goes
    return True


def write_use(run: RunDir, use: CacheUse) -> None:
    """Note in a run's folder what it takes from the cache.

    Raises:
        DiskError: The disk is full or not writable.
    """
    content = {
        "schema": USES_SCHEMA,
        "t": use.t,
        "folders": [str(folder) for folder in use.folders],
        "data_sets": [_as_json(one) for one in use.data_sets],
        "captions": [_as_json(one) for one in use.captions],
    }
    write_json(run.cache_json, content, action="noting which prepared songs the run takes")


def read_use(run: RunDir) -> CacheUse | None:
    """What a run took from the cache; None where nothing (readable) is noted."""
    try:
        data = json.loads(run.cache_json.read_text(encoding="utf-8"))
        return CacheUse(
            t=float(data["t"]),
            data_sets=tuple(map(_from_json, data["data_sets"])),
            captions=tuple(map(_from_json, data["captions"])),
            folders=tuple(Path(folder) for folder in data["folders"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _as_json(use: DataSetUse) -> dict[str, Any]:
    return {"id": use.id, "source": use.source, "folder": str(use.folder), "entries": list(use.names)}


def _from_json(data: Mapping[str, Any]) -> DataSetUse:
    names: Sequence[Any] = data["entries"]
    return DataSetUse(str(data["id"]), str(data["source"]), Path(data["folder"]), tuple(map(str, names)))
