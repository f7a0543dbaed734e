"""A working directory with a configuration in it, and its resolution."""

from __future__ import annotations

import json

import pytest

from engine.contract.config import resolve
from engine.contract.errors import ConfigError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("CONFIG_PATH", "ENV", "ACESTEP_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def resolved(tmp_path):
    """Resolve a configuration given as a dict (or raw text), with overrides; the file is run.json."""

    def resolve_values(values=None, *overrides):
        text = values if isinstance(values, str) else json.dumps(values or {})
        (tmp_path / "run.json").write_text(text, encoding="utf-8")
        return resolve("run.json", overrides, cwd=tmp_path)

    return resolve_values


@pytest.fixture
def refused(resolved):
    """The lines of the error that a configuration gives."""

    def lines(values=None, *overrides):
        with pytest.raises(ConfigError) as caught:
            resolved(values, *overrides)
        assert caught.value.exit_code == 2
        return caught.value.message.splitlines()

    return lines
