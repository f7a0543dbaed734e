"""docs/events.md is what the event classes say."""

from __future__ import annotations

from pathlib import Path

from engine.contract.events_reference import events_page


def test_the_page_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "events.md"
    assert page.read_text(encoding="utf-8") == events_page(), "run: python -m engine.contract.events_reference"
