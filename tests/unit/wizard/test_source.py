"""What people type as their songs, understood or answered in words."""

from __future__ import annotations

import json

import pytest

from acestep_tui.wizard.source import read_source
from engine.contract.errors import ConfigError


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("home/music", "Night Ferry", "nightly", ".hidden", "night-owl"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "Night Ferry" / "one.flac").touch()
    (tmp_path / "night.json").write_text(json.dumps([{"id": "a", "instance_data_dir": "Night Ferry"}]))
    (tmp_path / "run.json").write_text(json.dumps({"instance_data_dir": "Night Ferry"}))
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "notes.txt").touch()
    return tmp_path


@pytest.mark.parametrize("typed", ["Night Ferry", "./Night Ferry/", "nightly/../Night Ferry"])
def test_a_folder_is_named_after_itself(place, typed):
    source = read_source(typed, cwd=place)
    assert (source.key, source.value, source.album) == ("instance_data_dir", str(place / "Night Ferry"), "Night Ferry")
    assert source.text == typed


def test_home_is_understood(place):
    assert read_source("~/music", cwd=place).value == str(place / "home" / "music")


def test_a_list_of_data_sets_stays_a_file(place):
    source = read_source("night.json", cwd=place)
    assert (source.key, source.value) == ("data_backend_config", str(place / "night.json"))


def test_a_configuration_gives_its_songs(place):
    source = read_source("run.json", cwd=place)
    assert (source.key, source.value, source.album) == ("instance_data_dir", str(place / "Night Ferry"), "run")


def test_an_environment_gives_its_songs(place):
    folder = place / "config" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "multidatabackend.json").write_text("[]")
    source = read_source("env=mine", cwd=place)
    assert (source.key, source.value) == ("data_backend_config", str(folder / "multidatabackend.json"))


def test_the_demo_is_known(place):
    assert read_source("demo:songs", cwd=place).album == "demo"


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ("", "Nothing is typed yet", "press ^o"),
        (
            "Yi3852/ACEStep-Songs",
            "the hub data set of that name is not on this computer",
            "hf download --repo-type dataset Yi3852/ACEStep-Songs, then press ^r",
        ),
        ("nightly/nothing here", "No such folder", "nightly"),
        ("~nobody-is-called-so/songs", "No such folder: ", "is there; tab shows"),
        ("/no/such/place", "No such folder: /no/such/place", "press ^o"),
        ("Night Ferry/one.flac", "one.flac is one song", "Night Ferry"),
        ("notes.txt", "neither a folder nor a .json", "multidatabackend.json"),
        ("empty.json", "names no songs", "Type the folder"),
        ("env=nothing", "no configuration of this name", "Make config/nothing"),
    ],
)
def test_everything_else_is_answered_with_what_to_do(place, typed, message, hint):
    with pytest.raises(ConfigError) as caught:
        read_source(typed, cwd=place)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json", "metadata.csv", "x.parquet", "data/x.parquet"])
def test_a_folder_of_rows_is_a_hub_data_set(place, name):
    path = place / "Night Ferry" / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    source = read_source("Night Ferry", cwd=place)
    (entry,) = source.value
    assert (source.key, source.album) == ("data_backend_config", "Night Ferry")
    assert entry["dataset_name"] == str(place / "Night Ferry")
    assert (entry["id"], entry["type"]) == ("night-ferry", "huggingface")


def test_a_hub_data_set_that_was_fetched_before_is_used_by_its_name(place, monkeypatch):
    monkeypatch.setattr("engine.dataset.hub_folder.hub_cache", lambda _: place / "hub")
    storage = place / "hub" / "datasets--someone--songs"
    snapshot = storage / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text("0" * 40)
    (snapshot / "train.parquet").touch()
    source = read_source("someone/songs", cwd=place)
    assert (source.album, source.value[0]["dataset_name"]) == ("songs", "someone/songs")
