"""Help: the keys of the screen one came from against the mock-up, words found, all screens, every way in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from acestep_tui.app import AceStepApp
from acestep_tui.commands import COMMANDS
from acestep_tui.screens.help import HelpScreen, all_keys_lines, page_lines
from acestep_tui.screens.home import HomeScreen
from acestep_tui.screens.home_page import HomeFacts
from acestep_tui.screens.settings import SettingsScreen
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.rows import Rows
from tests.tui import facts
from tests.tui.harness import house_app, screen_text, until
from tests.tui.mockup import compare
from tests.tui.monitor_app import loaded, monitor_app


async def opened(app: AceStepApp, pilot: Pilot[Any], key: str = "question_mark") -> HelpScreen:
    """Help, by its key."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, HelpScreen))
    await pilot.pause()
    assert isinstance(app.screen, HelpScreen)
    return app.screen


async def home(app: AceStepApp, pilot: Pilot[Any]) -> None:
    app.go_to(HomeScreen(HomeFacts()))
    await pilot.pause()


def shown(app: AceStepApp) -> str:
    return "\n".join(screen_text(app))


MORE = "the page scrolls: where the mock-up is empty, its next word begins"


@pytest.mark.parametrize(("size", "explained"), [("80x24", {21: MORE, 22: MORE}), ("120x40", {})])
async def test_the_screen_is_the_mockup(
    tmp_path: Path, size: str, explained: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, facts.TRAINING_NOW)
    width, height = map(int, size.split("x"))
    async with app.run_test(size=(width, height)) as pilot:
        await loaded(pilot)
        await opened(app, pilot)
        compare(screen_text(app), f"help-{size}", explained)


async def test_it_tells_of_the_screen_one_came_from(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await home(app, pilot)
        below = app.screen
        await opened(app, pilot, "f1")
        assert "Help  Home" in screen_text(app)[0]
        assert "Try the demo" in shown(app)
        assert "Resume the selected run" not in shown(app), "what can do nothing now is not listed"
        assert "? Help" not in screen_text(app)[-1], "help has no help"
        await pilot.press("question_mark", "f1")
        await pilot.pause()
        assert len(app.screen_stack) == 3
        await pilot.press("escape")
        assert app.screen is below
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        await opened(app, pilot)
        assert "Help  Settings" in screen_text(app)[0]
        assert "Back to the default" in shown(app)


async def test_words_are_found_and_all_screens_are_listed(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await home(app, pilot)
        screen = await opened(app, pilot)
        await pilot.press("slash", *"held-out")
        assert "held-out loss" in shown(app)
        assert "GPU memory" not in shown(app)
        await pilot.press("escape")
        assert not screen.query_one(FilterBar).has_class("-open")
        await pilot.press("tab")
        await pilot.pause()
        assert "Help  All screens" in screen_text(app)[0]
        assert "Everywhere" in shown(app)
        rows = screen.query_one("#page", Rows)
        await pilot.press("end")
        await pilot.pause()
        assert rows.top > 0
        assert "preset" in shown(app)
        await pilot.press("home", "slash", *"rescan", "enter")
        await pilot.press("tab")
        await pilot.press("escape")
        await pilot.pause()


async def test_sizes_and_ascii(tmp_path: Path) -> None:
    app = house_app(tmp_path, glyphs="ascii")
    async with app.run_test(size=(80, 24)) as pilot:
        await home(app, pilot)
        await opened(app, pilot)
        assert shown(app).isascii()
        for size in ((100, 30), (60, 20), (160, 50), (40, 8)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert all(len(row) <= size[0] for row in screen_text(app))
            assert "Keys on this screen" in shown(app)
        await pilot.resize_terminal(30, 6)
        await pilot.pause()
        assert "Help" in shown(app)


def test_every_command_is_on_the_page_of_all_screens() -> None:
    text = "\n".join(line.plain for line in all_keys_lines(200))
    for command in COMMANDS:
        if command.scope not in ("dialog", "list", "radio", "editor", "review"):  # boxes, which say their keys
            assert command.sentence in text, command.id


def test_long_meanings_are_wrapped_not_cut() -> None:
    lines = [line.plain for line in page_lines([], 60)]
    assert all(len(line) <= 60 for line in lines if "acestep-tui" not in line)
    text = " ".join(" ".join(lines).split())
    assert "forget and work out again, to save memory (gradient checkpointing)" in text
