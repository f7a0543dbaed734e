"""Every test of the screens runs far from this user's files, in one time zone, without the terminal's own wishes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from acestep_tui.widgets import paint


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, folder in (("STATE", "state"), ("CONFIG", "config"), ("CACHE", "cache"), ("DATA", "data")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / folder))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir(exist_ok=True)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "COLORTERM", "ACESTEP_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    paint.use_ascii(False)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Builds the app opened on the monitor of a made-up run: ``opened(course, now, **settings)``."""
    from tests.tui import facts
    from tests.tui.harness import NOW
    from tests.tui.monitor_app import monitor_app

    def build(course: facts.Course | None = None, now: float = NOW, **settings: object):  # type: ignore[no-untyped-def]
        return monitor_app(monkeypatch, tmp_path, (course or facts.training_course()).state, now, **settings)

    return build
