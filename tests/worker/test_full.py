"""A full fine-tune through the real worker: every tensor saved, the dead ones as they were, resumed bit for bit."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from engine.model.load import load_transformer, read_transformer_config, resolve_checkpoint
from engine.model.parameter_names import unused_shapes
from engine.train.checkpoint import STATE_FILE
from tests.worker.conftest import Workshop, events
from tests.worker.test_equalities import wait_for

FILE = "ace_step_transformer/diffusion_pytorch_model.safetensors"
SETTINGS = {"model_type": "full", "learning_rate": 1e-3, "train_batch_size": 2}


def tensors_of(folder):
    return load_file(folder / FILE)


@pytest.fixture
def trained(workshop: Workshop):
    run_dir = workshop.run_dir("whole", max_train_steps=4, **SETTINGS)
    assert workshop.train(run_dir) == 0
    return run_dir


def test_every_tensor_is_saved_and_the_dead_ones_are_the_source_s(workshop: Workshop, trained):
    source, saved = tensors_of(workshop.checkpoint), tensors_of(trained.checkpoint(4))
    assert {name: tensor.shape for name, tensor in saved.items()} == {
        name: tensor.shape for name, tensor in source.items()
    }
    dead = unused_shapes(read_transformer_config(workshop.checkpoint / "ace_step_transformer")).keys()
    assert dead and all(torch.equal(saved[name], source[name].float()) for name in dead)
    projectors = [name for name in source if name.startswith("projectors.")]
    assert projectors and all(torch.equal(saved[name], source[name].float()) for name in projectors)
    # Songs from files have no speaker: what multiplies one gets no gradient, and must not decay either.
    assert torch.equal(saved["speaker_embedder.weight"], source["speaker_embedder.weight"].float())
    assert not torch.equal(saved["speaker_embedder.bias"], source["speaker_embedder.bias"].float())
    moved = [name for name in source if name not in dead and not torch.equal(saved[name], source[name].float())]
    live = [name for name in source if name not in dead and name not in projectors]
    assert len(moved) > 0.9 * len(live), sorted(set(live) - set(moved))


def test_the_export_is_a_checkpoint_that_loads_and_predicts_as_trained(trained):
    exported = resolve_checkpoint(trained.export)
    model = load_transformer(exported, dtype=torch.float32, device="cpu")
    saved = tensors_of(trained.checkpoint(4))
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.flatten(), saved[name].flatten()), name
    (proofs,) = events(trained, "proofs")
    assert proofs["works"] and proofs["loads"] and proofs["resumes"]
    assert (trained.checkpoint(4) / STATE_FILE).is_file()


def test_killed_and_resumed_equals_uninterrupted(workshop: Workshop, trained):
    killed = workshop.run_dir("killed", max_train_steps=4, checkpointing_steps=2, **SETTINGS)
    worker = workshop.spawn(killed)
    wait_for(lambda: killed.events_jsonl.exists() and events(killed, "checkpoint_saved"))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    if events(killed, "run_ended"):
        pytest.fail("the worker had ended before it could be killed")
    for folder in killed.whole_checkpoints()[1:]:  # it may have come to the last save already
        (folder / ".guard").unlink()
    assert workshop.train(killed) == 0
    assert events(killed, "run_started")[-1]["resumed_step"] == 2
    first, second = tensors_of(trained.checkpoint(4)), tensors_of(killed.checkpoint(4))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_a_trained_model_is_trained_on_as_a_base(workshop: Workshop, trained):
    second = workshop.run_dir("second", pretrained_model_name_or_path=str(trained.export), max_train_steps=1)
    assert workshop.train(second) == 0


def test_a_full_checkpoint_is_refused_by_a_lora_run_and_the_other_way(workshop: Workshop, trained):
    lora = workshop.run_dir("lora", resume_from_checkpoint=str(trained.checkpoint(4)))
    assert workshop.train(lora) == 2
    assert "model_type" in events(lora, "run_ended")[-1]["error"]
