"""What a real run tells the screens: the songs, what is prepared of each, where a step's time goes, the clip's look."""

from __future__ import annotations

import pytest

from engine.contract.run_dir import RunDir
from tests.worker.conftest import Workshop, events

SETTINGS = {
    "max_train_steps": 3,
    "gradient_accumulation_steps": 2,
    "train_batch_size": 1,
    "validation_split": 0.2,
    "validation_prompt": "a bell",
    "validation_step_interval": 3,
    "validation_num_inference_steps": 2,
    "validation_audio_duration": 1.0,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, checkpoint, songs) -> RunDir:
    root = tmp_path_factory.mktemp("facts")
    workshop = Workshop(root, checkpoint, songs, root / "cache")
    run_dir = workshop.run_dir(**SETTINGS)
    assert workshop.train(run_dir) == 0
    return run_dir


def names(songs) -> set[str]:
    return {path.name for path in songs.glob("*.wav")}


def test_the_songs_are_told_once_after_the_scan(run: RunDir) -> None:
    kinds = [event["kind"] for event in events(run)]
    (ready,) = events(run, "data_ready")
    assert kinds.index("scan_progress") < kinds.index("data_ready") < kinds.index("plan")
    assert (ready["num_files"], ready["num_train"], ready["num_held_out"], ready["num_left_out"]) == (6, 5, 1, 0)
    assert ready["num_without_lyrics"] == 0
    assert (ready["shortest_s"], ready["longest_s"]) == (2.0, 3.0)
    assert ready["total_s"] == pytest.approx(4 * 2.0 + 2 * 3.0)
    assert ready["num_groups"] == 2


def test_each_songs_sound_and_captions_are_told_once(run: RunDir, songs) -> None:
    progress = events(run, "cache_progress")
    assert (progress[0]["file"], progress[0]["done"]) == ("", 0)
    assert progress[-1]["done"] == progress[-1]["total"]
    for part in ("sound", "captions"):
        told = [event for event in progress if event["part"] == part]
        assert sorted(event["file"] for event in told) == sorted(names(songs))
        assert all(event["bytes"] > 0 for event in told)


def test_a_step_tells_its_songs_and_where_its_time_went(run: RunDir, songs) -> None:
    steps = events(run, "step")
    assert len(steps) == 3
    for step in steps:
        assert len(step["files"]) == 2 and set(step["files"]) <= names(songs)
        parts = [step["forward_s"], step["backward_s"], step["optimizer_s"]]
        assert all(part > 0 for part in parts)
        assert sum(parts) <= step["step_s"] + 0.0005


def test_the_hardware_is_told_at_once(run: RunDir) -> None:
    readings = events(run, "hardware")
    (started,) = events(run, "run_started")
    assert readings[0]["t"] - started["t"] < 5
    assert readings[0]["ram_total_bytes"] > 0 and readings[0]["gpus"] == []


def test_a_clip_tells_what_it_looks_like(run: RunDir) -> None:
    (sample,) = events(run, "sample_saved")
    assert sample["verdict"] in ("ok", "clips", "silent")
    assert len(sample["envelope"]) == 64 and 0 < max(sample["envelope"]) <= 1
    assert 0 <= sample["clipped_share"] <= 1


def test_the_second_run_tells_at_once_what_is_there(run: RunDir, tmp_path, checkpoint, songs) -> None:
    workshop = Workshop(tmp_path, checkpoint, songs, run.path.parent / "cache")
    again = workshop.run_dir(**SETTINGS)
    assert workshop.train(again) == 0
    progress = events(again, "cache_progress")
    assert {event["done"] for event in progress} == {progress[0]["total"]}
    assert {event["file"] for event in progress if event["part"] == "sound"} == names(songs)
    assert progress[-1]["t"] - progress[0]["t"] < 1
