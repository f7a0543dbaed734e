from __future__ import annotations

from typing import Any

import pytest

from engine.contract.config import Config
from engine.memory.live import set_memory_means
from engine.memory.runner import runner_of
from engine.model.transformer import AceStepTransformer
from tests.unit.memory.means import CPU, NUM_BLOCKS, assert_same_step, lora_model


def set_means(model: AceStepTransformer, **values: Any) -> list[str]:
    """Codes of what was warned of."""
    said: list[str] = []
    set_memory_means(model, Config.from_dict(values), CPU, warn=lambda code, _message: said.append(code))
    return said


def test_every_means_follows_another_with_the_same_result() -> None:
    model, plain = lora_model(), lora_model()
    for values in (
        {"gradient_checkpointing": False},
        {"gradient_checkpointing_policy": "selective"},
        {"musubi_blocks_to_swap": 3},
        {"musubi_blocks_to_swap": 5, "activation_offload": True, "gradient_checkpointing_interval": 2},
        {"gradient_checkpointing_policy": "selective", "activation_offload": True},
        {"gradient_checkpointing": False, "activation_offload": True},
    ):
        set_means(model, **values)
        runner = runner_of(model)
        is_full = values.get("gradient_checkpointing", True) and "gradient_checkpointing_policy" not in values
        assert (runner.policy == "full") == is_full
        assert (runner.swap is not None) == ("musubi_blocks_to_swap" in values)
        assert (runner.offload is not None) == bool(is_full and values.get("activation_offload"))
        assert_same_step(model, plain)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({}, []),
        ({"musubi_blocks_to_swap": 2}, ["memory_means"]),
        ({"activation_offload": True}, ["memory_means"]),
        ({"musubi_blocks_to_swap": NUM_BLOCKS}, ["blocks_to_swap", "memory_means"]),
    ],
)
def test_what_is_not_as_expected_is_said(values: dict[str, Any], codes: list[str]) -> None:
    assert set_means(lora_model(), **values) == codes
