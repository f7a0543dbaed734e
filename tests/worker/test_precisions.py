"""Half precision through the real worker: the loss scaler is part of the state, and it cannot skip for ever."""

from __future__ import annotations

import json

import pytest
import torch

from engine.train import step as step_module
from engine.train.checkpoint import STATE_FILE
from tests.worker.conftest import Workshop, events
from tests.worker.test_equalities import adapter, assert_bit_equal


def scaler_of(folder):
    return json.loads((folder / STATE_FILE).read_text())["scaler"]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_resumed_equals_uninterrupted(workshop: Workshop, precision: str):
    settings = {"mixed_precision": precision, "lora_dropout": 0.1, "max_train_steps": 4}
    whole = workshop.run_dir("whole", **settings)
    assert workshop.train(whole) == 0
    halves = workshop.run_dir("halves", **settings, checkpointing_steps=2)
    assert workshop.train(halves) == 0
    (halves.checkpoint(4) / ".guard").unlink()
    assert workshop.train(halves) == 0
    assert events(halves, "run_started")[-1]["resumed_step"] == 2
    assert_bit_equal(adapter(whole), adapter(halves))
    scaler = scaler_of(halves.checkpoint(4))
    assert scaler == scaler_of(whole.checkpoint(4))
    # The count of good steps since the last change of the scale goes on from the checkpoint's.
    assert scaler.get("_growth_tracker") == (4 if precision == "fp16" else None)


def test_an_overflow_is_skipped_and_an_endless_one_stops_with_7(workshop: Workshop, monkeypatch):
    real = step_module.clip_gradients

    def overflow(parameters, **words):
        return torch.full_like(real(parameters, **words), float("inf"))

    def overflowing_unscale(self, optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.fill_(float("inf"))
        return unscale(self, optimizer)

    unscale = torch.amp.GradScaler.unscale_
    monkeypatch.setattr(step_module, "clip_gradients", overflow)
    monkeypatch.setattr(torch.amp.GradScaler, "unscale_", overflowing_unscale)
    run_dir = workshop.run_dir(mixed_precision="fp16", max_train_steps=100)
    assert workshop.train(run_dir) == 7
    steps = events(run_dir, "step")
    # From 65,536 down to 1 in halves: so many may be skipped.
    assert len(steps) == 16 and all(event["nonfinite"] == ["grad_norm"] for event in steps)
    assert "song_" in events(run_dir, "run_ended")[-1]["error"]
