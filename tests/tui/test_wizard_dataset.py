"""Page 3: every key of the table, every way to name songs, every way they can be wrong."""

from __future__ import annotations

import pytest

from tests.tui.harness import SIZES, screen_text
from tests.tui.mockup import compare
from tests.tui.song_facts import made_up_songs, open_songs, songs_draft, wizard_app
from tests.tui.wizard_facts import mockup_numbers, quiet_pages

__all__ = ["made_up_songs", "mockup_numbers", "quiet_pages"]

_TOTAL = "only three of the songs are longer than 4:00, so 23 of these lengths do not add up to 1 h 29 min"
EXPLAINED: dict[str, dict[int, str]] = {
    "wizard-3-dataset-80x24": {5: _TOTAL},
    "wizard-3-dataset-120x40": {9: _TOTAL},
}


@pytest.mark.usefixtures("mockup_numbers", "made_up_songs")
@pytest.mark.parametrize("name", EXPLAINED)
async def test_the_page_is_its_mockup(tmp_path, name):
    size = name.rpartition("-")[2]
    app = wizard_app(tmp_path, songs_draft(), path=tmp_path / "draft.json")
    async with app.run_test(size=SIZES[size]) as pilot:
        await open_songs(pilot, app)
        compare(screen_text(app), name, EXPLAINED[name])
