from __future__ import annotations

from pathlib import Path

import pytest

from acestep_tui.paths import shown


@pytest.mark.parametrize(
    ("cwd", "path", "text"),
    [
        ("home/project", "home/project/output/demo", "output/demo"),
        ("home/project", "home/acestep/runs/demo", "~/acestep/runs/demo"),
        ("home", "home/acestep/runs/demo", "~/acestep/runs/demo"),
        (".", "home/acestep/runs/demo", "~/acestep/runs/demo"),
        (".", "data/songs", "data/songs"),
        ("data", "data/songs", "songs"),
    ],
)
def test_a_path_is_written_for_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cwd: str, path: str, text: str
) -> None:
    for folder in ("home/project", "data"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / cwd)
    assert shown(tmp_path / path) == text


def test_what_is_nowhere_near_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    assert shown(Path("/opt/songs")) == "/opt/songs"
    assert shown(home) == str(home)
