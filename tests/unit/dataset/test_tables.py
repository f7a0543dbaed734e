"""The files of a data set: every form, its splits, and what is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from engine.contract.errors import DataError
from engine.dataset.hub_folder import INCOMPLETE_MARK, folder_of, storage_of, wanted_files
from engine.dataset.row_text import row_captions, row_duration, row_lyrics
from engine.dataset.tables import column_names, find_tables, read_cells, read_rows
from tests.unit.dataset.hub_tables import hub_backend, save_to_disk

TABLE = pa.table(
    {
        "caption": [f"c{number}" for number in range(5)],
        "audio": [{"bytes": bytes([number] * 4), "path": f"{number}.wav"} for number in range(5)],
    }
)


def write(form: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    if form == "save_to_disk":
        return save_to_disk(folder, TABLE, num_shards=2)
    if form == "splits":
        save_to_disk(folder / "train", TABLE)
        save_to_disk(folder / "test", TABLE.slice(0, 1))
        (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    elif form == "parquet":
        parquet.write_table(TABLE.slice(0, 3), folder / "train-00000-of-00002.parquet", row_group_size=2)
        parquet.write_table(TABLE.slice(3), folder / "train-00001-of-00002.parquet")
        parquet.write_table(TABLE.slice(0, 1), folder / "test-00000-of-00001.parquet")
    elif form == "arrow file":
        with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_file(file, TABLE.schema) as writer:
            writer.write_table(TABLE, max_chunksize=2)
    return folder


@pytest.mark.parametrize("form", ["save_to_disk", "splits", "parquet", "arrow file"])
def test_rows_without_their_sound_and_sound_of_some_rows(tmp_path, form):
    tables = find_tables(write(form, tmp_path / "set"), "train")
    assert column_names(tables) == ("caption", "audio")
    assert list(read_rows(tables, sound="audio")) == [
        {"caption": f"c{number}", "audio": {"path": f"{number}.wav"}} for number in range(5)
    ]
    assert [(row, cell["bytes"]) for row, cell in read_cells(tables, "audio", {1, 4})] == [
        (1, bytes([1] * 4)),
        (4, bytes([4] * 4)),
    ]


@pytest.mark.parametrize("form", ["splits", "parquet"])
def test_the_split_is_chosen_by_the_description_or_by_names(tmp_path, form):
    folder = write(form, tmp_path / "set")
    assert len(list(read_rows(find_tables(folder, "test"), sound="audio"))) == 1
    with pytest.raises(DataError) as caught:
        find_tables(folder, "dev")
    assert "no split dev" in caught.value.message and "train" in caught.value.hint


@pytest.mark.parametrize(
    ("names", "split", "chosen"),
    [
        (["data/a.jsonl", "data/b.jsonl"], "train", ["data/a.jsonl", "data/b.jsonl"]),
        (["training.jsonl", "eval.jsonl"], "train", ["training.jsonl"]),
        (["my_train_songs.jsonl", "restrained.jsonl"], "train", ["my_train_songs.jsonl"]),
        (["rock/x.jsonl", "pop/x.jsonl"], "pop", ["pop/x.jsonl"]),
    ],
)
def test_words_in_names_of_files(tmp_path, names, split, chosen):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    tables = find_tables(tmp_path, split)
    assert [file.relative_to(tmp_path).as_posix() for file in tables.files] == chosen


def test_the_card_says_which_files_are_a_split(tmp_path):
    for name in ("x/one.jsonl", "x/two.jsonl", "three.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: x/*\n---\n# Songs\n"
    (tmp_path / "README.md").write_text(card)
    assert [file.name for file in find_tables(tmp_path, "train").files] == ["one.jsonl", "two.jsonl"]
    (tmp_path / "README.md").write_text("---\nconfigs: {data_files: 3\n---\n")
    assert len(find_tables(tmp_path, "train").files) == 3


def test_a_folder_of_audio_files_has_them_for_rows(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.mp3").touch()
    (tmp_path / "train" / "notes.txt").touch()
    assert list(read_rows(find_tables(tmp_path, "train"), sound="file_name")) == [{"file_name": "train/a.mp3"}]


def test_names_in_a_metadata_file_start_at_that_file(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "metadata.csv").write_text("file_name,caption\nx/a.mp3,calm\n")
    assert list(read_rows(find_tables(tmp_path, "train"), sound="audio")) == [
        {"file_name": "train/x/a.mp3", "caption": "calm"}
    ]


def test_a_list_of_objects_in_one_json_file(tmp_path):
    (tmp_path / "songs.json").write_text(json.dumps([{"audio": "a.mp3"}, {"audio": "b.mp3", "tags": ["x"]}]))
    tables = find_tables(tmp_path, "train")
    assert column_names(tables) == ("audio", "tags")
    assert [row["audio"] for row in read_rows(tables, sound="audio")] == ["a.mp3", "b.mp3"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1 torn"),
        ("a.arrow", b"ARROW1 torn"),
        ("a.arrow", b""),
        ("a.jsonl", b'{"a": 1}\n{'),
        ("a.jsonl", b"[1]"),
        ("a.json", b"[1]"),
        ("a.jsonl", b"\xff\xfe"),
        ("state.json", b"{}"),
        ("state.json", b'{"_data_files": 3}'),
        ("dataset_dict.json", b"["),
        ("state.json", b'{"_data_files": [{"filename": "gone.arrow"}]}'),
        ("a.tar", b"x"),
    ],
)
def test_what_cannot_be_read_is_our_error_and_names_the_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        tables = find_tables(tmp_path, "train")
        column_names(tables)
        list(read_rows(tables, sound="audio"))
    assert str(tmp_path) in caught.value.message and caught.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["caption", "prompt", "tags", "lyrics", "audio_duration", "x"]), JSON))
def test_no_cell_of_any_shape_raises(row):
    columns = hub_backend(Path("/x"), Path("/x"), caption_columns=("caption", "x.y")).rows
    assert columns is not None
    assert all(isinstance(one, str) and one for one in row_captions(row, columns))
    assert isinstance(row_lyrics(row, columns), (str, type(None)))
    assert (row_duration(row) or 1.0) > 0


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["README.md", "data/train-0.parquet", "x.py", ".gitattributes"], ["README.md", "data/train-0.parquet"]),
        (["metadata.csv", "a.mp3", "b.png"], ["metadata.csv", "a.mp3"]),
        (["songs.jsonl", "audio/a.mp3"], ["songs.jsonl", "audio/a.mp3"]),
        (["state.json", "data-0.arrow", "a.mp3"], ["state.json", "data-0.arrow"]),
        (["x.py", "a.tar"], []),
    ],
)
def test_what_is_fetched_of_a_data_set(paths, wanted):
    assert wanted_files(paths) == wanted


def test_a_data_set_counts_as_here_when_all_of_it_is(tmp_path):
    storage = storage_of("a/b", tmp_path)
    snapshot = storage / "snapshots" / ("0" * 40)
    assert folder_of("a/b", None, tmp_path) is None
    snapshot.mkdir(parents=True)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text("0" * 40)
    (snapshot / "train-00000-of-00002.parquet").touch()
    assert folder_of("a/b", None, tmp_path) is None
    (snapshot / "train-00001-of-00002.parquet").touch()
    assert folder_of("a/b", None, tmp_path) == snapshot
    assert folder_of("a/b", "other", tmp_path) is None
    (storage / INCOMPLETE_MARK).touch()
    assert folder_of("a/b", None, tmp_path) is None
