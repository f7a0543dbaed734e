"""What must be equal is equal, through the real worker: resumed = uninterrupted, recompute on = off, 1 × 4 = 4 × 1."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.run_dir import ADAPTER_FILE
from tests.worker.conftest import Workshop, events


def adapter(run_dir):
    return load_file(run_dir.path / ADAPTER_FILE)


def assert_bit_equal(first, second):
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different, f"{len(different)} of {len(first)} tensors differ, first {different[0]}"


def wait_for(condition, *, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_resumed_equals_uninterrupted_after_a_kill(workshop: Workshop):
    settings = {"max_train_steps": 20, "checkpointing_steps": 10, "lora_dropout": 0.1}
    whole = workshop.run_dir("whole", **settings)
    assert workshop.train(whole) == 0

    killed = workshop.run_dir("killed", **settings)
    worker = workshop.spawn(killed, is_real=True)
    wait_for(lambda: killed.events_jsonl.exists() and events(killed, "checkpoint_saved"))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert not events(killed, "run_ended"), "the worker had ended before it could be killed: use more steps"
    assert workshop.train(killed) == 0

    assert events(killed, "run_started")[-1]["resumed_step"] == 10
    assert_bit_equal(adapter(whole), adapter(killed))
    by_step = {event["step"]: event["loss"] for event in events(killed, "step")}
    assert by_step == {event["step"]: event["loss"] for event in events(whole, "step")}
    assert [event["seq"] for event in events(killed)] == list(range(len(events(killed))))


def test_the_adapter_really_moves(workshop: Workshop):
    run_dir = workshop.run_dir(max_train_steps=2)
    assert workshop.train(run_dir) == 0
    moved = [name for name, tensor in adapter(run_dir).items() if "lora_B" in name and tensor.abs().max() > 0]
    assert moved


@pytest.mark.parametrize("model_type", ["lora", "full"])
def test_recompute_changes_nothing(workshop: Workshop, model_type: str):
    runs = []
    ways = {
        "off": {"gradient_checkpointing": False},
        "selective": {"gradient_checkpointing_policy": "selective"},
        "full": {"gradient_checkpointing_policy": "full"},
    }
    for name, settings in ways.items():
        run_dir = workshop.run_dir(name, lora_dropout=0.1, max_train_steps=3, model_type=model_type, **settings)
        assert workshop.train(run_dir) == 0
        runs.append([(event["loss"], event["grad_norm"]) for event in events(run_dir, "step")])
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("precision", ["no_change", "int8-quanto"])
def test_blocks_in_main_memory_change_nothing(workshop: Workshop, precision: str):
    common = {"lora_dropout": 0.1, "max_train_steps": 4, "checkpointing_steps": 2, "base_model_precision": precision}
    common["validation_split"] = 0.3
    waiting = {"musubi_blocks_to_swap": 1, "activation_offload": True}
    plain, swapped = workshop.run_dir("plain", **common), workshop.run_dir("swapped", **common, **waiting)
    assert workshop.train(plain) == 0
    assert workshop.train(swapped) == 0
    resumed = workshop.run_dir("resumed", **common, **waiting, resume_from_checkpoint=str(plain.checkpoint(2)))
    assert workshop.train(resumed) == 0
    facts = []
    for run_dir in (plain, swapped, resumed):
        steps = [(event["step"], event["loss"], event["grad_norm"]) for event in events(run_dir, "step")]
        facts.append((steps[-2:], events(run_dir, "run_ended")[-1]["heldout_last"]))
        assert_bit_equal(adapter(run_dir), adapter(plain))
    assert facts[0] == facts[1] == facts[2] and facts[0][1] is not None
    assert any(event["code"] == "memory_means" for event in events(swapped, "warning"))


def test_accumulating_one_by_four_equals_a_batch_of_four(workshop: Workshop):
    # Plain gradient descent: Adam divides by the gradient's size and would blow rounding up.
    common = {"optimizer": "torch-sgd", "learning_rate": 1e-2, "max_train_steps": 3, "max_grad_norm": 0.0}
    common["exclude_files"] = ["song_4.wav", "song_5.wav"]  # one length only
    losses = {}
    for name, batch, accumulation in (("four", 4, 1), ("one", 1, 4)):
        run_dir = workshop.run_dir(
            name, train_batch_size=batch, gradient_accumulation_steps=accumulation, lora_dropout=0.1, **common
        )
        assert workshop.train(run_dir) == 0
        losses[name] = [value for event in events(run_dir, "step") for value in (event["loss"], event["grad_norm"])]
    assert losses["one"] == pytest.approx(losses["four"], rel=1e-6)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(workshop: Workshop):
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_dir = workshop.run_dir(name, seed=seed, lora_dropout=0.1, dataloader_num_workers=2 * (name == "b"))
        assert workshop.train(run_dir) == 0
        runs.append(adapter(run_dir))
    assert_bit_equal(runs[0], runs[1])
    assert any(not torch.equal(runs[0][name], runs[2][name]) for name in runs[0])
