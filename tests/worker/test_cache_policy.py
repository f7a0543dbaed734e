"""A run that prepares while it trains is the run that prepares before, with fewer files, or none at all."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from engine.contract import control
from engine.contract.run_dir import RunDir
from engine.hardware.cache_files import find_entries, read_use
from engine.planning.disk import audio_entry_bytes
from engine.train import low_disk, trainer
from tests.worker.conftest import Workshop, events, write_song

STEPS = 3


@pytest.fixture
def own_cache(tmp_path: Path) -> dict[str, object]:
    return {"cache_dir": str(tmp_path / "own-cache"), "max_train_steps": STEPS, "dataloader_num_workers": 2}


def losses(run_dir: RunDir) -> list[float]:
    return [event["loss"] for event in events(run_dir, "step")]


def train(workshop: Workshop, name: str, **settings: object) -> RunDir:
    run_dir = workshop.run_dir(name, **settings)
    assert workshop.train(run_dir) == 0, run_dir.events_jsonl.read_text(encoding="utf-8")[-2000:]
    return run_dir


def test_without_a_cache_nothing_is_written_and_the_losses_are_those_of_a_prepared_run(workshop, own_cache, tmp_path):
    off = {"vae_cache_disable": True, "text_cache_disable": True, "validation_prompt": "warm", "validation_split": 0.2}
    off["lora_dropout"] = 0.1  # encoding in the middle of training must not draw from what dropout draws from
    none = train(workshop, "none", **own_cache, **off)
    assert [path for path in (tmp_path / "own-cache").rglob("*") if path.is_file()] == []
    whole = train(workshop, "whole", **{**own_cache, **off, "vae_cache_disable": False, "text_cache_disable": False})
    assert len(losses(none)) == STEPS and all(map(math.isfinite, losses(none)))
    assert losses(none) == losses(whole)
    [prepare] = [event for event in events(none, "phase_ended") if event["phase"] == "cache"]
    assert prepare["summary"] == "6 songs are prepared when they are first needed; none of them is kept"
    assert events(none, "validation_loss")[0]["loss"] == events(whole, "validation_loss")[0]["loss"]


def test_on_demand_writes_what_the_steps_needed_and_goes_on_with_it(workshop, own_cache, tmp_path):
    settings = {**own_cache, "vae_cache_ondemand": True, "text_cache_ondemand": True, "train_batch_size": 1}
    first = train(workshop, "first", **settings)
    written = list(find_entries(tmp_path / "own-cache" / "audio"))
    assert 0 < len(written) <= 6
    times = {entry.path: entry.written_t for entry in written}
    again = train(workshop, "again", **settings)
    assert losses(again) == losses(first)
    assert {entry.path: entry.written_t for entry in find_entries(tmp_path / "own-cache" / "audio")} == times
    assert losses(train(workshop, "whole", **own_cache, train_batch_size=1)) == losses(first)


def test_a_data_set_can_want_it_alone(workshop, own_cache, tmp_path, songs):
    folder = tmp_path / "more"
    folder.mkdir()
    for index in range(2):
        write_song(folder / f"more_{index}.wav", seed=index + 7)
    backends = tmp_path / "sets.json"
    backends.write_text(
        json.dumps(
            [
                {"id": "kept", "instance_data_dir": str(songs)},
                {"id": "not-kept", "instance_data_dir": str(folder), "vae_cache_disable": True, "text_embeds": "b"}
                | {"vae_cache_clear_each_epoch": True},
                {"id": "a", "dataset_type": "text_embeds", "cache_dir": str(tmp_path / "texts-a"), "default": True},
                {"id": "b", "dataset_type": "text_embeds", "cache_dir": str(tmp_path / "texts-b")}
                | {"text_cache_disable": True},
            ]
        ),
        encoding="utf-8",
    )
    settings = {**own_cache, "instance_data_dir": None, "data_backend_config": str(backends)}
    run_dir = train(workshop, "two-sets", **settings)
    assert len(list(find_entries(tmp_path / "own-cache" / "audio"))) == 6
    assert len(list(find_entries(tmp_path / "texts-a"))) == 7 and not list(find_entries(tmp_path / "texts-b"))
    [idle] = [event["message"] for event in events(run_dir, "warning") if event["code"] == "no_effect"]
    assert idle.startswith("not-kept: vae_cache_clear_each_epoch")
    use = read_use(run_dir)
    assert use is not None and [(one.id, len(one.names) > 0) for one in use.data_sets] == [
        ("kept", True),
        ("not-kept", True),
    ]


def test_the_estimate_of_a_minute_is_within_five_per_cent_of_its_file(workshop, own_cache, tmp_path):
    folder = tmp_path / "minute"
    folder.mkdir()
    write_song(folder / "minute.wav", seconds=60.0, rate=8_000)
    settings = {**own_cache, "instance_data_dir": str(folder), "max_train_steps": 1, "train_batch_size": 1}
    run_dir = workshop.run_dir("minute", **settings)
    assert workshop.train(run_dir) == 0
    [entry] = find_entries(tmp_path / "own-cache" / "audio")
    assert entry.num_bytes == pytest.approx(audio_entry_bytes(60.0), rel=0.05)
    [plan] = events(run_dir, "plan")
    written = sum(found.num_bytes for found in find_entries(tmp_path / "own-cache"))
    assert plan["parts"]["cache_bytes"] == pytest.approx(written, rel=0.5)


LATER = {"vae_cache_ondemand": True, "text_cache_ondemand": True, "train_batch_size": 1, "disk_low_threshold": "5G"}


def test_a_low_disk_stops_preparing_in_the_middle_of_training(workshop, own_cache, tmp_path, monkeypatch):
    monkeypatch.setattr(low_disk, "disk_free_bytes", lambda path: 2**30 if "own-cache" in str(path) else 2**40)
    run = workshop.run_dir("low", **own_cache, **LATER)
    assert workshop.train(run) == 5
    (ended,) = events(run, "run_ended")
    assert "stopped before preparing songs" in ended["error"] and "own-cache" in ended["error"]
    assert not list(find_entries(tmp_path / "own-cache"))


def test_a_song_that_waits_for_space_can_be_stopped_and_the_step_before_is_saved(workshop, own_cache, monkeypatch):
    is_low = [False]
    real = trainer.Trainer.report
    run = workshop.run_dir("waits", **own_cache, **LATER, disk_low_action="wait")

    def low_after_a_step(self, result, **words):
        real(self, result, **words)
        is_low[0] = True

    def free_bytes(path: Path) -> int:
        if not is_low[0] or "own-cache" not in str(path):
            return 2**40
        control.send(run.control, "stop_now")
        return 2**30

    monkeypatch.setattr(low_disk, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(low_disk, "disk_free_bytes", free_bytes)
    monkeypatch.setattr(trainer.Trainer, "report", low_after_a_step)
    assert workshop.train(run) == 130
    (ended,) = events(run, "run_ended")
    last = events(run, "step")[-1]["step"]
    assert ended["outcome"] == "stopped" and ended["error"] == f"stopped at step {last:,}; it is saved", ended
    assert [folder.name for folder in run.whole_checkpoints()] == [f"checkpoint-{last}"]
