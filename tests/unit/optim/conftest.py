import sys
from pathlib import Path

import pytest


@pytest.fixture
def eight_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """bitsandbytes and torchao, which `make env` puts beside the environment: inside it, peft would import them in
    every process of the suite, a second or two each."""
    folder = Path(sys.prefix) / "eight-bit"
    assert folder.is_dir(), f"{folder} is missing: run make env"
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
