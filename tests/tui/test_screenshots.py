"""The README's pictures: exactly those that it shows, and they show what the app shows today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tui.screenshots import PICTURES, draw, words

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"


def test_the_script_draws_exactly_the_pictures_of_the_readme() -> None:
    linked = set(re.findall(r"\(docs/images/([\w-]+\.svg)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert linked == set(PICTURES)
    assert {path.name for path in IMAGES.iterdir()} == linked


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_what_the_app_shows_today(name: str) -> None:
    scene, size = PICTURES[name]
    kept = words((IMAGES / name).read_text(encoding="utf-8"))
    assert any("acestep-tui" in row for row in kept)
    assert words(draw(scene, size, name=name)) == kept, "make screenshots draws them anew"
