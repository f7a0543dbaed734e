"""Killed in the worst places, a run goes on; what is bad is said, with the right exit code and nothing lost."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.contract import files
from engine.contract.run_dir import GUARD_FILE
from tests.worker import forked
from tests.worker.conftest import Workshop, events
from tests.worker.test_equalities import wait_for

REPOSITORY = Path(__file__).parents[2]


def ended(run_dir):
    return events(run_dir, "run_ended")[-1]


def worker_with(patch: str, run_dir, **limits) -> int:
    """Run the worker in a process of its own after executing ``patch``."""
    start = f"from engine.__main__ import main\nsys.exit(main(['train', {str(run_dir.path)!r}]))"
    code = f"import os, signal, sys\n{patch}\n{start}"
    return forked.popen([sys.executable, "-c", code], cwd=REPOSITORY, **limits).wait()


def test_killed_while_caching_it_resumes(workshop: Workshop, tmp_path):
    run_dir = workshop.run_dir(cache_dir=str(tmp_path / "own-cache"), max_train_steps=1)
    worker = workshop.spawn(run_dir)
    wait_for(lambda: run_dir.events_jsonl.exists() and events(run_dir, "cache_progress"))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert workshop.train(run_dir) == 0
    assert not list((tmp_path / "own-cache").rglob("*.tmp"))


def test_killed_while_saving_it_resumes_from_the_save_before(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=4, checkpointing_steps=2)
    patch = """
import engine.train.checkpoint as checkpoint
real, calls = checkpoint._verify, []
def verify(*arguments):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments)
checkpoint._verify = verify
"""
    assert worker_with(patch, run_dir) == -signal.SIGKILL
    assert [folder.name for folder in run_dir.whole_checkpoints()] == ["checkpoint-2"]
    assert run_dir.path.joinpath("checkpoint-4-tmp").exists()
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 2
    assert [folder.name for folder in run_dir.whole_checkpoints()] == ["checkpoint-2", "checkpoint-4"]
    assert not run_dir.path.joinpath("checkpoint-4-tmp").exists()


def test_a_damaged_latest_checkpoint_is_named_and_the_one_before_is_used(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=4, checkpointing_steps=2)
    assert workshop.train(run_dir) == 0
    shutil.rmtree(run_dir.checkpoint(4))
    run_dir.checkpoint(4).mkdir()
    (run_dir.checkpoint(4) / GUARD_FILE).touch()
    assert workshop.train(run_dir) == 0
    (warning,) = [event for event in events(run_dir, "warning") if event["code"] == "damaged_checkpoint"]
    assert "checkpoint-4" in warning["message"] and "checkpoint-2" in warning["message"]
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 2


def test_only_damaged_checkpoints_stop_with_6_and_nothing_is_overwritten(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=2, checkpointing_steps=2)
    assert workshop.train(run_dir) == 0
    file = run_dir.checkpoint(2) / "training_state.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert workshop.train(run_dir) == 6
    assert "--fresh" in ended(run_dir)["hint"]
    assert file.read_bytes() == bytes(content)


def test_a_named_checkpoint_that_is_not_there(workshop: Workshop):
    run_dir = workshop.run_dir(resume_from_checkpoint="checkpoint-77")
    assert workshop.train(run_dir) == 6
    assert "checkpoint-77" in ended(run_dir)["error"]


def test_a_finished_run_takes_no_further_step(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=2)
    assert workshop.train(run_dir) == 0
    assert workshop.train(run_dir) == 0
    assert [event["step"] for event in events(run_dir, "step")] == [1, 2]


def test_a_sick_model_stops_with_7_and_names_the_songs(workshop: Workshop, tmp_path):
    sick = tmp_path / "sick"
    shutil.copytree(workshop.checkpoint, sick)
    file = sick / "ace_step_transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["final_layer.linear.bias"] = torch.full_like(tensors["final_layer.linear.bias"], float("nan"))
    save_file(tensors, file, metadata={"format": "pt"})
    run_dir = workshop.run_dir(pretrained_model_name_or_path=str(sick))
    assert workshop.train(run_dir) == 7
    assert "song_" in ended(run_dir)["error"] and ended(run_dir)["hint"]
    assert not run_dir.checkpoints()


@pytest.mark.parametrize("part", ["ace_step_transformer", "music_dcae_f8c8", "music_vocoder", "umt5-base"])
def test_a_missing_part_of_the_model_is_named(workshop: Workshop, tmp_path, part: str):
    partial = tmp_path / "partial"
    shutil.copytree(workshop.checkpoint, partial)
    shutil.rmtree(partial / part)
    run_dir = workshop.run_dir(pretrained_model_name_or_path=str(partial))
    assert workshop.train(run_dir) == 6
    assert part in ended(run_dir)["error"]


def test_a_full_disk_while_caching_is_said_and_what_is_cached_stays(workshop: Workshop, tmp_path, monkeypatch):
    cache = tmp_path / "own-cache"
    run_dir = workshop.run_dir(cache_dir=str(cache), max_train_steps=1)
    real, written = files.write_atomic, []

    def fill_up(path, content, **words):
        if path.is_relative_to(cache):
            written.append(path)
            if len(written) > 3:
                raise files.as_disk_error(OSError(errno.ENOSPC, "No space left on device"), path=path, **words)
        real(path, content, **words)

    ours = [module for name, module in sys.modules.items() if name.startswith("engine.")]
    for module in ours:
        if getattr(module, "write_atomic", None) is real:
            monkeypatch.setattr(module, "write_atomic", fill_up)
    assert workshop.train(run_dir) == 5
    assert "No space left" in ended(run_dir)["error"]
    whole = [path for path in cache.rglob("*.safetensors") if load_file(path)]
    assert len(whole) == 3
    monkeypatch.undo()
    assert workshop.train(run_dir) == 0


def test_a_file_size_limit_while_saving_is_a_disk_error(workshop: Workshop, tmp_path):
    run_dir = workshop.run_dir(max_train_steps=2, checkpointing_steps=1)
    limit = 150_000  # above a cache entry, an event log and a clip's sidecar; below a checkpoint's tensors
    code = worker_with(
        "", run_dir, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    )
    assert code == 5
    assert ended(run_dir)["exit_code"] == 5 and ended(run_dir)["hint"]
    assert not run_dir.checkpoints() and not list(run_dir.path.glob("*-tmp"))
    assert workshop.train(run_dir) == 0


def test_a_file_where_the_cache_should_be_is_a_disk_error(workshop: Workshop, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    for name, cache in (("at", in_the_way), ("below", in_the_way / "folder")):
        run_dir = workshop.run_dir(name, cache_dir=str(cache))
        assert workshop.train(run_dir) == 5
        assert str(in_the_way) in ended(run_dir)["error"] and ended(run_dir)["hint"]


def test_a_failing_clip_never_stops_training(workshop: Workshop, monkeypatch):
    from engine.model import family

    def fail(*arguments, **keywords):
        raise RuntimeError("the sampler fell over")

    monkeypatch.setattr(family, "generate_clip", fail)
    run_dir = workshop.run_dir(validation_prompt="a bell", validation_step_interval=2, max_train_steps=2)
    assert workshop.train(run_dir) == 0
    (warning,) = [event for event in events(run_dir, "warning") if event["code"] == "clip_failed"]
    assert "the sampler fell over" in warning["message"]
