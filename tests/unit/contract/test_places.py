"""The cache's folder, the presets' folder, and the generated reference page."""

from __future__ import annotations

from pathlib import Path

from engine.contract.config import Config
from engine.contract.paths import cache_root
from engine.contract.presets import presets_folder, shipped_presets
from engine.contract.reference import reference_page

ROOT = Path(__file__).parents[3]


def test_cache_root_by_environment_setting_and_user_folder(monkeypatch):
    config = Config.from_dict({"cache_dir": "/fast/cache"})
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/mara/.cache")
    monkeypatch.delenv("ACESTEP_CACHE", raising=False)
    assert cache_root() == Path("/home/mara/.cache/acestep-tui")
    assert cache_root(config) == Path("/fast/cache")
    monkeypatch.setenv("ACESTEP_CACHE", "/env/cache")
    assert cache_root(config) == Path("/env/cache")
    monkeypatch.delenv("ACESTEP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache/acestep-tui"


def test_presets_lie_beside_the_engine_or_inside_it(monkeypatch, tmp_path):
    assert presets_folder() == ROOT / "presets"
    assert "demo" in [preset.stem for preset in shipped_presets()]
    (tmp_path / "presets").mkdir()
    monkeypatch.setattr("engine.contract.presets._ENGINE", tmp_path)
    assert presets_folder() == tmp_path / "presets"


def test_the_reference_page_is_the_generated_text():
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == reference_page(), (
        "run: python -m engine.contract.reference"
    )
