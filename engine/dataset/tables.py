"""The rows of a data set in the hub's formats: which files hold them, and what is in their columns.

Read are folders of ``save_to_disk`` (arrow files named in state.json), parquet, arrow and jsonl files, and folders of
audio files, with or without a metadata file. Nothing of a data set is ever executed. Files are read with pyarrow, not
with the `datasets` library: that one takes seconds to import, keeps a second copy of everything, and cannot open some
of these folders at all.
"""

from __future__ import annotations

import bisect
import csv
import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.contract.errors import DataError
from engine.dataset.folder import AUDIO_SUFFIXES

Kind = Literal["arrow", "parquet", "jsonl", "csv", "folder"]
Row = dict[str, Any]

FILE_NAME = "file_name"
"""The column of a metadata file that names the audio file beside it."""

_KINDS: dict[str, Kind] = {".parquet": "parquet", ".arrow": "arrow", ".jsonl": "jsonl", ".json": "jsonl"}
# JSON files that describe a data set rather than hold its rows.
_NO_ROWS = ("state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json")
_METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_SPLITS = ("train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval", "evaluation")
_SAME_SPLIT = {"training": "train", "testing": "test", "evaluation": "eval", "valid": "validation", "val": "validation"}
_BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class Tables:
    """The files with the rows of one split, in order.

    Attributes:
        folder: The data set's folder.
        kind: How they are read; ``folder`` = its files are the rows.
        files: The tables; with ``folder`` the audio files.
        has_file_names: `FILE_NAME` names audio files beside the table.
    """

    folder: Path
    kind: Kind
    files: tuple[Path, ...]
    has_file_names: bool = False

    def facts(self) -> list[tuple[str, int, int]]:
        """Name, size and time of change of each file: what tells one state of a data set from another."""
        facts = [(file, file.stat()) for file in self.files]
        return [(str(file.relative_to(self.folder)), fact.st_size, fact.st_mtime_ns) for file, fact in facts]


def find_tables(folder: Path, split: str) -> Tables:
    """The files that hold the rows of a split.

    Raises:
        DataError: Nothing that can be read, no such split, or a description that cannot be read.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _described(folder / "dataset_dict.json", "splits")
        if split not in splits:
            raise _no_split(folder, split, splits)
        return find_tables(folder / split, split)
    if (folder / "state.json").is_file():
        names = [entry.get("filename") for entry in _described(folder / "state.json", "_data_files")]
        return Tables(folder, "arrow", tuple(folder / str(name) for name in names))
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_hidden(path, folder))
    metadata = [path for path in found if path.name in _METADATA]
    if metadata:
        chosen = _of_split(metadata, folder, split)
        kind: Kind = "csv" if chosen[0].suffix == ".csv" else _KINDS[chosen[0].suffix]
        return Tables(folder, kind, tuple(file for file in chosen if file.suffix == chosen[0].suffix), True)
    for suffix in (".parquet", ".arrow", ".jsonl", ".json"):
        files = [path for path in found if path.suffix.lower() == suffix and path.name not in _NO_ROWS]
        if files:
            return Tables(folder, _KINDS[suffix], tuple(_of_split(files, folder, split)))
    sounds = [path for path in found if path.suffix.lower() in AUDIO_SUFFIXES]
    if sounds:
        return Tables(folder, "folder", tuple(_of_split(sounds, folder, split)))
    held = sorted({path.suffix for path in found if path.suffix})
    raise DataError(
        f"{folder}: no rows in it that can be read" + (f" (it holds {', '.join(held[:8])})" if held else ""),
        hint="Read are folders made by save_to_disk, parquet, arrow and jsonl files, and folders of audio files with "
        "metadata.jsonl or metadata.csv. Save the data set as one of them.",
    )


def column_names(tables: Tables) -> tuple[str, ...]:
    """The names of the columns, in order.

    Raises:
        DataError: A file cannot be read.
    """
    if tables.kind == "folder":
        return (FILE_NAME,)
    if tables.kind == "csv":
        return tuple(next(_csv_rows(tables.files[0]), {}))
    if tables.kind == "jsonl":
        names: dict[str, None] = {}
        for row in _json_rows(tables.files[0]):
            names.update(dict.fromkeys(row))
        return tuple(names)
    return tuple(_schema(tables.files[0], tables.kind).names)


def read_rows(tables: Tables, *, sound: str | None, on_rows: Callable[[], None] | None = None) -> Iterator[Row]:
    """Every row in order, without the bytes of its sound.

    Args:
        tables: Of `find_tables`.
        sound: The column of the sound; of it only a path is given: ``{"path": …}`` or a text, else None.
        on_rows: Called now and then; may raise to stop.

    Raises:
        DataError: A file cannot be read.
    """
    for file in tables.files:
        if tables.kind == "folder":
            yield {FILE_NAME: file.relative_to(tables.folder).as_posix()}
            continue
        for place, row in enumerate(_rows_of(file, tables.kind, sound)):
            if on_rows is not None and place % _BATCH_ROWS == 0:
                on_rows()
            yield _beside(row, file, tables.folder) if tables.has_file_names else row


def _rows_of(file: Path, kind: Kind, sound: str | None) -> Iterator[Row]:
    if kind in ("csv", "jsonl"):
        yield from _csv_rows(file) if kind == "csv" else _json_rows(file)
        return
    for batch in _batches(file, kind, without_bytes_of=sound):
        yield from batch.to_pylist()


def _beside(row: Row, file: Path, folder: Path) -> Row:
    """A row of a metadata file: its audio file's name starts at that file."""
    name = row.get(FILE_NAME)
    return {**row, FILE_NAME: (file.parent.relative_to(folder) / name).as_posix()} if isinstance(name, str) else row


def read_cells(tables: Tables, column: str, rows: Collection[int]) -> Iterator[tuple[int, Any]]:
    """The cells of one column in some rows (counted from 0 through all files), one at a time.

    Raises:
        DataError: A file cannot be read.
    """
    first = 0
    for file in tables.files:
        if tables.kind in ("csv", "jsonl"):
            for row in _csv_rows(file) if tables.kind == "csv" else _json_rows(file):
                if first in rows:
                    yield first, row.get(column)
                first += 1
            continue
        for batch in _batches(file, tables.kind, only=column, skip=_skipper(rows, first)):
            if batch.num_columns:
                for place in range(batch.num_rows):
                    if first + place in rows:
                        yield first + place, _plain(batch.column(0)[place])
            first += batch.num_rows


def _skipper(rows: Collection[int], first: int) -> Callable[[int, int], bool]:
    """Whether nothing is wanted of ``count`` rows from ``begin`` on, counted in a file that starts at row ``first``."""
    wanted = sorted(rows)

    def skip(begin: int, count: int) -> bool:
        place = bisect.bisect_left(wanted, first + begin)
        return place == len(wanted) or wanted[place] >= first + begin + count

    return skip


def _plain(scalar: Any) -> Any:
    """A cell as Python has it; numbers in lists stay an array, for a song has millions of them."""
    import pyarrow as pa

    if pa.types.is_struct(scalar.type):
        return {name: _plain(scalar[name]) for name in scalar} if scalar.is_valid else None
    if scalar.is_valid and (pa.types.is_list(scalar.type) or pa.types.is_large_list(scalar.type)):
        if pa.types.is_floating(scalar.type.value_type) or pa.types.is_integer(scalar.type.value_type):
            return scalar.values.to_numpy(zero_copy_only=False)
        return [_plain(item) for item in scalar.values]
    return scalar.as_py()


def _schema(file: Path, kind: Kind) -> Any:
    import pyarrow as pa  # 0.35 s
    from pyarrow import parquet

    try:
        if kind == "parquet":
            return parquet.read_schema(file)
        with _opened(file) as reader:
            return reader.schema
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


def _batches(
    file: Path,
    kind: Kind,
    *,
    without_bytes_of: str | None = None,
    only: str | None = None,
    skip: Callable[[int, int], bool] | None = None,
) -> Iterator[Any]:
    """Record batches of a file: all columns but the bytes of one, or one column alone; of skipped rows no column."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = [only] if only is not None else _light_columns(_schema(file, kind), without_bytes_of)
    try:
        if kind == "parquet":
            with parquet.ParquetFile(file) as table:
                begin = 0
                for group in range(table.num_row_groups):
                    count = table.metadata.row_group(group).num_rows
                    held = [] if skip is not None and skip(begin, count) else columns
                    # Few at once: a row may hold a whole song.
                    rows = 8 if only else _BATCH_ROWS
                    yield from table.iter_batches(batch_size=rows, row_groups=[group], columns=held)
                    begin += count
            return
        with _opened(file) as reader:
            # The readers of both forms give batches; what is not asked for stays in the file.
            for batch in reader if not hasattr(reader, "num_record_batches") else _numbered(reader):
                yield _selected(batch, columns)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(file, error) from error


def _light_columns(schema: Any, sound: str | None) -> list[str]:
    """All columns, of the sound's only its path: ``audio.path``."""
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name != sound or pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            columns.append(field.name)
        elif pa.types.is_struct(field.type) and field.type.get_field_index("path") >= 0:
            columns.append(f"{field.name}.path")
    return columns


def _selected(batch: Any, columns: Sequence[str]) -> Any:
    """The same rows with these columns alone; ``audio.path`` stays a struct with one field."""
    import pyarrow as pa

    arrays, names = [], []
    for column in columns:
        if column in batch.schema.names:
            arrays.append(batch.column(batch.schema.get_field_index(column)))
            names.append(column)
            continue
        name, _, part = column.rpartition(".")
        whole = batch.column(batch.schema.get_field_index(name))
        arrays.append(pa.StructArray.from_arrays([whole.field(part)], names=[part]))
        names.append(name)
    return pa.RecordBatch.from_arrays(arrays, names=names)


def _opened(file: Path) -> Any:
    """A reader of an arrow file, mapped into memory: `datasets` writes streams, other programs files."""
    import pyarrow as pa

    source = pa.memory_map(str(file))
    if source.read(6) == b"ARROW1":
        return pa.ipc.open_file(source)
    source.seek(0)
    return pa.ipc.open_stream(source)


def _numbered(reader: Any) -> Iterator[Any]:
    return (reader.get_batch(index) for index in range(reader.num_record_batches))


def _json_rows(file: Path) -> Iterator[Row]:
    """The objects of a file: one a line, or one list."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            head = lines.read(1).lstrip()
            lines.seek(0)
            if head == "[" and file.suffix.lower() == ".json":
                rows = json.load(lines)
            else:
                rows = (json.loads(line) for line in lines if line.strip())
            for number, row in enumerate(rows, start=1):
                if not isinstance(row, dict):
                    raise ValueError(f"entry {number} is no object")
                yield row
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(file, error) from error


def _csv_rows(file: Path) -> Iterator[Row]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from (dict(row) for row in csv.DictReader(lines))
    except (OSError, ValueError, csv.Error) as error:
        raise _unreadable(file, error) from error


def _described(file: Path, key: str) -> list[Any]:
    """A list out of a description."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))[key]
        if not isinstance(value, list):
            raise TypeError(f"{key} is no list")
        return value
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(file, error) from error


def _of_split(files: list[Path], folder: Path, split: str) -> list[Path]:
    """The files of one split: as the card of the data set says, else by a word in their names."""
    listed = _of_card(files, folder, split)
    if listed:
        return listed
    named = {file: _split_named(file.relative_to(folder).as_posix(), split) for file in files}
    if not any(named.values()):
        # No file says which split it is: the whole data set is ``train``.
        if split != "train":
            raise _no_split(folder, split, ["train"])
        return files
    chosen = [file for file, name in named.items() if name == split]
    if not chosen:
        raise _no_split(folder, split, sorted({name for name in named.values() if name}))
    return chosen


def _split_named(relative: str, split: str) -> str:
    """The split that a path names by a word of its own; empty for none."""
    words = re.split(r"[^a-z0-9]+", relative.lower())
    if split.lower() in words:
        return split
    return next((_SAME_SPLIT.get(word, word) for word in words if word in _SPLITS), "")


def _of_card(files: list[Path], folder: Path, split: str) -> list[Path]:
    """The files that README.md names for the split in the first of its ``configs``; none where it names none."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return []
    head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    if head is None or "data_files" not in head[1]:
        return []
    import yaml  # of huggingface_hub; only where a card says something

    try:
        configs = yaml.safe_load(head[1])["configs"]
        listed = configs[0]["data_files"]
        patterns = [one["path"] for one in listed if one["split"] == split] if isinstance(listed, list) else [listed]
        flat = [path for one in patterns for path in ([one] if isinstance(one, str) else one)]
        return [file for file in files if any(_matches(file.relative_to(folder), pattern) for pattern in flat)]
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        return []


def _matches(path: Path, pattern: str) -> bool:
    """Whether a path is of a pattern: `*` stays within a name, ``**`` goes through folders."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.fullmatch("".join(signs.get(part, re.escape(part)) for part in parts), path.as_posix()) is not None


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _no_split(folder: Path, split: str, there: Sequence[Any]) -> DataError:
    names = ", ".join(str(name) for name in there)
    return DataError(f"{folder}: there is no split {split}", hint=f"Set split to one of: {names}.")


def _unreadable(file: Path, error: BaseException) -> DataError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).split("\n")[0]
    return DataError(f"{file}: cannot be read: {reason}", hint="Download or copy the data set again.")
