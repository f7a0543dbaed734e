"""Every test of the screens runs far from this user's files, in one time zone, without the terminal's own wishes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet

from acestep_tui.widgets import paint

# Parsed style rules by the variables (colours) they were parsed with, for all apps of a session.
_RULES: dict[frozenset[tuple[str, str]], dict[Any, Any]] = {}


class _SharedRules(dict[Any, Any]):
    """Rules that a style sheet may look up and add to; it cannot empty what others use."""

    def clear(self) -> None:
        """Nothing: with other variables a style sheet is given other rules."""


@pytest.fixture(scope="session", autouse=True)
def _rules_are_parsed_once() -> Iterator[None]:
    """Each app parses the styles of every widget, always to the same rules: an eighth of a screen test's time."""
    begin, change = Stylesheet.__init__, Stylesheet.set_variables

    def share(sheet: Stylesheet) -> None:
        sheet._parse_cache = _RULES.setdefault(frozenset(sheet._variables.items()), _SharedRules())  # type: ignore[assignment]

    def __init__(self: Stylesheet, *, variables: dict[str, str] | None = None) -> None:
        begin(self, variables=variables)
        share(self)

    def set_variables(self: Stylesheet, variables: dict[str, str]) -> None:
        change(self, variables)
        share(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "__init__", __init__)
        patch.setattr(Stylesheet, "set_variables", set_variables)
        yield


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
