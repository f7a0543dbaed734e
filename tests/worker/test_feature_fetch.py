"""The models for musical features are fetched with somebody's word only, and nothing of them but what is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract.feature_models import MERT
from engine.hardware.feature_models import feature_model_status
from engine.model.tiny_features import write_tiny_feature_model
from tests.worker.conftest import events
from tests.worker.fetch_desk import MAIN, Desk
from tests.worker.loopback_hub import LoopbackHub, serving


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = write_tiny_feature_model(tmp_path / "mert", MERT)
    for name in ("modeling_MERT.py", "README.md", "checkpoint_best.pt"):
        (folder / name).write_bytes(b"not wanted")
    with serving(folder, MERT.hub_id) as hub:
        yield Desk(hub, tmp_path)


def order(desk: Desk, **more: object) -> None:
    desk.task.path.mkdir(exist_ok=True)
    desk.task.config_json.write_text(json.dumps({"model": MERT.hub_id} | more))


def test_nothing_is_fetched_before_somebody_agreed(desk: Desk) -> None:
    hub: LoopbackHub = desk.hub
    order(desk)
    assert desk.fetch() == 6
    ended = events(desk.task, "run_ended")[-1]
    assert "CC-BY-NC 4.0, for non-commercial use only, and nobody agreed" in ended["error"]
    assert "--accept-non-commercial" in ended["hint"] and not hub.sent

    order(desk, accept_non_commercial=True)
    program = f"{MAIN}; assert not {{'torch', 'numpy', 'pydantic'}} & sys.modules.keys()"
    assert desk.fetch(program, is_real=True) == 0, desk.task.worker_log.read_text()
    assert {sent.path for sent in hub.sent} == {"config.json", "pytorch_model.bin"}
    status = feature_model_status(MERT, cache_dir=desk.cache)
    assert status.is_whole and status.kind == "hub"
    last = events(desk.task, "download_progress")[-1]
    assert last["parts"] == {"mert": [status.bytes, status.bytes]} and last["done_bytes"] == status.bytes
