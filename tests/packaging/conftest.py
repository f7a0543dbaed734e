"""A place to try what a page of the docs tells its reader to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.contract.model_files import RELEASED_MODEL
from engine.hardware.models import storage_folder
from engine.model.tiny import write_tiny_checkpoint
from tests.worker.front_end import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def home_with_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a home whose hub cache holds a tiny model under the released one's name; no network."""
    monkeypatch.chdir(tmp_path)
    for name, folder in {"HOME": "home", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache", "HF_HOME": "hf"}.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("ACESTEP_CACHE", "CONFIG_PATH", "ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    storage = storage_folder(RELEASED_MODEL)
    write_tiny_checkpoint(storage / "snapshots" / COMMIT)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(COMMIT, encoding="ascii")
    return tmp_path
