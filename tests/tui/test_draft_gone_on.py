"""A draft that is gone on with stays one draft: it is written where it was, never beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acestep_tui.app import AceStepApp
from acestep_tui.screens import wizard as wizard_module
from acestep_tui.screens.runs import RunsScreen
from acestep_tui.screens.wizard import WizardScreen
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.draft_files import list_drafts, load_draft, save_draft, snapshot
from tests.tui.harness import house_app, screen_text, until
from tests.tui.wizard_facts import MACHINE, ready


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A draft on disk, left at the method's page."""
    monkeypatch.setattr(wizard_module, "look_at_machine", lambda folder: MACHINE)
    draft = Draft(name="kitchen-tapes", is_named=True)
    draft.step, draft.visited = "method", ["hardware", "method"]
    return save_draft(snapshot(draft))


async def _change_and_leave(app: AceStepApp, pilot: Any, path: Path) -> None:
    screen = await ready(pilot, app)
    assert screen.keeping.path == path
    assert screen.draft.step == "method"
    await pilot.press("down")  # another goal
    await until(pilot, lambda: screen.draft.value("goal") == "style")
    screen.keeping.flush()
    await until(pilot, lambda: load_draft(path)[0].value("goal") == "style")
    assert [one.path for one in list_drafts()] == [path]


async def test_home_goes_on_with_the_same_file(tmp_path: Path, kept: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(getattr(app.screen, "facts", None) and app.screen.facts.drafts))
        await pilot.press("1")
        await _change_and_leave(app, pilot, kept)


async def test_the_list_of_runs_goes_on_with_the_same_file(tmp_path: Path, kept: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await pilot.press("end")
        await until(pilot, lambda: "Step 4 of 6" in "\n".join(screen_text(app)))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, WizardScreen))
        await _change_and_leave(app, pilot, kept)
