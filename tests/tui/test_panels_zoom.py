"""Panels 2 to 7 in the monitor: their keys, zooming into their pages and back."""

from __future__ import annotations

import pytest

from acestep_tui.screens.log_page import LogPage
from acestep_tui.screens.samples_page import SamplesPage
from acestep_tui.screens.saves_page import SavesPage
from tests.tui import facts
from tests.tui.harness import NOW, screen_text, until
from tests.tui.monitor_app import loaded, monitor_app


@pytest.fixture(autouse=True)
def _no_player(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("key", "kind", "footer"),
    [
        ("5", SamplesPage, " esc Back  space Play  t Flip  a b Mark  u Listen  n Sample"),
        ("6", SavesPage, " esc Back  e Export…  space Keep  v Verify  d Delete…"),
        ("7", LogPage, " esc Back  ! Problems  / Filter  y Copy"),
    ],
)
async def test_a_panel_with_a_page_opens_it_and_comes_back(monkeypatch, tmp_path, key, kind, footer):
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await pilot.press(key)
        await until(pilot, lambda: app.focused is screen.panels[screen.shown_tab])
        await pilot.press("z")
        await until(pilot, lambda: isinstance(screen.page, kind) and screen_text(app)[-1].startswith(footer))
        assert f" {key} " in screen_text(app)[1] and "━" in screen_text(app)[1]
        await pilot.press("escape")
        await until(pilot, lambda: screen.page is None)
        await until(pilot, lambda: "p Pause" in screen_text(app)[-1])


@pytest.mark.parametrize(
    ("key", "told"),
    [("2", "How long each part took"), ("3", "Reserved by training"), ("4", "Songs with a problem   3")],
)
async def test_a_panel_without_a_page_tells_more_when_zoomed(monkeypatch, tmp_path, key, told):
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        assert told not in "\n".join(screen_text(app))
        await pilot.press(key, "z")
        await until(pilot, lambda: told in "\n".join(screen_text(app)))
        await pilot.press("escape")
        await until(pilot, lambda: not screen.zoomed and told not in "\n".join(screen_text(app)))


async def test_y_copies_what_the_panel_is_about(monkeypatch, tmp_path):
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await loaded(pilot)
        await pilot.press("6")
        await until(pilot, lambda: app.focused is screen.panels["saves"])
        await pilot.press("y")
        assert app.clipboard == str(facts.FOLDER / "checkpoint-1000")
