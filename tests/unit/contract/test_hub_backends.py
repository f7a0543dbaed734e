"""Hub data sets in the list of data sets: the seed's files, columns in three places, what does not go together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.contract.backends import load_backends
from engine.contract.config import Config
from engine.contract.errors import ConfigError

SEED = Path(__file__).parents[2] / "seed"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load a list of data sets, inline; the folder `rows` exists."""
    monkeypatch.setenv("ACESTEP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "rows").mkdir()

    def load_entries(*entries, **settings):
        config = Config.from_dict({"data_backend_config": list(entries), "output_dir": "output/x", **settings})
        return load_backends(config, base_dir=tmp_path)

    return load_entries


def hub(**values):
    return {"id": "mine", "type": "huggingface", "dataset_name": "rows", **values}


def test_the_seeds_hub_data_set_is_accepted_unchanged(load, tmp_path):
    found = load(*json.loads((SEED / "multidatabackend_hub.json").read_text()))
    (backend,) = found.training
    assert (backend.id, backend.caption_strategy) == ("acestep-demo-data", "huggingface")
    assert (backend.rows.name, backend.rows.folder) == ("Yi3852/ACEStep-Songs", None)
    assert backend.rows.cache_dir == tmp_path / "cache/huggingface/acestep-demo-data"
    assert backend.cache_dir_vae == tmp_path / "cache/vae/ace_step/acestep-demo-data"
    # {model_family} is filled in.
    assert found.text_cache_dir == backend.text_embeds.cache_dir == tmp_path / "cache/text/ace_step"
    assert found.notices == ()


def test_the_seeds_converted_data_set_needs_no_id_no_metadata_backend_and_no_strategy(load, tmp_path):
    (tmp_path / "path/to/converted/dataset").mkdir(parents=True)
    found = load(json.loads((SEED / "converted_backend.json").read_text()))
    (backend,) = found.training
    assert backend.id == "backend-0-dataset"
    assert backend.caption_strategy == "huggingface"
    assert backend.rows.folder == tmp_path / "path/to/converted/dataset"
    assert (backend.rows.audio_caption_fields, backend.rows.lyrics_column) == (("tags",), "norm_lyrics")
    assert [notice.code for notice in found.notices] == ["generated_id"]


@pytest.mark.parametrize(
    ("entry", "column"),
    [
        ({}, "lyrics"),
        ({"lyrics_column": "top"}, "top"),
        ({"lyrics_column": "top", "huggingface": {"lyrics_column": "block"}}, "block"),
        ({"huggingface": {"lyrics_column": "block"}, "config": {"lyrics_column": "first"}}, "first"),
        ({"lyrics_column": "top", "config": {"lyrics_column": "first"}}, "first"),
        ({"lyrics_column": "top", "config": {"lyrics_column": None, "audio_column": "x"}}, "top"),
    ],
)
def test_columns_may_stand_in_three_places(load, entry, column):
    assert load(hub(**entry)).training[0].rows.lyrics_column == column


def test_every_column_key_arrives(load, tmp_path):
    rows = (
        load(
            hub(
                split="test",
                revision="v1",
                audio_column="sound",
                cache_dir="unpacked",
                config={
                    "caption_column": ["a", "b.c"],
                    "fallback_caption_column": "d",
                    "description_column": "e",
                    "audio_caption_fields": "f",
                    "file_extension": ".mp3",
                    "audio_root": "music",
                },
            )
        )
        .training[0]
        .rows
    )
    assert (rows.split, rows.revision, rows.audio_column, rows.cache_dir) == (
        "test",
        "v1",
        "sound",
        tmp_path / "unpacked",
    )
    assert (rows.caption_columns, rows.fallback_caption_column, rows.description_column) == (("a", "b.c"), "d", "e")
    assert (rows.audio_caption_fields, rows.file_extension) == (("f",), "mp3")
    assert rows.audio_root == tmp_path / "music"
    assert set(rows.written_columns) == {"sound", "a", "b.c", "d", "e", "f"}


def test_long_rows_are_cut_where_long_files_are_skipped(load, tmp_path):
    (tmp_path / "songs").mkdir()
    audio = {"audio": {"max_duration_seconds": 60}}
    found = load(hub(**audio), {"id": "files", "instance_data_dir": "songs", **audio})
    assert [backend.audio.long_clip for backend in found.training] == ["cut", "skip"]


@pytest.mark.parametrize("strategy", ["huggingface", "instanceprompt"])
def test_captions_of_rows_come_from_columns_or_are_one_for_all(load, strategy):
    (backend,) = load(hub(caption_strategy=strategy, instance_prompt="a song")).training
    assert backend.caption_strategy == strategy


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        (
            {"dataset_name": None},
            "dataset_name is missing. Accepted: OWNER/NAME on the hub, or the path of its folder.",
        ),
        ({"dataset_name": "no/such/folder"}, "no such folder, and no name on the hub"),
        ({"caption_strategy": "textfile"}, "not for type huggingface. Accepted: huggingface, instanceprompt."),
        ({"caption_strategy": "filename"}, "not for type huggingface"),
        ({"metadata_backend": "discovery"}, "not for type huggingface. Accepted: huggingface."),
        ({"streaming": True}, "streaming = true: not supported: the data set is downloaded once"),
        ({"config": {"streaming": "yes"}}, "mine.config: streaming"),
        ({"filter_func": {"collection": "pop"}}, "not supported: leave songs out with exclude_files"),
        ({"config": {"lyric_column": "x"}}, "unknown key. The closest known key is lyrics_column"),
        ({"config": "default"}, 'config = "default": not an object'),
        ({"huggingface": {"caption_column": 3}}, "not a list of texts"),
    ],
)
def test_bad_entries(load, entry, part):
    with pytest.raises(ConfigError) as caught:
        load(hub(**entry))
    assert caught.value.exit_code == 2
    (line,) = caught.value.message.splitlines()
    assert part in line


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"num_proc": 4}, "num_proc has no effect"),
        ({"quality_column": "q"}, "quality_column has no effect: only filter_func reads it"),
        ({"instance_data_dir": "rows"}, "instance_data_dir has no effect on a hub data set"),
        ({"config": {"image_column": "x", "width_column": "w"}}, "image_column, width_column: ignored for audio"),
    ],
)
def test_what_does_nothing_is_said(load, entry, part):
    (notice,) = load(hub(**entry)).notices
    assert part in notice.message


def test_columns_do_nothing_on_a_folder_and_are_said(load, tmp_path):
    (tmp_path / "songs").mkdir()
    notices = load({"id": "files", "instance_data_dir": "songs", "config": {"lyrics_column": "x"}}).notices
    assert [notice.code for notice in notices] == ["no_effect"]
    assert "lyrics_column has an effect on a data set of type huggingface only" in notices[0].message
