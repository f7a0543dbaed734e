"""The Python that is needed: declared for installers, checked at the start for everyone else (section 10, row 6)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from acestep_tui.__main__ import OLDEST_PYTHON, main, python_problem

ROOT = Path(__file__).parents[2]


def test_the_declared_version_is_the_checked_one() -> None:
    declared = 'requires-python = ">={}.{}"'.format(*OLDEST_PYTHON)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert declared in text and OLDEST_PYTHON == (3, 10)
    assert 'target-version = "py{}{}"'.format(*OLDEST_PYTHON) in text


@pytest.mark.parametrize(("version", "is_fine"), [((3, 9, 18), False), ((3, 10, 0), True), ((3, 14, 0), True)])
def test_older_ones_are_refused_in_one_sentence(version: tuple[int, ...], is_fine: bool) -> None:
    problem = python_problem(version)
    assert (problem == "") is is_fine
    assert is_fine or problem == "acestep-tui needs Python 3.10 or newer; this is Python 3.9.18."


def test_the_check_is_made_at_the_start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    assert main() == 2
    assert "needs Python 3.10" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["acestep-tui", "--version"])
    assert main() == 0
