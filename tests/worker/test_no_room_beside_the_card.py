"""The card's memory runs out while the model is loaded, and main memory has no room for blocks either."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from engine.contract.errors import OutOfMemoryError
from engine.train import run as run_module
from tests.worker.conftest import Workshop, events
from tests.worker.test_out_of_memory import OUT, as_on_a_card, rungs_of  # noqa: F401 - a fixture


@pytest.mark.usefixtures("as_on_a_card")
@pytest.mark.parametrize("allowed", [False, True])
def test_blocks_that_main_memory_has_no_room_for_are_left_on_the_card(
    workshop: Workshop,
    monkeypatch,
    allowed: bool,
):
    def no_room(config: Any, *args: Any, **kwargs: Any) -> Any:
        if config.musubi_blocks_to_swap:
            raise OutOfMemoryError("the block needs 4 GiB of main memory", hint="Set musubi_blocks_to_swap to 0")
        if config.base_model_precision == "no_change":
            raise torch.OutOfMemoryError(OUT)
        return real(config, *args, **kwargs)

    real = run_module.build_model
    monkeypatch.setattr(run_module, "build_model", no_room)
    run_dir = workshop.run_dir(max_train_steps=1, oom_allow_quantisation=allowed)
    assert workshop.train(run_dir) == (0 if allowed else 3)
    digits = [("load", "quantise_int8")] if allowed else []
    assert rungs_of(run_dir) == [("load", "freed"), ("load", "block_swap"), *digits]
    kept = json.loads((run_dir.path / "memory.json").read_text(encoding="utf-8"))["settings"]
    assert "musubi_blocks_to_swap" not in kept, "the next start must not ask for it again"
    if not allowed:
        end = events(run_dir, "run_ended")[-1]
        assert "the block needs 4 GiB of main memory" in end["error"] and "oom_allow_quantisation true" in end["hint"]
