"""Hub data sets in the real worker: downloaded once in the run that needs it, unpacked, trained; offline afterwards."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from huggingface_hub import constants

from engine.contract.errors import DataError, StopRequested
from engine.contract.events import DownloadProgress, Event, RunWarning
from engine.dataset.hub_folder import folder_of
from engine.fetch import dataset as dataset_fetch
from engine.fetch.dataset import fetch_dataset
from tests.unit.dataset.hub_tables import converted, write_parquet
from tests.worker.conftest import Workshop, events, write_song
from tests.worker.loopback_hub import LoopbackHub, serving

NAME = "someone/songs"


def song_bytes(seed: int) -> bytes:
    out = io.BytesIO()
    samples = 0.2 * np.random.default_rng(seed).standard_normal((44_100 * 2, 2)).astype(np.float32)
    soundfile.write(out, samples, 44_100, format="WAV")
    return out.getvalue()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo data set's columns: prompt, lyrics, audio, audio_duration, score_lyrics."""
    return write_parquet(
        tmp_path_factory.mktemp("hub") / "songs",
        [
            {
                "prompt": f"song {seed}",
                "lyrics": "" if seed else "[verse]\nla",
                "audio": {"bytes": song_bytes(seed), "path": f"{seed}.wav"},
                "audio_duration": 2.0,
                "score_lyrics": -1.0,
            }
            for seed in range(3)
        ],
    )


@pytest.fixture
def hub(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A hub with the data set, for the client in this process, whose cache is empty."""
    with serving(rows, NAME) as hub:
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setattr(dataset_fetch, "_ASK_WAITS_S", ())
        monkeypatch.setattr("engine.fetch.task.POLL_S", 0.02)
        yield hub


class Told:
    """Takes events; asks to stop when it shall."""

    def __init__(self, *, stops: bool = False) -> None:
        self.events: list[Event] = []
        self.stops = stops

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def stop_requested(self) -> bool:
        return self.stops


def fetched(told: Told) -> Path:
    return fetch_dataset(NAME, None, emitter=told, inbox=told)  # type: ignore[arg-type]


def test_a_data_set_is_downloaded_once_and_then_there_without_the_hub(hub):
    told = Told()
    folder = fetched(told)
    assert [path.name for path in folder.rglob("*.parquet")] == ["train-00000-of-00001.parquet"]
    assert [event.code for event in told.events if isinstance(event, RunWarning)] == ["downloads_data"]
    last = [event for event in told.events if isinstance(event, DownloadProgress)][-1]
    assert last.model == NAME and last.done_bytes == last.total_bytes > 100_000
    hub.is_down = True
    again = Told()
    assert fetched(again) == folder == folder_of(NAME, None)
    assert again.events == []


def test_a_download_that_was_stopped_goes_on(hub, rows):
    name = "data/train-00000-of-00001.parquet"
    hub.bytes_per_s = 200_000
    with pytest.raises(StopRequested) as caught:
        fetched(Told(stops=True))
    assert "downloading the data set" in caught.value.message
    assert folder_of(NAME, None) is None
    hub.bytes_per_s = None
    assert fetched(Told()) == folder_of(NAME, None)
    assert hub.num_bytes(name) >= (rows / name).stat().st_size


@pytest.mark.parametrize("why", ["down", "unknown", "nothing in it"])
def test_what_cannot_be_fetched_is_a_data_error_that_says_what_to_do(hub, tmp_path, why):
    hub.is_down = why == "down"
    if why == "unknown":
        hub.name = "someone/else"
    if why == "nothing in it":
        hub.root = tmp_path / "empty"
        (hub.root).mkdir()
        (hub.root / "songs.tar").touch()
    with pytest.raises(DataError) as caught:
        fetched(Told())
    part = {"down": "cannot be reached", "unknown": "is not on the hub", "nothing in it": "it holds .tar"}[why]
    assert NAME in caught.value.message and part in caught.value.message
    assert f"hf download --repo-type dataset {NAME}" in caught.value.hint


def data_sets(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"dataset_type": "audio", **entry} for entry in entries]


def test_a_run_downloads_unpacks_and_trains_then_another_needs_no_hub(workshop: Workshop, hub):
    entry = {"id": "songs", "type": "huggingface", "dataset_name": NAME, "metadata_backend": "huggingface"}
    settings = {"instance_data_dir": None, "data_backend_config": data_sets(entry), "train_batch_size": 1}
    run = workshop.run_dir("first", **settings, max_train_steps=2)
    assert workshop.train(run) == 0
    assert events(run, "download_progress")
    (scan,) = [event for event in events(run, "phase_ended") if event["phase"] == "scan"]
    assert scan["summary"] == "3 songs, 6.0 s: 3 ready"
    assert {file for event in events(run, "step") for file in event["files"]} <= {"0.wav", "1.wav", "2.wav"}
    hub.is_down = True
    again = workshop.run_dir("second", **settings, max_train_steps=1)
    assert workshop.train(again) == 0
    assert not events(again, "download_progress")
    assert all(event["audio_s"] == 0 for event in events(again, "cache_progress")), "nothing is prepared twice"


def test_the_converters_data_set_trains_with_one_cache_entry_a_song(workshop: Workshop, monkeypatch):
    (workshop.root / "music").mkdir()
    monkeypatch.chdir(workshop.root)
    for seed in range(2):
        write_song(workshop.root / "music" / f"{seed}.wav", seed=seed)
    converted(
        workshop.root / "path/to/converted/dataset",
        ["music/0.wav", "music/1.wav"],
        tags=[["a", "b"], ["c"]],
        lyrics=["la", ""],
        repeats=3,
    )
    seed_entry = json.loads((Path(__file__).parents[1] / "seed" / "converted_backend.json").read_text())
    latents, words = workshop.root / "latents", workshop.root / "words"
    texts = {"id": "t", "dataset_type": "text_embeds", "cache_dir": str(words)}
    run = workshop.run_dir(
        instance_data_dir=None,
        data_backend_config=[{**seed_entry, "cache_dir_vae": str(latents)}, texts],
        train_batch_size=1,
        max_train_steps=0,
        num_train_epochs=1,
    )
    assert workshop.train(run) == 0
    assert len(list(latents.rglob("*.safetensors"))) == 2
    # The empty caption, "a, b" and "c".
    assert len(list(words.glob("*.safetensors"))) == 3
    # An epoch has every row.
    assert Counter(event["files"][0] for event in events(run, "step")) == {"music/0.wav": 3, "music/1.wav": 3}


def test_captions_are_kept_where_their_data_set_says(workshop: Workshop):
    other = workshop.root / "other"
    other.mkdir()
    write_song(other / "a.wav", seed=7)
    places = {name: workshop.root / f"words-{name}" for name in ("x", "y")}
    sets = [
        {"id": "a", "instance_data_dir": str(workshop.songs), "text_embeds": "y"},
        {"id": "b", "instance_data_dir": str(other), "end_step": 1},
        {"id": "x", "dataset_type": "text_embeds", "cache_dir": str(places["x"]), "default": True},
        {"id": "y", "dataset_type": "text_embeds", "cache_dir": str(places["y"])},
    ]
    run = workshop.run_dir(
        instance_data_dir=None, data_backend_config=sets, train_batch_size=1, max_train_steps=2, validation_split=0.0
    )
    assert workshop.train(run) == 0
    # Of six songs each has its caption; the default place holds the empty one and that of the other data set.
    assert {name: len(list(folder.glob("*.safetensors"))) for name, folder in places.items()} == {"x": 2, "y": 6}
    position = json.loads((run.path / "checkpoint-2" / "training_state-b.json").read_text())
    assert position["next_step"] == 2


def test_a_run_longer_than_its_data_sets_is_refused_before_anything_is_prepared(workshop: Workshop):
    sets = [{"id": "a", "instance_data_dir": str(workshop.songs), "end_step": 3}]
    run = workshop.run_dir(instance_data_dir=None, data_backend_config=sets, max_train_steps=4)
    assert workshop.train(run) == 2
    (ended,) = events(run, "run_ended")
    assert "after step 3 of 4 no data set is in use any more" in ended["error"]
    assert not events(run, "cache_progress")
