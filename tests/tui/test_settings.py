"""Settings: the page against its mock-up; each setting changed, saved and at work; damaged and locked files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from acestep_tui import format as fmt
from acestep_tui.app import AceStepApp
from acestep_tui.screens.home import HomeScreen
from acestep_tui.screens.home_page import HomeFacts
from acestep_tui.screens.keys_dialog import KeysDialog
from acestep_tui.screens.runs import RunsScreen
from acestep_tui.screens.settings import SettingsScreen
from acestep_tui.screens.value_dialog import ValueDialog
from acestep_tui.settings import UI_SETTINGS, Settings, load_settings
from acestep_tui.widgets.page import Page
from tests.tui.harness import NOW, house_app, screen_text, until
from tests.tui.mockup import compare


@pytest.fixture(autouse=True)
def _usual_units() -> Any:
    yield
    fmt.use_wishes()


async def opened(app: AceStepApp, pilot: Pilot[Any]) -> SettingsScreen:
    """Settings above an empty Home."""
    app.go_to(HomeScreen(HomeFacts()))
    await pilot.pause()
    await pilot.press("f5")
    await until(pilot, lambda: isinstance(app.screen, SettingsScreen))
    await pilot.pause()
    assert isinstance(app.screen, SettingsScreen)
    return app.screen


def shown(app: AceStepApp) -> str:
    return "\n".join(screen_text(app))


async def choose(screen: SettingsScreen, pilot: Pilot[Any], key: str) -> None:
    """Put the cursor on a setting and press Enter."""
    target = next((setting for setting in UI_SETTINGS if setting.key == key), key)
    screen.query_one("#list", Page).select(target)
    await pilot.press("enter")
    await pilot.pause()


LISTEN = "the server that offers clips comes with a later version, and the setting says so"
COMMAND = "running a command of one's own at the end is not part of this version, so it is not offered"


@pytest.mark.parametrize(
    ("size", "explained"), [("80x24", {13: LISTEN, 16: COMMAND}), ("120x40", {18: LISTEN, 23: COMMAND})]
)
async def test_the_screen_is_the_mockup(tmp_path: Path, size: str, explained: dict[int, str]) -> None:
    home = tmp_path / "home"
    settings = Settings(home / ".config/acestep-tui/settings.json")
    settings.keys = {f"monitor.key{number}": f"f{number}" for number in (6, 7, 8, 9)}
    app = AceStepApp(settings=settings, clock=lambda: NOW, host="studio-pod")
    width, height = map(int, size.split("x"))
    async with app.run_test(size=(width, height)) as pilot:
        await opened(app, pilot)
        compare(screen_text(app), f"settings-{size}", explained)


async def test_each_setting_is_changed_saved_and_brought_back(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        for setting in UI_SETTINGS:
            if not setting.choices:
                continue
            before = app.settings[setting.key]
            await choose(screen, pilot, setting.key)
            after = app.settings[setting.key]
            assert after != before, setting.key
            assert setting.word(after) in shown(app)
            saved = json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))
            assert saved.get(setting.key, setting.default) == after
            await pilot.press("backspace")
            assert app.settings[setting.key] == setting.default
        assert load_settings(tmp_path / "settings.json").values == {}


async def test_numbers_and_texts_are_typed(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await choose(screen, pilot, "listen_port")
        assert isinstance(app.screen, ValueDialog)
        await pilot.press("ctrl+u", *"80", "enter")
        await pilot.pause()
        assert "✗ a number from 1024 to 65535" in shown(app)
        assert isinstance(app.screen, ValueDialog)
        await pilot.press("ctrl+u", *"9000", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert app.settings["listen_port"] == 9000
        await choose(screen, pilot, "runs_folder")
        await pilot.press("ctrl+u", *"~/elsewhere", "escape")
        await until(pilot, lambda: app.screen is screen)
        assert app.settings["runs_folder"] == "~/acestep/runs"
        await choose(screen, pilot, "runs_folder")
        await pilot.press("ctrl+u", *"~/elsewhere", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert load_settings(tmp_path / "settings.json")["runs_folder"] == "~/elsewhere"


async def test_what_is_changed_is_seen_at_once(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(app, pilot)
        await choose(screen, pilot, "theme")
        assert app.theme == "studio-light"
        rows = screen_text(app)
        assert rows[7:9] == ["", ""]
        await choose(screen, pilot, "density")
        assert screen_text(app)[1].strip().startswith("Look")
        assert screen_text(app)[6].strip().startswith("Monitor"), "no empty rows between the sections"
        assert app.has_class("-compact")
        await choose(screen, pilot, "glyphs")
        assert shown(app).isascii()
        await choose(screen, pilot, "clock")
        assert fmt.time_of_day(NOW) == "2:21 pm"
        await choose(screen, pilot, "memory_unit")
        assert fmt.size(2**30) == "1.0 GiB"
        await choose(screen, pilot, "motion")
        await choose(screen, pilot, "motion")
        assert app.has_motion
        assert app.animation_level == "full"
        await choose(screen, pilot, "redraw")
        assert app.redraw_s == 1.0
        # The screen below is drawn anew too.
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        assert shown(app).isascii()


async def test_a_changed_key_is_shown_and_works(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await choose(screen, pilot, "Keys")
        assert isinstance(app.screen, KeysDialog)
        await pilot.press("down", "down", "down", "down", "enter")
        assert "press a key" in shown(app)
        await pilot.press("escape")
        assert "press a key" not in shown(app)
        # The fifth command opens Runs; F2 belongs to Home, so it is refused in words.
        await pilot.press("enter", "f2")
        await pilot.pause()
        assert "F2 already does this: Go to Home" in shown(app)
        await pilot.press("enter", "f9")
        await pilot.pause()
        assert "F9" in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert "1 changed" in shown(app)
        assert load_settings(tmp_path / "settings.json").keys == {"app.open_runs": "f9"}
        await pilot.press("f3")
        await pilot.pause()
        assert app.screen is screen, "the old key does nothing any more"
        await pilot.press("f9")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_a_key_is_given_back(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    app.settings.keys = {"app.open_runs": "f9", "home.new_run": "b"}
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await choose(screen, pilot, "Keys")
        await pilot.press("down", "down", "down", "down", "backspace")
        assert app.settings.keys == {"home.new_run": "b"}
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("backspace")
        assert app.settings.keys == {}
        assert "as they are" in shown(app)
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_finding_and_leaving(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("slash", *"port")
        assert "Listen port" in shown(app)
        assert "Theme" not in shown(app)
        await pilot.press("enter", "enter")
        assert isinstance(app.screen, ValueDialog)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("f5")
        await pilot.pause()
        assert app.screen is screen, "settings do not open above themselves"
        screen.query_one("#list").focus()
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen)


async def test_a_click_changes_a_setting(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        row = next(place for place, text in enumerate(screen_text(app)) if "Density" in text)
        await pilot.click(offset=(10, row))
        await pilot.pause()
        assert app.settings["density"] == "compact"


async def test_the_file_is_edited_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib

    app = house_app(tmp_path)
    monkeypatch.setattr(app, "suspend", contextlib.nullcontext)
    monkeypatch.setenv("VISUAL", "my-editor --wait")
    asked: list[list[str]] = []

    def edit(arguments: list[str], **_: Any) -> None:
        asked.append(arguments)
        path = Path(arguments[-1])
        known = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**known, "theme": "studio-safe", "from_the_future": 1}), encoding="utf-8")

    monkeypatch.setattr(subprocess, "run", edit)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("ctrl+g")
        await pilot.pause()
        assert asked == [["my-editor", "--wait", str(tmp_path / "settings.json")]]
        assert app.theme == "studio-safe"
        assert "Colour-safe" in shown(app)
        await choose(screen, pilot, "density")
        saved = json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))
        assert saved["density"] == "compact"
        assert saved["from_the_future"] == 1, "what a newer version wrote is kept"

        def fail(*_: Any, **__: Any) -> None:
            raise FileNotFoundError("no such program")

        monkeypatch.setattr(subprocess, "run", fail)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "Set EDITOR to your editor." in shown(app))


@pytest.mark.parametrize(
    ("content", "words", "theme"),
    [
        ("{", "cannot be read (line 1 is not JSON): the defaults", "studio-dark"),
        ('["a"]', "is not an object", "studio-dark"),
        ('{"theme": "pink", "density": "compact"}', "theme is not one of", "studio-dark"),
        ('{"theme": "studio-light", "redraw": 7}', "redraw is not one of", "studio-light"),
    ],
)
async def test_a_damaged_file_is_said_and_costs_only_what_is_damaged(
    tmp_path: Path, content: str, words: str, theme: str
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content, encoding="utf-8")
    app = AceStepApp(settings=load_settings(path), clock=lambda: NOW, host="studio-pod")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.pause()
        told = [note.message for note in app._notifications]
        assert len(told) == 1
        assert words in told[0]
        assert app.theme == theme
        assert app.settings["density"] == ("compact" if "compact" in content else "comfortable")


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.write_text("a file where a folder should be", encoding="utf-8")
    app = AceStepApp(settings=Settings(folder / "settings.json"), clock=lambda: NOW, host="studio-pod")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = await opened(app, pilot)
        await choose(screen, pilot, "theme")
        assert app.theme == "studio-light", "it holds for this session all the same"
        await until(pilot, lambda: "The settings could not be saved" in shown(app))
        assert "Errno" not in app.settings.problem
        # Which of the two the system says differs between Python versions: making the folder, or writing into it.
        assert screen_text(app)[0].endswith(("not saved: not a directory", "not saved: file exists"))
        folder.unlink()
        await choose(screen, pilot, "theme")
        await until(pilot, lambda: screen_text(app)[0].endswith("saved as you change them"))
        assert "not saved" not in screen_text(app)[0]


@pytest.mark.parametrize(
    ("locale_names", "draws"),
    [
        ({"LANG": "C"}, False), ({"LC_ALL": "POSIX"}, False), ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, False),
        ({}, True), ({"LANG": "C.UTF-8"}, True), ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, True),
    ],
)  # fmt: skip
def test_a_locale_without_utf_8_gets_ascii(locale_names: dict[str, str], draws: bool) -> None:
    code = "from acestep_tui.app import _draws_unicode; print(_draws_unicode())"
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    asked = subprocess.run([sys.executable, "-c", code], env=clean | locale_names, capture_output=True, check=True)
    assert asked.stdout.decode().strip() == str(draws)


async def test_sizes(tmp_path: Path) -> None:
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        for size in ((100, 30), (60, 20), (160, 50), (40, 10)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert all(len(row) <= size[0] for row in screen_text(app))
            assert "❯ Theme" in shown(app)
        await pilot.press("end")
        await pilot.pause()
        assert "❯ Change keys" in shown(app), "a low terminal scrolls to the cursor"
        await pilot.resize_terminal(30, 6)
        await pilot.pause()
        assert screen.has_class("-tiny")
        assert "Settings" in shown(app)
