"""`cache build`: the songs of a configuration are prepared, nothing is trained, a stop loses nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from acestep_tui.headless import cache_command
from acestep_tui.runs.caches import cache_folders
from engine.__main__ import main as worker_main
from engine.contract import control
from engine.contract.backends import load_backends
from engine.contract.config import resolve
from engine.contract.errors import ConfigError
from engine.contract.run_dir import RunDir
from engine.hardware.cache_files import find_entries
from engine.model.family import AceStepV1
from engine.model.load import resolve_checkpoint
from engine.train.prepare import open_caches
from tests.worker.conftest import Workshop, events, write_song


def build(run_dir: RunDir, *flags: str) -> int:
    """The preparing process, in this one; its signal handlers are taken down again."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        return worker_main(["cache", str(run_dir.path), *flags])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def last(run_dir: RunDir) -> dict:
    return events(run_dir, "run_ended")[-1]


def test_everything_is_prepared_and_a_run_finds_it(workshop: Workshop, tmp_path: Path):
    cache = {"cache_dir": str(tmp_path / "own")}
    task = workshop.run_dir("task", **cache, vae_cache_ondemand=True, text_cache_ondemand=True)
    assert build(task) == 0
    assert len(list(find_entries(tmp_path / "own/audio"))) == 6
    assert not events(task, "plan", "step", "model_loaded") and last(task)["outcome"] == "finished"
    [size] = [event["message"] for event in events(task, "warning") if event["code"] == "cache_size"]
    assert str(tmp_path / "own") in size and "~89 MB" in size and "are free" in size
    assert build(task) == 0
    assert [event["code"] for event in events(task, "warning")].count("cache_size") == 1  # nothing was left to say
    run = workshop.run_dir("run", **cache, max_train_steps=1)
    assert workshop.train(run) == 0
    begun = events(run, "cache_progress")[0]
    assert begun["done"] == begun["total"]


def test_a_stop_keeps_what_is_ready_and_the_same_command_goes_on(workshop: Workshop, tmp_path: Path):
    task = workshop.run_dir("task", cache_dir=str(tmp_path / "own"))
    control.send(task.control, "stop_now")
    assert build(task) == 130
    assert "stopped" in last(task)["error"] and last(task)["outcome"] == "stopped"
    assert build(task) == 0 and len(list(find_entries(tmp_path / "own/audio"))) == 6


def test_a_broken_song_goes_where_that_was_asked_for(workshop: Workshop, tmp_path: Path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for seed in range(2):
        write_song(folder / f"song_{seed}.wav", seed=seed)
    (folder / "broken.mp3").write_bytes(b"no sound at all")
    settings = {"instance_data_dir": str(folder), "cache_dir": str(tmp_path / "own")}
    assert build(workshop.run_dir("kept", **settings)) == 0 and (folder / "broken.mp3").exists()
    task = workshop.run_dir("gone", **settings, delete_problematic_images=True)
    assert build(task) == 0 and not (folder / "broken.mp3").exists() and len(list(folder.glob("*.wav"))) == 2
    assert [event["code"] for event in events(task, "warning")].count("file_deleted") == 1


def test_what_keeps_nothing_or_does_not_fit_is_refused(workshop: Workshop, tmp_path: Path, monkeypatch):
    nothing = workshop.run_dir("nothing", vae_cache_disable=True, text_cache_disable=True)
    assert build(nothing) == 2 and "keeps nothing" in last(nothing)["error"]
    monkeypatch.setattr("engine.train.announce.disk_free_bytes", lambda path: 1000)
    large = workshop.run_dir("large", cache_dir=str(tmp_path / "own"))
    assert build(large) == 5 and "--yes" in last(large)["hint"] and "~89 MB" in last(large)["error"]
    assert not list(find_entries(tmp_path / "own"))
    assert build(large, "--yes") == 0


def test_a_run_says_what_much_preparing_takes(workshop: Workshop, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("engine.planning.cache_size.LARGE_BYTES", 1000)
    run = workshop.run_dir("run", cache_dir=str(tmp_path / "own"), max_train_steps=1)
    assert workshop.train(run) == 0
    [size] = [event["message"] for event in events(run, "warning") if event["code"] == "cache_size"]
    assert "60 s of music may take up to ~89 MB" in size and "vae_cache_disable" in size


def test_the_front_end_looks_where_the_worker_writes(workshop: Workshop, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sets = [{"id": "a", "instance_data_dir": str(workshop.songs)}]
    sets.append({"id": "b", "instance_data_dir": str(workshop.songs), "cache_dir_vae": "vae/{id}"})
    sets.append({"id": "t", "dataset_type": "text_embeds", "cache_dir": "text"})
    for settings in ({}, {"cache_dir_vae": "all-vae"}, {"cache_dir": "root"}):
        path = tmp_path / "c.json"
        path.write_text(json.dumps({"data_backend_config": sets, **settings}), encoding="utf-8")
        resolved = resolve(path, [], cwd=tmp_path)
        backends = load_backends(resolved.config, base_dir=tmp_path)
        caches = open_caches(resolved.config, backends, AceStepV1(resolve_checkpoint(workshop.checkpoint)))
        wanted = {caches.audio.folder("a"), caches.audio.folder("b"), caches.text.path("x").parent}
        assert {folder.absolute() for folder in wanted} == set(cache_folders(resolved))


@pytest.mark.parametrize("arguments", [["build", "nothing.json"], ["build"]])
def test_a_configuration_that_is_not_there_is_said(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        cache_command.cache(arguments)
