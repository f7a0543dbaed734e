"""Memory that runs out: both settings are named with their values, exit code 3, the last save point stays (row 33)."""

from __future__ import annotations

import pytest
import torch

from engine.train import trainer as trainer_module
from tests.worker.conftest import Workshop, events


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), MemoryError("no memory left")]
)
def test_what_helps_is_named_with_its_values_and_the_last_save_point_stays(workshop: Workshop, monkeypatch, error):
    real, steps = trainer_module.train_step, []

    def train_step(*args: object, **kwargs: object):
        steps.append(1)
        if len(steps) == 3:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(trainer_module, "train_step", train_step)
    settings = {"train_batch_size": 2, "gradient_checkpointing": False, "max_train_steps": 4, "checkpointing_steps": 2}
    run_dir = workshop.run_dir(**settings)
    assert workshop.train(run_dir) == 3
    end = events(run_dir, "run_ended")[-1]
    assert (end["outcome"], end["exit_code"]) == ("failed", 3)
    assert "memory ran out" in end["error"] and str(error).split(".")[0] in end["error"]
    for part in ("train_batch_size (now 2)", "gradient_checkpointing true (now false)", "Step 2 is saved"):
        assert part in end["hint"], part
    assert [folder.name for folder in run_dir.whole_checkpoints()] == ["checkpoint-2"]
    # With less of it, the same run goes on from there.
    monkeypatch.setattr(trainer_module, "train_step", real)
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 2
