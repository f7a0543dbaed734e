"""Weights of 8 and 4 bits on a CUDA device: the processor's values, bit for bit, in less memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.model.load import load_transformer, resolve_checkpoint
from engine.model.quantise import Quantisation, QuantisedLinear, dequantise, quantise
from tests.worker.conftest import Workshop, cache, checkpoint, events, songs, workshop  # noqa: F401 - fixtures

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bits", [8, 4])
def test_the_card_rounds_and_widens_as_the_processor_does(bits, dtype):
    weight = torch.randn(300, 1000, generator=torch.Generator().manual_seed(0))
    here, there = quantise(weight, bits), quantise(weight.to(CUDA), bits)
    assert all(torch.equal(one, other.cpu()) for one, other in zip(here, there, strict=True) if one is not None)
    assert torch.equal(dequantise(here, (300, 1000), dtype), dequantise(there, (300, 1000), dtype).cpu())


@pytest.mark.parametrize("bits", [8, 4])
def test_the_model_is_the_same_wherever_it_was_quantised(checkpoint, bits):  # noqa: F811
    models = [
        load_transformer(
            resolve_checkpoint(checkpoint), dtype=torch.bfloat16, device=CUDA, quantisation=Quantisation(bits, via)
        )
        for via in (None, torch.device("cpu"))
    ]
    states = [model.state_dict() for model in models]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


@pytest.mark.parametrize(("bits", "share"), [(8, 0.6), (4, 0.4)])
def test_a_deep_stack_takes_less_memory(bits, share):
    def peak(*, quantised: bool) -> int:
        before = torch.cuda.memory_allocated()
        layers = nn.Sequential()
        for _ in range(24):
            linear = nn.Linear(2048, 2048, device=CUDA, dtype=torch.bfloat16).requires_grad_(False)
            if quantised:
                layer = QuantisedLinear(linear, Quantisation(bits), name="it")
                layer.store(linear.weight, device=CUDA, dtype=torch.bfloat16)
                linear = layer
            layers.append(linear)
        torch.cuda.reset_peak_memory_stats()
        layers(torch.randn(8, 2048, device=CUDA, dtype=torch.bfloat16, requires_grad=True)).sum().backward()
        return torch.cuda.max_memory_allocated() - before

    one_wide_weight = 2 * 2048 * 2048
    assert peak(quantised=True) < share * peak(quantised=False) + 2 * one_wide_weight


@pytest.mark.parametrize("mixed_precision", ["bf16", "fp16", "no"])
@pytest.mark.parametrize("precision", ["int8-quanto", "int4-quanto"])
def test_it_trains_saves_and_resumes(workshop: Workshop, precision: str, mixed_precision: str):  # noqa: F811
    run_dir = workshop.run_dir(
        mixed_precision=mixed_precision, base_model_precision=precision, max_train_steps=4, checkpointing_steps=2
    )
    assert workshop.train(run_dir) == 0
    (run_dir.path / "checkpoint-4" / ".guard").unlink()
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 2
    losses = [event["loss"] for event in events(run_dir, "step")]
    assert losses[2:4] == pytest.approx(losses[4:], rel=1e-2)
    assert events(run_dir, "adapter_exported")[-1]["verified"]
