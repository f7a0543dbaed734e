"""Compiled training: the same losses as eager, kept between starts, and left out with a reason where it cannot be."""

from __future__ import annotations

import pytest

from tests.worker.conftest import Workshop, events

SETTINGS = {"max_train_steps": 4, "lora_dropout": 0.1, "train_batch_size": 2, "caption_dropout_probability": 0.1}
# One length, so that one compilation serves all tests here.
SETTINGS["exclude_files"] = ["song_4.wav", "song_5.wav"]


def losses(run_dir) -> list[float]:
    return [value for event in events(run_dir, "step") for value in (event["loss"], event["grad_norm"])]


def test_compiled_is_eager_but_for_rounding(workshop: Workshop):
    eager = workshop.run_dir("eager", **SETTINGS)
    assert workshop.train(eager) == 0
    (why,) = events(eager, "steps_compiled")
    assert not why["is_compiled"]
    assert why["reasons"] == ["compile is off"] and why["took_s"] is None
    for is_recomputed in (False, True):
        settings = {**SETTINGS, "compile": "on", "gradient_checkpointing": is_recomputed}
        compiled = workshop.run_dir(f"compiled_{is_recomputed}", **settings)
        assert workshop.train(compiled) == 0
        first, last = events(compiled, "steps_compiled")
        assert first["expected_s"] > 0 and first["is_compiled"] is None
        assert (last["num_shapes"], last["num_lengths"]) == (1, 1)
        assert last["is_compiled"] and not last["has_graphs"] and last["took_s"] > 0
        assert last["reasons"] == ["CUDA graphs need an NVIDIA card"]
        assert losses(compiled) == pytest.approx(losses(eager), rel=1e-4)
        assert losses(compiled) != losses(eager), "it went another way"
