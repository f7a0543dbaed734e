"""One tiny checkpoint for all tests of the model package: written once, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.load import Checkpoint, resolve_checkpoint
from engine.model.tiny import write_tiny_checkpoint


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny checkpoint; copy it before changing anything in it."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> Checkpoint:
    """The resolved tiny checkpoint."""
    return resolve_checkpoint(tiny_folder)
