"""On a CUDA device: songs prepared in the loader's threads are those of a preparation, and a model is proved right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.hardware.models import model_status
from engine.verify.model import verify_files
from engine.verify.training import Effort
from tests.worker.conftest import Workshop, cache, checkpoint, events, songs, workshop  # noqa: F401 - fixtures

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_preparing_while_training_changes_no_loss(workshop: Workshop, tmp_path: Path, precision: str):  # noqa: F811
    losses = {}
    for name, value in (("before", False), ("while", True)):
        run_dir = workshop.run_dir(
            name,
            cache_dir=str(tmp_path / "caches" / name),
            vae_cache_disable=value,
            text_cache_disable=value,
            mixed_precision=precision,
            dataloader_num_workers=2,
        )
        assert workshop.train(run_dir) == 0
        losses[name] = [event["loss"] for event in events(run_dir, "step")]
    # The first loss has no step before it whose sums a card may take in another order.
    assert losses["before"][0] == losses["while"][0]
    assert losses["before"] == pytest.approx(losses["while"], rel=1e-3)
    assert list((tmp_path / "caches" / "while").rglob("*.safetensors")) == []


def test_a_model_is_proved_right_on_the_card(checkpoint: Path):  # noqa: F811
    outcomes = verify_files(
        model_status(checkpoint),
        device=torch.device("cuda"),
        tell=lambda check, outcome: None,
        effort=Effort(clip_s=2.0, num_steps=4),
    )
    assert [check for check, outcome in outcomes.items() if outcome.state in ("failed", "skipped")] == []
