"""Optimizers and the lyrics embedder through the real worker: stopped in between and resumed, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
from safetensors.torch import load_file

from tests.worker.conftest import Workshop, events
from tests.worker.test_equalities import adapter, assert_bit_equal

# Two optimizers that remember more than a tensor a weight, and one whose weights are not those that are saved.
ODD = {
    "optimizer": "adamw_schedulefree",
    "lyrics_embedder_train": True,
    "lyrics_embedder_optimizer": "prodigy",
    "lyrics_embedder_lr": 1.0,
}
# The same optimizer at two rates, on weights in bf16, in the seed's way of a curve for the embedder alone.
SMALL = {
    "optimizer": "adamw_bf16",
    "mixed_precision": "bf16",
    "gradient_precision": "fp32",
    "lyrics_embedder_train": True,
    "lyrics_embedder_lr": 5e-5,
}


@pytest.mark.parametrize("settings", [ODD, SMALL], ids=["odd", "small"])
def test_resumed_equals_uninterrupted(workshop: Workshop, settings: dict[str, Any]) -> None:
    settings = settings | {"lora_dropout": 0.1, "validation_split": 0.2, "train_batch_size": 1}
    whole = workshop.run_dir("whole", **settings, max_train_steps=3)
    assert workshop.train(whole) == 0
    # It is measured, saved and exported after two steps; the other goes through them as if there were nothing.
    assert workshop.train(workshop.run_dir("halves", **settings, max_train_steps=2)) == 0
    halves = workshop.run_dir("halves", **settings, max_train_steps=3)
    assert workshop.train(halves) == 0
    assert [event["loss"] for event in events(halves, "step")] == [event["loss"] for event in events(whole, "step")]
    assert_bit_equal(adapter(whole), adapter(halves))
    embedders = [load_file(run.path / "lyrics_embedder" / "model.safetensors") for run in (whole, halves)]
    assert_bit_equal(*embedders)
    exported = load_file(whole.export / "lyrics_embedder" / "model.safetensors")
    assert_bit_equal(exported, embedders[0])
    assert [event["lyrics_embedder_learning_rate"] for event in events(whole, "step")] == [
        settings["lyrics_embedder_lr"]
    ] * 3
    (proofs,) = events(whole, "proofs")
    assert proofs["loads"] and proofs["resumes"]
    assert "lyrics_embedder_exported" in [event["code"] for event in events(whole, "warning")]
