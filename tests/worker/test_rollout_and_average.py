"""Scheduled sampling and the average of the weights through the real worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.run_dir import ADAPTER_FILE, RunDir
from engine.train.ema import EMA_FILE
from tests.worker.conftest import Workshop, events

DECAY = 0.5
BOTH = {
    "lora_dropout": 0.1,
    "checkpointing_steps": 1,
    "checkpoints_total_limit": 0,
    "validation_split": 0.2,
    "scheduled_sampling_max_step_offset": 4,
    "scheduled_sampling_ramp_steps": 3,
    "scheduled_sampling_prob_start": 1.0,
    "scheduled_sampling_prob_end": 0.3,
    "use_ema": True,
    "ema_decay": DECAY,
}
CLIPS = {
    "validation_prompt": "warm synth chord",
    "validation_audio_duration": 1.0,
    "validation_num_inference_steps": 2,
    "validation_step_interval": 3,
    "disable_benchmark": True,
}


def equal(first: Path, second: Path) -> bool:
    one, other = load_file(first), load_file(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def whole(workshop: Workshop) -> RunDir:
    """Three steps with both, uninterrupted."""
    run_dir = workshop.run_dir("whole", max_train_steps=3, **BOTH, **CLIPS)
    assert workshop.train(run_dir) == 0
    return run_dir


def test_both_act_are_told_saved_exported_and_go_on_bit_for_bit(workshop: Workshop, whole: RunDir) -> None:
    _told(whole)
    _average_is_the_recursion(whole)
    _is_exported(whole)

    resumed = workshop.run_dir("resumed", max_train_steps=1, **BOTH)
    assert workshop.train(resumed) == 0
    workshop.run_dir("resumed", max_train_steps=3, **BOTH)
    assert workshop.train(resumed) == 0
    assert events(resumed, "run_started")[-1]["resumed_step"] == 1
    for name in (ADAPTER_FILE, f"ema/{ADAPTER_FILE}", f"ema/{EMA_FILE}"):
        assert equal(whole.path / name, resumed.path / name), name
    assert _walked(resumed) == _walked(whole)

    plain = workshop.run_dir(
        "plain", max_train_steps=1, **(BOTH | {"scheduled_sampling_max_step_offset": 0, "use_ema": False})
    )
    assert workshop.train(plain) == 0
    assert not equal(whole.checkpoint(1) / ADAPTER_FILE, plain.checkpoint(1) / ADAPTER_FILE)
    assert not (plain.path / "ema").exists() and not (plain.checkpoint(1) / "ema").exists()
    assert all(step["rollout_share"] is None for step in events(plain, "step"))


def _walked(run_dir: RunDir) -> dict[int, tuple[float, float]]:
    return {step["step"]: (step["rollout_share"], step["rollout_steps"]) for step in events(run_dir, "step")}


def _told(run_dir: RunDir) -> None:
    steps = events(run_dir, "step")
    assert any(step["rollout_share"] > 0 and step["rollout_steps"] >= 1 for step in steps)
    assert all(0 <= step["rollout_s"] <= step["step_s"] for step in steps)
    measured = events(run_dir, "validation_loss")
    assert measured[0]["ema_loss"] is None  # before the first step the average is the weights
    averaged = [point for point in measured if point["step"] and point["base_loss"] is None]
    assert len(averaged) == 3 and all(point["ema_loss"] != point["loss"] for point in averaged)
    names = {clip["name"]: clip["path"] for clip in events(run_dir, "sample_saved")}
    assert names.keys() == {"validation", "validation_ema"}
    clips = [(run_dir.path / path).read_bytes() for path in names.values()]
    assert clips[0] != clips[1]
    assert json.loads((run_dir.path / names["validation_ema"]).with_suffix(".json").read_text())["step"] == 3


def _average_is_the_recursion(run_dir: RunDir) -> None:
    """From the weights in the checkpoints of every step; each B begins at zero."""
    names = [name for name in load_file(run_dir.path / ADAPTER_FILE) if "lora_B" in name]
    expected = dict.fromkeys(names, torch.zeros(()))
    for step in (1, 2, 3):
        weights = load_file(run_dir.checkpoint(step) / ADAPTER_FILE)
        saved = load_file(run_dir.checkpoint(step) / "ema" / ADAPTER_FILE)
        expected = {name: DECAY * expected[name] + (1 - DECAY) * weights[name] for name in names}
        for name in names:
            torch.testing.assert_close(saved[name], expected[name], rtol=1e-6, atol=1e-9)
    assert any(expected[name].abs().max() > 0 for name in names)
    assert equal(run_dir.path / "ema" / ADAPTER_FILE, run_dir.checkpoint(3) / "ema" / ADAPTER_FILE)


def _is_exported(run_dir: RunDir) -> None:
    averaged, ordinary = [run_dir.path / event["path"] for event in events(run_dir, "adapter_exported")]
    assert averaged.parent.name == f"{run_dir.name}-ema" and ordinary.parent == run_dir.export
    assert all(event["verified"] for event in events(run_dir, "adapter_exported"))
    assert not equal(averaged, ordinary)


def test_a_full_fine_tune_keeps_the_average_as_a_raw_file(workshop: Workshop) -> None:
    run_dir = workshop.run_dir(
        model_type="full", max_train_steps=1, use_ema=True, ema_decay=0.0, ema_foreach_disable=True
    )
    assert workshop.train(run_dir) == 0
    assert [path.name for path in (run_dir.path / "ema").iterdir()] == [EMA_FILE]
    assert equal(run_dir.path / "ema" / EMA_FILE, run_dir.checkpoint(1) / "ema" / EMA_FILE)
    # With a decay of 0 the average is the weights.
    average = load_file(run_dir.path / "ema" / EMA_FILE)
    live = load_file(next((run_dir.export / "ace_step_transformer").glob("*.safetensors")))
    shared = average.keys() & live.keys()
    assert len(shared) > 50
    assert all(torch.equal(average[name].flatten(), live[name].flatten()) for name in shared)


def test_the_jump_of_the_loss_is_explained_once_at_its_step(workshop: Workshop) -> None:
    later = {
        "scheduled_sampling_max_step_offset": 20,
        "scheduled_sampling_start_step": 0,
        "scheduled_sampling_ramp_steps": 1,
        "scheduled_sampling_prob_start": 0.0,
        "scheduled_sampling_prob_end": 1.0,
        "train_batch_size": 2,
    }
    run_dir = workshop.run_dir("later", max_train_steps=3, **later)
    assert workshop.train(run_dir) == 0
    kinds = [event for event in events(run_dir) if event["kind"] in ("step", "warning")]
    (place,) = [index for index, event in enumerate(kinds) if event.get("code") == "rollout_begins"]
    steps = [event for event in kinds[:place] if event["kind"] == "step"]
    assert [event["rollout_share"] > 0 for event in steps] == [False] * (len(steps) - 1) + [True]
    assert f"begins at step {steps[-1]['step']}:" in kinds[place]["message"]
