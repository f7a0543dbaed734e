"""Data sets in the hub's formats, made on the spot: parquet with sound in it, folders of ``save_to_disk``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from engine.contract.backends import HubRows, LocalBackend


def hub_backend(folder: Path, base_dir: Path, *, identity: str = "hub", **rows: Any) -> LocalBackend:
    """A hub data set that is on this computer; keys of `HubRows`, or of the backend with a leading ``_``."""
    own = {key[1:]: rows.pop(key) for key in list(rows) if key.startswith("_")}
    columns = HubRows(name=str(folder), folder=folder, base_dir=base_dir, cache_dir=base_dir / "unpacked", **rows)
    return LocalBackend(identity, str(folder), **{"caption_strategy": "huggingface", **own}, rows=columns)


def write_parquet(
    folder: Path, rows: Sequence[dict[str, Any]], *, name: str = "data/train-00000-of-00001.parquet"
) -> Path:
    """Rows with embedded sound as the hub stores them: ``audio`` is {bytes, path}."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several row groups, as large files have.
    parquet.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=2)
    return folder


def save_to_disk(folder: Path, table: pa.Table, *, num_shards: int = 1) -> Path:
    """What ``Dataset.save_to_disk`` leaves: arrow streams and two descriptions."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{index:05}-of-{num_shards:05}.arrow" for index in range(num_shards)]
    size = -(-table.num_rows // num_shards)
    for index, name in enumerate(names):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table.slice(index * size, size))
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "x", "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {name: {} for name in table.column_names}}))
    return folder


def converted(
    folder: Path, files: Sequence[str], *, tags: Sequence[list[str]], lyrics: Sequence[str], repeats: int
) -> Path:
    """The folder that upstream's converter makes: paths, tags in a list, every row physically repeated."""
    rows = [
        {
            "keys": Path(file).stem,
            "filename": file,
            "tags": tag,
            "speaker_emb_path": "",
            "norm_lyrics": words,
            "recaption": {},
        }
        for file, tag, words in zip(files, tags, lyrics, strict=True)
    ] * repeats
    types = pa.schema(
        [
            ("keys", pa.string()),
            ("filename", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("speaker_emb_path", pa.string()),
            ("norm_lyrics", pa.string()),
            ("recaption", pa.struct([])),
        ]
    )
    return save_to_disk(folder, pa.Table.from_pylist(rows, schema=types))
