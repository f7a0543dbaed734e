"""Optimizers and the lyrics embedder through the real worker: stopped in between and resumed, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from engine.contract.run_dir import RunDir
from engine.planning.schedule_curve import lr_at
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


# The quickstart's own lines: an optimizer and a curve for the embedder alone.
QUICKSTART = json.loads((Path(__file__).parents[1] / "seed" / "lyrics_embedder.json").read_text(encoding="utf-8"))


def embedder(run: RunDir) -> dict[str, Tensor]:
    return load_file(run.path / "lyrics_embedder" / "model.safetensors")


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
    embedders = [embedder(run) for run in (whole, halves)]
    assert_bit_equal(*embedders)
    exported = load_file(whole.export / "lyrics_embedder" / "model.safetensors")
    assert_bit_equal(exported, embedders[0])
    assert [event["lyrics_embedder_learning_rate"] for event in events(whole, "step")] == [
        settings["lyrics_embedder_lr"]
    ] * 3
    (proofs,) = events(whole, "proofs")
    assert proofs["loads"] and proofs["resumes"]
    assert "lyrics_embedder_exported" in [event["code"] for event in events(whole, "warning")]


def test_the_quickstarts_curve_goes_on_bit_for_bit(workshop: Workshop) -> None:
    settings = QUICKSTART | {"lr_num_cycles": 2, "lora_dropout": 0.1, "max_train_steps": 5, "checkpointing_steps": 3}
    run = workshop.run_dir(**settings)
    assert workshop.train(run) == 0
    whole, heard = (adapter(run), embedder(run)), events(run, "step")
    rates = [event["lyrics_embedder_learning_rate"] for event in heard]
    own = {"learning_rate": 5e-5, "lr_warmup_steps": 0, "lr_scheduler": "cosine_with_restarts"}
    values = json.loads(run.config_json.read_text(encoding="utf-8")) | own
    assert rates == pytest.approx([lr_at(step, values, 5) for step in range(5)])
    assert rates[3] > rates[2], "it begins anew in the middle"
    # As if it had stopped after the third step.
    shutil.rmtree(run.checkpoint(5))
    assert workshop.train(run) == 0
    again = events(run, "step")[5:]
    for key in ("step", "loss", "lr", "lyrics_embedder_learning_rate"):
        assert [event[key] for event in again] == [event[key] for event in heard[3:]], key
    assert_bit_equal(whole[0], adapter(run))
    assert_bit_equal(whole[1], embedder(run))
