"""Which checkpoints stay, which are replaced, and what a start from a named one means, through the real worker."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.checkpoint_files import check_manifest
from engine.contract.run_dir import ADAPTER_FILE, GUARD_FILE
from tests.worker.conftest import Workshop, events


def adapter_of(folder):
    return load_file(folder / ADAPTER_FILE)


def differ(first, second) -> bool:
    return any(not torch.equal(first[name], second[name]) for name in first)


def test_going_back_replaces_the_checkpoints_of_the_other_course(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=4, checkpointing_steps=2)
    assert workshop.train(run_dir) == 0
    old = adapter_of(run_dir.checkpoint(4))

    run_dir = workshop.run_dir(
        max_train_steps=4, checkpointing_steps=2, learning_rate=5e-3, resume_from_checkpoint="checkpoint-2"
    )
    assert workshop.train(run_dir) == 0
    assert differ(old, adapter_of(run_dir.checkpoint(4)))
    assert not differ(adapter_of(run_dir.path), adapter_of(run_dir.checkpoint(4)))
    assert check_manifest(run_dir.checkpoint(4))
    assert not list(run_dir.path.glob("*-tmp"))
    (warning,) = [event for event in events(run_dir, "warning") if event["code"] == "goes_back"]
    assert "checkpoint-2" in warning["message"] and "checkpoint-4" in warning["message"]


def test_a_damaged_checkpoint_is_replaced_when_its_step_comes_again(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=4, checkpointing_steps=2)
    assert workshop.train(run_dir) == 0
    shutil.rmtree(run_dir.checkpoint(4))
    run_dir.checkpoint(4).mkdir()
    (run_dir.checkpoint(4) / GUARD_FILE).touch()
    assert workshop.train(run_dir) == 0
    assert check_manifest(run_dir.checkpoint(4))


def test_the_new_and_the_named_checkpoint_outlive_the_purge(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=4, checkpointing_steps=1)
    assert workshop.train(run_dir) == 0
    again = {"max_train_steps": 3, "checkpointing_steps": 1, "checkpoints_total_limit": 1}
    run_dir = workshop.run_dir(**again, resume_from_checkpoint="checkpoint-1")
    assert workshop.train(run_dir) == 0
    kept = [folder.name for folder in run_dir.whole_checkpoints()]
    assert kept == ["checkpoint-1", "checkpoint-3", "checkpoint-4"]


def test_the_best_checkpoint_outlives_the_purge(workshop: Workshop, monkeypatch):
    from engine.train.validate import HeldOutLoss

    losses = {0: 1.0, 1: 0.9, 2: 0.5, 3: 0.8, 4: 0.7, 5: 0.6}

    def measure(self, model, *, step, **_):
        self.measured_step = step
        return losses[step]

    monkeypatch.setattr(HeldOutLoss, "measure", measure)
    run_dir = workshop.run_dir(
        max_train_steps=5, checkpointing_steps=1, checkpoints_total_limit=2, validation_split=0.2
    )
    assert workshop.train(run_dir) == 0
    assert [folder.name for folder in run_dir.whole_checkpoints()] == ["checkpoint-2", "checkpoint-4", "checkpoint-5"]


def test_a_checkpoint_that_a_program_still_works_on_outlives_the_purge(workshop: Workshop, tmp_path):
    script = tmp_path / "tell.sh"
    # At work on the first checkpoint until the test ends (a minute at most); done with any other at once.
    body = f"case $1 in *-1) for i in $(seq 600); do [ -e {tmp_path}/end ] && exit; sleep 0.1; done;; esac"
    script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    script.chmod(0o755)
    run_dir = workshop.run_dir(
        checkpointing_steps=1, checkpoints_total_limit=1, post_checkpoint_script=str(script), max_train_steps=3
    )
    try:
        assert workshop.train(run_dir) == 0
        assert [folder.name for folder in run_dir.whole_checkpoints()] == ["checkpoint-1", "checkpoint-3"]
    finally:
        (tmp_path / "end").touch()


def test_rolling_checkpoints_replace_each_other_and_are_resumed_from(workshop: Workshop):
    settings = {"checkpointing_steps": 4, "checkpointing_rolling_steps": 1, "lora_dropout": 0.1}
    whole = workshop.run_dir("whole", max_train_steps=6, lora_dropout=0.1)
    assert workshop.train(whole) == 0
    run_dir = workshop.run_dir(max_train_steps=6, **settings)
    assert workshop.train(run_dir) == 0
    names = [event["path"] for event in events(run_dir, "checkpoint_saved")]
    assert names == [
        "checkpoint-1-rolling",
        "checkpoint-2-rolling",
        "checkpoint-3-rolling",
        "checkpoint-4",
        "checkpoint-5-rolling",
        "checkpoint-6",
    ]
    assert [folder.name for folder in run_dir.whole_checkpoints()] == [
        "checkpoint-4",
        "checkpoint-5-rolling",
        "checkpoint-6",
    ]
    shutil.rmtree(run_dir.checkpoint(6))
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 5
    assert not differ(adapter_of(whole.path), adapter_of(run_dir.path))


def test_a_finished_run_started_again_still_can_go_on(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=2)
    assert workshop.train(run_dir) == 0
    before = run_dir.checkpoint(2).stat().st_mtime_ns
    assert workshop.train(run_dir) == 0
    assert [event["resumes"] for event in events(run_dir, "proofs")] == [True, True]
    assert run_dir.checkpoint(2).stat().st_mtime_ns == before


def test_a_checkpoint_elsewhere_that_is_already_at_the_end_is_saved_here(workshop: Workshop):
    first = workshop.run_dir("first", max_train_steps=2, model_type="full", learning_rate=1e-4)
    assert workshop.train(first) == 0
    second = workshop.run_dir(
        "second",
        max_train_steps=2,
        model_type="full",
        learning_rate=1e-4,
        resume_from_checkpoint=str(first.checkpoint(2)),
    )
    assert workshop.train(second) == 0
    assert check_manifest(second.checkpoint(2))


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_changed_rate_counts_at_once_or_the_curve_goes_on_and_it_is_said(workshop: Workshop, schedule: str):
    settings = {"checkpointing_steps": 2, "lr_scheduler": schedule, "lr_end": 0.0, "max_train_steps": 4}
    run_dir = workshop.run_dir(**settings, learning_rate=2e-3)
    assert workshop.train(run_dir) == 0
    first = [event["lr"] for event in events(run_dir, "step")]
    for _ in range(2):  # going on twice: the kept rate is what the next checkpoint tells
        shutil.rmtree(run_dir.checkpoint(4))
        run_dir = workshop.run_dir(**settings, learning_rate=4e-3)
        assert workshop.train(run_dir) == 0
    again = [event["lr"] for event in events(run_dir, "step")][-2:]
    said = [event for event in events(run_dir, "warning") if event["code"] == "learning_rate_kept"]
    if schedule == "constant":
        assert again == [4e-3, 4e-3] and not said
    else:
        assert again == first[2:] and len(said) == 2 and "0.002" in said[0]["message"]
