"""Which rung comes next: pure decisions."""

from __future__ import annotations

import dataclasses

from engine.contract.config import Config
from engine.train import rungs
from engine.train.relief import Relief


def test_compiled_blocks_are_recomputed_whole_at_once():
    config = Config.from_dict({"gradient_checkpointing": False, "gradient_checkpointing_interval": 4})
    now = rungs.Situation(config, Relief(), "cuda", num_blocks=24, is_compiled=True)
    rung = rungs.recompute(now)
    assert rung is not None and rung.name == "recompute_full"
    assert rung.changes == {"gradient_checkpointing": [False, True], "gradient_checkpointing_interval": [4, None]}
    after = dataclasses.replace(now, config=rung.relief.of(config), relief=rung.relief)
    assert rungs.recompute(after) is None
    slow = rungs.recompute(dataclasses.replace(now, is_compiled=False))
    assert slow is not None and slow.name == "recompute_selective"
