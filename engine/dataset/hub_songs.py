"""The songs of a hub data set: one for each audio file that its rows name or hold (spec config-formats.md 2.5, 2.6)."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from engine.contract.errors import DataError
from engine.dataset.folder import AudioPath, RowFacts
from engine.dataset.report import Problem
from engine.dataset.row_text import caption_names, captions_and_column, cell, row_duration, row_lyrics
from engine.dataset.tables import FILE_NAME, Tables, column_names, find_tables, read_rows
from engine.dataset.text_file import printable, short_name
from engine.dataset.unpack import Unpacked, unpack

if TYPE_CHECKING:
    from engine.contract.backends import HubRows, LocalBackend

_PATH_COLUMNS = (FILE_NAME, "filename")
_SHOWN_COLUMNS = 12

OnUnpack = Callable[[int, int], None]
OnRows = Callable[[], None]


@dataclass(frozen=True, slots=True)
class FoundRows:
    """What the rows of a data set gave.

    Attributes:
        files: The songs, in the order of the rows, each with what its rows say.
        problems: What concerns the rows rather than one file.
        num_beyond_limit: Songs left out by ``max_num_samples`` before they were unpacked.
    """

    files: list[AudioPath]
    problems: list[Problem]
    num_beyond_limit: int = 0


@dataclass(frozen=True, slots=True)
class _Song:
    """Rows that are one song: the first one's number, its file as written (None = none is), and what they say."""

    row: int
    written: str | None
    captions: tuple[str, ...]
    lyrics: str | None
    num_copies: int = 1
    stated_s: float | None = None


def find_row_audio(
    backend: LocalBackend, folder: Path, *, on_unpack: OnUnpack | None = None, on_rows: OnRows | None = None
) -> FoundRows:
    """Read the rows of a hub data set that is on this computer, and make sure that their sound is in files.

    Rows of one file count as one song with so many copies; what a row holds itself is unpacked once into the cache.

    Args:
        backend: With its `HubRows`.
        folder: Where the data set is.
        on_unpack: Called with (songs unpacked, songs to unpack); may raise to stop.
        on_rows: Called now and then while rows are read; may raise to stop.

    Raises:
        DataError: It is of no known form, damaged, or has no column with sound.
        DiskError: There is no room to unpack it.
    """
    rows = backend.rows
    if rows is None:
        raise ValueError(f"{backend.id} has no rows")
    tables = find_tables(folder, rows.split)
    names = column_names(tables)
    sound = _sound_column(tables, names, rows, folder)
    problems = _missing_columns(names, rows, backend)
    # Of a table that may hold sound every row is a song of its own until its content is known.
    holds_sound = sound == rows.audio_column and tables.kind not in ("folder", "csv")
    songs, num_rows, stand_ins = _collect(tables, sound, rows, holds_sound=holds_sound, on_rows=on_rows)
    problems += _stand_ins(stand_ins, rows, backend)
    kept = _draw(songs, backend, rows) if holds_sound else songs
    unpacked: Mapping[int, Unpacked] = {}
    if holds_sound:
        unpacked = unpack(tables, sound, [song.row for song in kept], num_rows, rows, on_unpack=on_unpack)
    source = _Source(backend, rows, folder, tables)
    found = [source.file(song, unpacked.get(song.row)) for song in kept]
    files = list(_merged(found))
    if (num_copies := sum(file.row.num_copies for file in files if file.row)) > len(files):
        reason = f"{num_copies:,} rows are {len(files):,} songs: each counts as often as it stands there"
        problems.append(Problem(backend.id, "warning", "rows_repeated", reason))
    return FoundRows(files, problems, num_beyond_limit=len(songs) - len(kept))


def _sound_column(tables: Tables, names: tuple[str, ...], rows: HubRows, folder: Path) -> str:
    """The column of the sound: as set, else one with names of files."""
    if tables.kind == "folder":
        return FILE_NAME
    if rows.audio_column in names:
        return rows.audio_column
    found = next((name for name in _PATH_COLUMNS if name in names), None)
    if found is None:
        raise DataError(
            f"{folder}: no column {rows.audio_column} with the sound; there are {_shown(names)}",
            hint="Set audio_column to the column that holds the sound, or the paths of the audio files.",
        )
    return found


def _shown(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
    return (", ".join(names[:_SHOWN_COLUMNS]) + more) or "none"


def _missing_columns(names: tuple[str, ...], rows: HubRows, backend: LocalBackend) -> list[Problem]:
    """A warning for each column that was asked for and is not there."""
    return [
        Problem(backend.id, "warning", "no_column", f"there is no column {name}; there are {_shown(names)}"[:100])
        for name in rows.written_columns
        if name not in names and name.partition(".")[0] not in names
    ]


def _stand_ins(stand_ins: Counter[str], rows: HubRows, backend: LocalBackend) -> list[Problem]:
    """A warning for each column that captions were taken from instead of those that the user named."""
    asked = rows.audio_caption_fields or rows.caption_columns
    if backend.caption_strategy != "huggingface" or not set(asked) & set(rows.written_columns):
        return []
    return [
        Problem(
            backend.id,
            "warning",
            "other_column",
            f"{num_rows:,} {'row has' if num_rows == 1 else 'rows have'} no caption in {', '.join(asked)}: {name} is "
            "taken"[:100],
        )
        for name, num_rows in stand_ins.items()
    ]


def _collect(
    tables: Tables, sound: str, rows: HubRows, *, holds_sound: bool, on_rows: OnRows | None
) -> tuple[list[_Song], int, Counter[str]]:
    """The songs of the rows, those with one file's name together; how many rows there are; columns that stood in."""
    by_name: dict[str, _Song] = {}
    alone: list[_Song] = []
    stand_ins: Counter[str] = Counter()
    number = -1
    for number, row in enumerate(read_rows(tables, sound=sound, on_rows=on_rows)):
        written = _written_path(cell(row, sound))
        captions, stand_in = captions_and_column(row, rows)
        if captions and stand_in is not None:
            stand_ins[stand_in] += 1
        song = _Song(number, written, captions, row_lyrics(row, rows), stated_s=row_duration(row))
        if holds_sound or written is None:
            alone.append(song)
        elif (same := by_name.get(written)) is not None:
            by_name[written] = replace(
                same,
                captions=tuple(dict.fromkeys((*same.captions, *song.captions))),
                lyrics=song.lyrics if same.lyrics is None else same.lyrics,
                num_copies=same.num_copies + 1,
            )
        else:
            by_name[written] = song
    songs = sorted((*alone, *by_name.values()), key=lambda song: song.row)
    return songs, number + 1, stand_ins


def _written_path(value: Any) -> str | None:
    """The path in a cell; None where there is none."""
    if isinstance(value, Mapping):
        value = value.get("path")
    return value.strip() or None if isinstance(value, str) else None


def _draw(songs: list[_Song], backend: LocalBackend, rows: HubRows) -> list[_Song]:
    """``max_num_samples`` songs before anything is unpacked, as the scan draws them; those without a caption last."""
    if backend.max_num_samples is None or len(songs) <= backend.max_num_samples:
        return songs

    def rank(song: _Song) -> tuple[bool, bytes]:
        has_none = backend.caption_strategy == "huggingface" and not song.captions
        return has_none, hashlib.sha256(f"{backend.id}\0{_row_name(song, rows)}".encode()).digest()

    kept = {song.row for song in sorted(songs, key=rank)[: backend.max_num_samples]}
    return [song for song in songs if song.row in kept]


def _row_name(song: _Song, rows: HubRows) -> str:
    """What a row without a file is called (spec 2.5)."""
    return f"{song.row}.{rows.file_extension}"


def _times(num_copies: int) -> str:
    return f" ({num_copies:,} rows)" if num_copies > 1 else ""


def _safe_name(written: str) -> str:
    """A file's path as written, as a path that stays below any folder: names in the cache are made of it."""
    parts = PurePosixPath(written.replace("\\", "/")).parts
    return printable("/".join(part for part in parts if part not in ("/", ".", "..")) or "song")


@dataclass(frozen=True, slots=True)
class _Source:
    """A data set whose rows become files."""

    backend: LocalBackend
    rows: HubRows
    folder: Path
    tables: Tables

    def file(self, song: _Song, unpacked: Unpacked | None) -> AudioPath:
        """The file of a song with what its rows say, or with the reason why it is left out."""
        # A file that the row names is told by its name; sound that the row holds is a file of ours in the cache.
        place = f"row {song.row:,} of {short_name(Path(self.rows.name))}"
        is_nameless = unpacked is not None or song.written is None
        facts = RowFacts(
            song.captions, song.lyrics, song.num_copies, stated_s=song.stated_s, place=place if is_nameless else ""
        )
        file, tried = (unpacked.file, "") if unpacked is not None else (None, "")
        name = _row_name(song, self.rows)
        if file is None:
            written = unpacked.written if unpacked is not None else song.written
            name = _safe_name(written) if written else name
            file, tried = self._resolve(written)
        if file is None:
            reason = f"left out: {tried}{_times(song.num_copies)}{f' ({place})' if is_nameless else ''}"
            return AudioPath(Path(name), name, replace(facts, problem=Problem(name, "error", "not_found", reason)))
        backend = self.backend
        if not song.captions and backend.caption_strategy == "huggingface" and not backend.only_instance_prompt:
            columns = ", ".join(caption_names(self.rows))
            reason = f"left out: {place} has no caption in {columns}{_times(song.num_copies)}"
            return AudioPath(file, name, replace(facts, problem=Problem(name, "error", "no_caption", reason)))
        return AudioPath(file, name, facts)

    def _resolve(self, written: str | None) -> tuple[Path | None, str]:
        """The file that a written path means, or why there is none (spec 2.6)."""
        if written is None:
            return None, "it holds no sound and names no file"
        if "://" in written:
            return None, "a web address; only files on this computer are read"
        path = Path(written)
        starts = self._starts()
        candidates = [path] if path.is_absolute() else [start / path for start in starts]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        where = "" if path.is_absolute() else f" in {len(starts)} folders; set audio_root"
        return found, "" if found is not None else f"no such file: {written}{where}"

    def _starts(self) -> list[Path]:
        """Where relative paths may start: the folder named for it, the working folder, the data set's, the one above.

        A metadata file has its audio files beside it, and nowhere else.
        """
        if self.tables.has_file_names or self.tables.kind == "folder":
            return [self.folder]
        starts = [self.rows.audio_root, self.rows.base_dir, self.folder, self.folder.parent]
        return list(dict.fromkeys(start for start in starts if start is not None))


def _merged(files: Iterable[AudioPath]) -> Iterator[AudioPath]:
    """Songs that are one file together, under the first one's name; equal names of different files told apart."""
    by_file: dict[str, AudioPath] = {}
    names: set[str] = set()
    for file in files:
        real = os.path.realpath(file.path)
        same = by_file.get(real)
        if same is not None and same.row is not None and file.row is not None and file.row.problem is None:
            by_file[real] = replace(same, row=_together(same.row, file.row))
            continue
        name, number = file.relative, 2
        while name in names:
            name, number = f"{number}/{file.relative}", number + 1
        names.add(name)
        by_file[real if same is None else name] = replace(file, relative=name)
    yield from by_file.values()


def _together(first: RowFacts, second: RowFacts) -> RowFacts:
    return replace(
        first,
        captions=tuple(dict.fromkeys((*first.captions, *second.captions))),
        lyrics=second.lyrics if first.lyrics is None else first.lyrics,
        num_copies=first.num_copies + second.num_copies,
        problem=None if first.problem is None or second.problem is None else first.problem,
    )
