"""What cannot train never starts, and a run without a step is no success unless its target was reached before."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.contract.errors import ConfigError
from engine.demo.encode import encode
from engine.train import run as run_module
from tests.worker.conftest import Workshop, events, write_song


def ended(run_dir):
    return events(run_dir, "run_ended")[-1]


@pytest.fixture
def noise() -> bytes:
    """A FLAC whose header is whole and whose middle is not, so that only decoding finds out."""
    generator = np.random.default_rng(1)
    sound = 0.1 * generator.standard_normal((2, 44_100)).astype(np.float32)
    content = bytearray(encode(sound, 44_100, "flac"))
    content[len(content) // 2 : len(content) // 2 + 3000] = generator.bytes(3000)
    return bytes(content)


@pytest.mark.parametrize("case", ["empty", "unreadable", "captionless", "too short", "damaged inside", "never drawn"])
def test_a_data_set_of_which_nothing_is_usable_never_starts(workshop: Workshop, tmp_path: Path, noise: bytes, case):
    songs = tmp_path / "songs"
    songs.mkdir()
    data: dict[str, object] = {"id": "songs", "instance_data_dir": str(songs)}
    if case == "unreadable":
        (songs / "a.wav").write_bytes(b"")
        (songs / "b.mp3").write_bytes(bytes(4096))
        (songs / "c.wav").mkdir()
    elif case == "damaged inside":
        (songs / "a.flac").write_bytes(noise)
        (songs / "a.txt").write_text("rock")
    elif case != "empty":
        write_song(songs / "a.wav", seconds=1.0)
    if case == "captionless":
        (songs / "a.txt").unlink()
    elif case == "too short":
        data["audio"] = {"min_duration_seconds": 5}
    elif case == "never drawn":
        data["probability"] = 0
    run_dir = workshop.run_dir(instance_data_dir=None, data_backend_config=[data], cache_dir=str(tmp_path / "cache"))
    code = 2 if case == "never drawn" else 4  # that one is seen in the configuration alone
    assert workshop.train(run_dir) == code
    end = ended(run_dir)
    assert (end["outcome"], end["exit_code"], end["steps"]) == ("failed", code, 0)
    assert end["error"] and end["hint"]
    assert not events(run_dir, "step", "checkpoint_saved")
    assert not run_dir.export.exists() and not run_dir.checkpoints()


def test_a_fresh_run_that_begins_at_its_end_is_no_success(workshop: Workshop, monkeypatch):
    begun = run_module.find_start

    def late(*args: object, **kwargs: object):
        return dataclasses.replace(begun(*args, **kwargs), step=4)

    monkeypatch.setattr(run_module, "find_start", late)
    run_dir = workshop.run_dir(max_train_steps=4)
    assert workshop.train(run_dir) == 2
    assert "begins at step 4 and ends at 4" in ended(run_dir)["error"]
    assert not events(run_dir, "step") and not run_dir.export.exists()


def test_a_target_that_was_reached_before_is_a_success_of_no_step(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=1)
    assert workshop.train(run_dir) == 0
    shutil.rmtree(run_dir.export)
    assert workshop.train(run_dir) == 0
    end = ended(run_dir)
    assert (end["outcome"], end["steps"]) == ("finished", 1)
    assert len(events(run_dir, "step")) == 1 and run_dir.export.exists()


def test_a_length_of_nothing_is_refused_before_anything_is_made(workshop: Workshop):
    with pytest.raises(ConfigError, match="nothing would be trained"):
        workshop.run_dir(max_train_steps=0)
