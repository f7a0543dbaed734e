"""Sound that a data set holds in its rows, written once as files: everything else then works as with a folder of songs.

Files are named by their content, so equal songs are one file, and their time of change is always the same: whoever
unpacks a data set anew finds what was prepared from it before.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from engine.contract.errors import DiskError
from engine.contract.files import read_json, write_atomic, write_json
from engine.dataset.folder import AUDIO_SUFFIXES
from engine.dataset.tables import Tables, read_cells

if TYPE_CHECKING:
    from engine.contract.backends import HubRows

_SCHEMA = 1
_NAME_DIGITS = 32
# Beginnings of audio files; the suffix only helps people and players, what a file is says its content.
_BEGINNINGS = ((b"RIFF", "wav"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"ID3", "mp3"), (b"FORM", "aiff"))
_ACTION = "unpacking a data set"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Where the sound of a row is: in a file of ours, else in the file that the row names."""

    file: Path | None
    written: str | None = None


def unpack(
    tables: Tables,
    column: str,
    rows: Sequence[int],
    num_rows: int,
    place: HubRows,
    *,
    on_unpack: Callable[[int, int], None] | None = None,
) -> dict[int, Unpacked]:
    """Write the sound of some rows into files, unless it is there from before.

    Args:
        tables: The data set.
        column: Of the sound.
        rows: Which rows are wanted, counted from 0.
        num_rows: Rows in all.
        place: Says where the files go.
        on_unpack: Called with (rows done, rows to do); may raise to stop: what is written stays and counts.

    Raises:
        DataError: The data set cannot be read.
        DiskError: The disk is full or not writable.
    """
    digest = hashlib.sha256(json.dumps([_SCHEMA, column, tables.facts()]).encode()).hexdigest()
    index_file = place.cache_dir / f"rows-{digest[:16]}.json"
    index = _read_index(index_file)
    missing = [row for row in rows if not _is_there(index.get(row), place.cache_dir)]
    if missing:
        _check_space(tables, place.cache_dir, len(missing) / max(1, num_rows))
        try:
            for done, (row, cell) in enumerate(read_cells(tables, column, set(missing)), start=1):
                index[row] = _write(cell, place.cache_dir, extension=place.file_extension)
                if on_unpack is not None:
                    on_unpack(done, len(missing))
        finally:
            write_json(index_file, {str(row): entry for row, entry in sorted(index.items())}, action=_ACTION)
    return {row: _unpacked(index.get(row, {}), place.cache_dir) for row in rows}


def _read_index(file: Path) -> dict[int, dict[str, Any]]:
    """What was unpacked before, by row; a damaged index is as good as none."""
    try:
        return {int(row): dict(entry) for row, entry in read_json(file).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _is_there(entry: Mapping[str, Any] | None, folder: Path) -> bool:
    if entry is None:
        return False
    if "file" not in entry:
        return True
    try:
        return bool((folder / str(entry["file"])).stat().st_size == entry.get("size"))
    except (OSError, ValueError):
        return False


def _unpacked(entry: Mapping[str, Any], folder: Path) -> Unpacked:
    name, written = entry.get("file"), entry.get("path")
    return Unpacked(folder / str(name) if name else None, str(written) if written else None)


def _write(cell: Any, folder: Path, *, extension: str) -> dict[str, Any]:
    """Write the sound of one cell: bytes, ``{bytes, path}``, ``{array, sampling_rate}``; a path stays a path."""
    written = cell.get("path") if isinstance(cell, Mapping) else cell if isinstance(cell, str) else None
    content = _content(cell)
    if content is None:
        return {"path": written} if written else {}
    name = f"{hashlib.sha256(content).hexdigest()[:_NAME_DIGITS]}.{_suffix(content, written, extension)}"
    path = folder / name
    if not _is_there({"file": name, "size": len(content)}, folder):
        write_atomic(path, content, action=_ACTION)
        os.utime(path, ns=(0, 0))
    return {"file": name, "size": len(content)}


def _content(cell: Any) -> bytes | None:
    if isinstance(cell, (bytes, bytearray)):
        return bytes(cell)
    if not isinstance(cell, Mapping):
        return None
    if isinstance(cell.get("bytes"), (bytes, bytearray)):
        return bytes(cell["bytes"])
    return _wav(cell["array"], cell.get("sampling_rate")) if cell.get("array") is not None else None


def _wav(array: Any, rate: Any) -> bytes | None:
    """Samples as a wav file of 32-bit floats; (n,), (channels, n) or (n, channels). None where they are no sound."""
    import numpy as np
    import soundfile

    try:
        samples = np.asarray(array, dtype=np.float32)
        if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
            samples = samples.T
        out = io.BytesIO()
        soundfile.write(out, samples, int(rate), format="WAV", subtype="FLOAT")
    except (ValueError, TypeError, soundfile.SoundFileError):
        return None
    return out.getvalue()


def _suffix(content: bytes, written: str | None, extension: str) -> str:
    for beginning, suffix in _BEGINNINGS:
        if content.startswith(beginning):
            return suffix
    if content[4:8] == b"ftyp":
        return "m4a"
    named = PurePosixPath(written or "").suffix.lower()
    # No path out of the cache, whatever a configuration says.
    usual = f".{extension.lower()}"
    return (named if named in AUDIO_SUFFIXES else usual if usual in AUDIO_SUFFIXES else ".wav").lstrip(".")


def _check_space(tables: Tables, folder: Path, share: float) -> None:
    """Refuse to begin what the disk has no room for; packed sound takes no more outside its table.

    Raises:
        DiskError: It has not.
    """
    needed = round(share * sum(size for _, size, _ in tables.facts()))
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        return
    if needed > free:
        raise DiskError(
            f"{folder}: unpacking the data set needs {needed / 2**30:.1f} GB, {free / 2**30:.1f} GB are free",
            hint="Free some space, set cache_dir to another disk, or set max_num_samples.",
        )
