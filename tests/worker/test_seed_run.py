"""The quickstart's own files, byte for byte, start a run (tiny weights stand where the hub's would be)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from engine.contract.config import resolve
from engine.contract.model_files import RELEASED_MODEL
from engine.contract.run_dir import RunDir
from tests.worker.conftest import Workshop, events, write_song

SEED = Path(__file__).parents[1] / "seed"
NAME = "acestep-training-demo"


@pytest.fixture
def quickstart(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the quickstart leaves it: its config files, songs, and the model in the hub client's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONFIG_PATH", raising=False)
    monkeypatch.setenv("ACESTEP_CACHE", str(tmp_path / "cache-of-ours"))
    storage = tmp_path / "hub" / f"models--{RELEASED_MODEL.replace('/', '--')}"
    shutil.copytree(checkpoint, storage / "snapshots" / ("a" * 40))
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    home = tmp_path / "config" / NAME
    home.mkdir(parents=True)
    shutil.copy(SEED / "config.json", home / "config.json")
    shutil.copy(SEED / "multidatabackend_local.json", home / "multidatabackend.json")
    songs = tmp_path / "datasets" / "my_audio_files"
    songs.mkdir(parents=True)
    for seed in range(2):
        write_song(songs / f"track_0{seed + 1}.wav", seconds=1.0, seed=seed)
    return tmp_path


def begun(folder: Path, *overrides: str) -> RunDir:
    """The run folder that `train env=NAME` with these overrides makes."""
    config = resolve(f"env={NAME}", overrides, cwd=folder).config
    run_dir = RunDir(folder / str(config.output_dir))
    run_dir.path.mkdir(parents=True)
    run_dir.config_json.write_text(json.dumps(config.to_dict()))
    return run_dir


def test_the_quickstarts_files_start_a_run_unchanged(quickstart: Path, workshop: Workshop):
    run_dir = begun(quickstart, "--max_train_steps=1")
    assert workshop.train(run_dir) == 0
    assert run_dir.path == quickstart / "output" / NAME
    (step,) = events(run_dir, "step")
    assert step["step"] == 1 and step["loss"] > 0
    assert events(run_dir, "run_ended")[-1]["outcome"] == "finished"
    # The captions' place is the one that the file names, with {model_family} filled in.
    assert list((quickstart / "cache" / "text" / "ace_step").rglob("*.safetensors"))
    assert (run_dir.export).is_dir()


def test_the_quickstarts_lyrics_pattern_and_embedder_train_too(quickstart: Path, workshop: Workshop):
    songs = quickstart / "datasets" / "my_audio_files"
    (songs / "track_01.lyrics").rename(songs / "track_01_lyrics.txt")
    (songs / "track_02.lyrics").unlink()
    home = quickstart / "config" / NAME
    sets = json.loads((home / "multidatabackend.json").read_text())
    sets[0].update(json.loads(f"{{{(SEED / 'lyrics_pattern.jsonpart').read_text()}}}"))
    (home / "multidatabackend.json").write_text(json.dumps(sets))
    config = json.loads((home / "config.json").read_text())
    (home / "config.json").write_text(json.dumps(config | json.loads((SEED / "lyrics_embedder.json").read_text())))
    run_dir = begun(quickstart, "--max_train_steps=2")
    assert workshop.train(run_dir) == 0
    (ready,) = events(run_dir, "data_ready")
    assert ready["num_without_lyrics"] == 1
    steps = events(run_dir, "step")
    assert steps[0]["lyrics_embedder_learning_rate"] == pytest.approx(5e-5)
    assert list(run_dir.path.rglob("lyrics_embedder/model.safetensors"))
