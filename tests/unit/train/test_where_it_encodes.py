"""Where songs and captions are prepared, and that the disk is watched meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.cache.build import CacheIndex
from engine.cache.policy import CachePolicy
from engine.contract.config import Config
from engine.contract.errors import DiskError
from engine.contract.events import CacheProgress
from engine.train import low_disk, prepare
from engine.train.prepare import Reporter, Songs, fill_caches

CARD = torch.device("meta")


@dataclass
class Family:
    """Remembers where its encoders were wanted."""

    devices: list[torch.device] = field(default_factory=list)

    def load_codec(self, *, device, **_: Any) -> None:
        self.devices.append(device)

    def load_text_encoder(self, *, device, **_: Any) -> None:
        self.devices.append(device)


@pytest.fixture
def fill(tmp_path, monkeypatch):
    """Prepare nothing, but ask for both encoders and tell the progress that a test wants."""

    def filled(*progress: CacheProgress, **settings) -> list[torch.device]:
        def build_cache(entries, captions, *, load_codec, load_text_encoder, on_progress, **_):
            for event in progress:
                on_progress(event)
            load_codec()
            load_text_encoder()
            return CacheIndex(entries=(), num_encoded=0, num_reused=0, audio_s=0.0)

        monkeypatch.setattr(prepare, "build_cache", build_cache)
        monkeypatch.setattr(prepare, "feature_pass", lambda *_, **__: None)
        family = Family()
        fill_caches(
            Songs(report=None, training={}, held_out=()),
            [],
            SimpleNamespace(
                audio=None,
                text=SimpleNamespace(
                    folder=tmp_path,
                    folders={tmp_path, tmp_path / "other disk"},
                    path=lambda caption: tmp_path / caption,
                ),
            ),
            config=Config.from_dict(settings),
            policy=CachePolicy(),
            family=family,
            device=CARD,
            reporter=Reporter(SimpleNamespace(emit=lambda event: None)),
            inbox=SimpleNamespace(stop_requested=lambda: False),
        )
        return family.devices

    return filled


def test_encoders_stay_off_the_card_where_that_is_wanted(fill):
    assert fill() == [CARD, CARD]
    assert fill(offload_during_startup=True) == [torch.device("cpu")] * 2


def test_the_disk_is_looked_at_while_there_is_something_to_write(fill, monkeypatch):
    monkeypatch.setattr(low_disk, "disk_free_bytes", lambda path: 0)
    fill(CacheProgress(done=9, total=9, file=""), disk_low_threshold="1G")
    with pytest.raises(DiskError, match="preparing songs"):
        fill(CacheProgress(done=8, total=9, file=""), disk_low_threshold="1G")


def test_so_is_the_disk_of_captions_that_are_kept_elsewhere(fill, monkeypatch):
    monkeypatch.setattr(low_disk, "disk_free_bytes", lambda path: 0 if path.name == "other disk" else 2**40)
    with pytest.raises(DiskError, match="other disk"):
        fill(CacheProgress(done=8, total=9, file=""), disk_low_threshold="1G")
