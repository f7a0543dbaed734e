"""The command palette: what it offers where, that each does what it says, and that it opens, finds and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.app import SystemCommand
from textual.command import CommandPalette
from textual.pilot import Pilot

from acestep_tui.app import AceStepApp
from acestep_tui.palette import palette_commands
from acestep_tui.screens.doctor import DoctorScreen
from acestep_tui.screens.help import HelpScreen
from acestep_tui.screens.home import HomeScreen
from acestep_tui.screens.home_page import HomeFacts
from acestep_tui.screens.runs import RunsScreen
from acestep_tui.screens.settings import SettingsScreen
from acestep_tui.themes import THEME_LABELS
from tests.tui import facts, runs_facts
from tests.tui.harness import house_app, screen_text, until
from tests.tui.monitor_app import loaded, monitor_app


async def home(app: AceStepApp, pilot: Pilot[Any], known: HomeFacts | None = None) -> HomeScreen:
    screen = HomeScreen(known or HomeFacts())
    app.go_to(screen)
    await pilot.pause()
    return screen


def offered(app: AceStepApp) -> dict[str, SystemCommand]:
    return {command.title: command for command in palette_commands(app, app.screen)}


async def test_it_offers_what_works_here(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await home(app, pilot)
        titles = offered(app)
        for title in ("Try the demo", "Go to Runs", "Settings", "Check this computer", "Screenshot (SVG)", "Keys…",
                      "About", "Density: compact", "Theme: Colour-safe", "Quit; training goes on"):  # fmt: skip
            assert title in titles
        assert "Theme: Studio dark" not in titles, "the one that is on is not offered"
        assert "Resume the selected run" not in titles
        assert titles["Try the demo"].help == "Key: 2"
        assert not any("One up" in title for title in titles)


async def test_runs_are_opened_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = house_app(tmp_path)
    watched: list[str] = []
    monkeypatch.setattr(app, "open_monitor", lambda run, *, is_readonly=False: watched.append(run.name))
    async with app.run_test(size=(80, 24)) as pilot:
        await home(app, pilot, HomeFacts(runs=runs_facts.runs(), drafts=runs_facts.drafts()))
        titles = offered(app)
        assert titles["Open run night-ferry"].help == "training, 1,240 of 2,000"
        titles["Open run night-ferry"].callback()
        assert watched == ["2026-11-22_1349_night-ferry"]
        assert "Open run kitchen-tapes" not in titles


async def test_on_the_monitor_its_commands_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = monitor_app(monkeypatch, tmp_path, facts.training_course().state, facts.TRAINING_NOW)
    async with app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        titles = list(offered(app))
        assert titles.index("Pause and resume") < titles.index("Copy attach command") < titles.index("Go to Home")
        assert "Save now" in titles


async def test_it_opens_finds_and_runs(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await home(app, pilot)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"go to runs")
        await until(pilot, lambda: any("Go to Runs" in row and "F3" in row for row in screen_text(app)))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await until(pilot, lambda: any("Set up a new run" in row for row in screen_text(app)))
        assert sum("Set up a new run" in row and " n " in row for row in screen_text(app)) == 1, "one row each"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await pilot.resize_terminal(44, 20)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: any("Set up a new run" in row and " n " in row for row in screen_text(app)))


async def test_each_without_a_key_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await home(app, pilot)
        offered(app)["Density: compact"].callback()
        assert app.settings["density"] == "compact"
        assert "Density: comfortable" in offered(app)
        offered(app)["Theme: High contrast"].callback()
        assert (app.theme, app.settings["theme"]) == ("studio-contrast", "studio-contrast")
        offered(app)["Theme: nord"].callback()
        assert app.theme == "nord"
        offered(app)["About"].callback()
        await until(pilot, lambda: any("Apache-2.0" in row for row in screen_text(app)))
        saved: list[bool] = []

        def save_screenshot() -> str:
            if saved:
                raise PermissionError(13, "Permission denied")
            saved.append(True)
            return "/here/picture.svg"

        monkeypatch.setattr(app, "save_screenshot", save_screenshot)
        offered(app)["Screenshot (SVG)"].callback()
        await until(pilot, lambda: any("/here/picture.svg" in row for row in screen_text(app)))
        offered(app)["Screenshot (SVG)"].callback()
        await until(pilot, lambda: any("Permission denied" in row for row in screen_text(app)))
        offered(app)["Keys…"].callback()
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        await pilot.press("escape")
        await offered(app)["Check this computer"].callback()  # by its key's command, which Home has
        await until(pilot, lambda: isinstance(app.screen, DoctorScreen))


async def test_changed_keys_are_told(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    app.settings.keys = {"app.open_runs": "f9"}
    async with app.run_test(size=(80, 24)) as pilot:
        await home(app, pilot)
        assert offered(app)["Go to Runs"].help == "Key: F9"


async def test_the_keys_of_all_screens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = house_app(tmp_path)
    newest: list[str] = []
    monkeypatch.setattr(app, "open_monitor", lambda run, *, is_readonly=False: newest.append(run.name))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await home(app, pilot)
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("f2")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert len(app.screen_stack) == 2
        await pilot.press("f4")
        await until(pilot, lambda: any("No runs yet. n on Home sets one up." in row for row in screen_text(app)))
        from tests.tui import recorded

        recorded.recorded_run(tmp_path / "home", "finished")
        await pilot.press("f4")
        await until(pilot, lambda: newest == ["demo-finished"])
        await pilot.press("ctrl+q")
    assert app.return_value == []


def test_every_theme_of_the_settings_has_a_name() -> None:
    assert set(THEME_LABELS) == {"studio-dark", "studio-light", "studio-contrast", "studio-safe"}
