"""The whole command with the real worker: leaving, going on, and bad input with its exit code and nothing lost."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.run_dir import ADAPTER_FILE, RunDir
from tests.worker.conftest import write_song
from tests.worker.front_end import is_alive, wait_for
from tests.worker.real_front_end import END_S, Desk, end_of, events, steps

# Enough that a loaded machine still has some left when the interrupt arrives.
NUM_STEPS = 60


@pytest.fixture
def desk(tmp_path: Path, cache: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, cache, tmp_path / "state")
    yield desk
    desk.clear_up()


def write_preset(desk: Desk, name: str, checkpoint: Path, songs: Path, **changes: Any) -> tuple[str, str]:
    """A preset of a short training; returns what is typed to train with it."""
    preset = {
        "pretrained_model_name_or_path": str(checkpoint),
        "instance_data_dir": str(songs),
        "mixed_precision": "no",
        "lora_rank": 4,
        "lora_dropout": 0.1,
        "learning_rate": 2e-3,
        "train_batch_size": 2,
        "max_train_steps": NUM_STEPS,
        "checkpointing_steps": 0,
        "ace_step_ssl_loss_weight": 0.0,
        **changes,
    }
    (desk.cwd / f"{name}.json").write_text(json.dumps(preset), encoding="utf-8")
    return ("--run", f"{name}.json")


def test_interrupted_and_gone_on_equals_left_alone_by_a_killed_front_end(
    desk: Desk, checkpoint: Path, songs: Path
) -> None:
    left_alone, stopped = RunDir(desk.cwd / "output" / "left_alone"), RunDir(desk.cwd / "output" / "stopped")

    # A killed front end leaves the worker training, to its end.
    front_end = desk.start(*write_preset(desk, "left_alone", checkpoint, songs))
    wait_for(lambda: steps(left_alone), "the first step", seconds=END_S)
    worker = json.loads(left_alone.worker_json.read_text(encoding="utf-8"))["pid"]
    front_end.kill()
    front_end.communicate()
    assert is_alive(worker) and len(steps(left_alone)) < NUM_STEPS

    # Meanwhile the same training elsewhere: Ctrl-C saves, the same command goes on and comes out the same.
    command = write_preset(desk, "stopped", checkpoint, songs)
    front_end = desk.start(*command)
    wait_for(lambda: len(steps(stopped)) >= 3, "step 3", seconds=END_S)
    front_end.send_signal(signal.SIGINT)
    done = end_of(front_end)
    assert done.code == 130
    reached = steps(stopped)[-1]
    assert 3 <= reached < NUM_STEPS
    assert f"■ stopped at step {reached} of {NUM_STEPS}\n" in done.out
    assert f"  save point      output/stopped/checkpoint-{reached}/\n" in done.out
    assert "Ctrl-C once more ends at once" in done.err
    done = desk.call(*command)
    assert done.code == 0, done.err
    assert events(stopped, "run_started")[-1]["resumed_step"] == reached
    assert list(steps(stopped)) == list(range(1, NUM_STEPS + 1))

    wait_for(lambda: events(left_alone, "run_ended"), "the end of the worker that was left alone", seconds=END_S)
    assert events(left_alone, "run_ended")[-1]["outcome"] == "finished"
    first, second = (load_file(run.path / ADAPTER_FILE) for run in (left_alone, stopped))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(tensor.any() for name, tensor in first.items() if "lora_B" in name)


def test_what_the_front_end_sees_is_refused_before_anything_is_made(desk: Desk, checkpoint: Path, songs: Path) -> None:
    cases = {
        "missing": ({"instance_data_dir": "nowhere"}, 2, ("nowhere", "no such folder")),
        "unknown": ({"learning_rat": 1e-4}, 2, ("learning_rat", "unknown key", "closest known key is learning_rate")),
        "bad_value": ({"lora_rank": "many"}, 2, ("lora_rank", '"many"', "Accepted: a whole number")),
        # Root may write anywhere, except where the kernel itself makes the files.
        "read_only": ({"output_dir": "/proc/sys/kernel/acestep"}, 5, ("/proc/sys/kernel/acestep", "--output_dir")),
    }
    for name, (changes, code, words) in cases.items():
        done = desk.call(*write_preset(desk, name, checkpoint, songs, **changes))
        assert (done.code, done.out) == (code, ""), f"{name}: {done.err}"
        assert done.err.startswith("✗ ") and all(word in done.err for word in words), done.err
    assert not (desk.cwd / "output").exists()


def test_what_the_worker_sees_has_its_exit_code_and_a_way_on(desk: Desk, checkpoint: Path) -> None:
    for folder in ("empty", "useless", "good"):
        (desk.cwd / folder).mkdir()
    write_song(desk.cwd / "good" / "song.wav")
    shutil.copy(desk.cwd / "good" / "song.wav", desk.cwd / "useless" / "one.wav")
    (desk.cwd / "useless" / "noise.mp3").write_bytes(bytes(range(7, 207)) * 20)
    (desk.cwd / "useless" / "noise.txt").write_text("noise", encoding="utf-8")
    torn, missing = desk.cwd / "torn", desk.cwd / "not-here"
    shutil.copytree(checkpoint, torn)
    weights = torn / "ace_step_transformer" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    cases = {
        "no_songs": ("empty", checkpoint, 4, ("No audio file", "instance_data_dir")),
        "no_usable_song": ("useless", checkpoint, 4, ("one.wav: no caption", "noise.mp3: not audio", "Put a .txt")),
        "torn_model": ("good", torn, 6, ("ace_step_transformer", "diffusion_pytorch_model.safetensors")),
        "no_model": ("good", missing, 6, ("not-here", "ace_step_transformer/")),
    }
    before = {path: path.read_bytes() for path in desk.cwd.rglob("*") if path.is_file()}
    # Side by side: what costs is the import of torch.
    started = {
        name: desk.start(*write_preset(desk, name, model, desk.cwd / songs), "--quiet")
        for name, (songs, model, _, _) in cases.items()
    }
    for name, (_, _, code, words) in cases.items():
        done = end_of(started[name])
        assert (done.code, done.out) == (code, ""), f"{name}: {done.err}"
        # A warning may stand before it; the cause, the cure, the code and the next command stand together.
        failure = done.err[done.err.index("✗ ") :]
        assert all(word in failure for word in words), failure
        assert "  save point      none yet\n" in failure and f"  exit code       {code}\n" in failure
        assert f"  again           acestep-tui --run {name}.json" in failure
    assert {path: path.read_bytes() for path in before} == before
