"""Scheduled sampling and the average of the weights on a CUDA device: every precision, every place of the average."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from engine.contract.run_dir import ADAPTER_FILE
from engine.train.ema import EMA_FILE
from tests.worker.conftest import Workshop, cache, checkpoint, events, songs, workshop  # noqa: F401 - fixtures

pytestmark = pytest.mark.gpu

BOTH = {
    "max_train_steps": 3,
    "scheduled_sampling_max_step_offset": 4,
    "scheduled_sampling_probability": 1.0,
    "use_ema": True,
    "ema_decay": 0.5,
}


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_they_train_and_the_adapter_moves(workshop: Workshop, precision: str):  # noqa: F811
    run_dir = workshop.run_dir(mixed_precision=precision, **BOTH)
    assert workshop.train(run_dir) == 0
    steps = events(run_dir, "step")
    assert any(step["rollout_share"] > 0 and step["rollout_s"] > 0 for step in steps)
    for folder in (run_dir.path, run_dir.path / "ema"):
        tensors = load_file(folder / ADAPTER_FILE)
        assert any(tensor.abs().max() > 0 for name, tensor in tensors.items() if "lora_B" in name)


def test_the_average_is_the_same_wherever_it_lies(workshop: Workshop):  # noqa: F811
    places = ({}, {"ema_cpu_only": True}, {"ema_device": "accelerator"}, {"ema_foreach_disable": True})
    averages = []
    for number, place in enumerate(places):
        run_dir = workshop.run_dir(f"run_{number}", **BOTH, **place)
        assert workshop.train(run_dir) == 0
        averages.append(load_file(run_dir.path / "ema" / EMA_FILE))
    for other in averages[1:]:
        # The runs' own arithmetic on the card is not bit for bit the same twice.
        assert all((other[name] - averages[0][name]).abs().max() < 1e-3 for name in averages[0])
