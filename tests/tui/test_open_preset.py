"""Opening a preset or configuration: chosen from the list, typed with completion, refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from acestep_tui.app import AceStepApp
from acestep_tui.recent import recent_presets, remember_preset
from acestep_tui.screens.home import HomeScreen
from acestep_tui.screens.home_page import HomeFacts
from acestep_tui.screens.open_preset import OpenPresetDialog, _File
from engine.contract.presets import find_preset
from tests.tui.harness import house_app, screen_text, until


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    (folder / "config" / "ferry").mkdir(parents=True)
    (folder / "config" / "ferry" / "config.json").write_text(json.dumps({"lora_rank": 16}))
    monkeypatch.chdir(folder)


async def opened(app: AceStepApp, pilot: Pilot[Any], answers: list[Path | None]) -> OpenPresetDialog:
    dialog = OpenPresetDialog()
    app.push_screen(dialog, answers.append)
    await until(pilot, lambda: bool(dialog.found.shipped))
    await pilot.pause()
    return dialog


async def test_what_is_here_is_listed_with_what_it_is(tmp_path: Path) -> None:
    saved = tmp_path / "night.json"
    saved.write_text(json.dumps({"preset_title": "Night", "preset_description": "For the night."}))
    remember_preset(saved)
    app = house_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, [])
        shown = "\n".join(screen_text(app))
        for words in ("Saved or opened lately", "Night", "For the night.", "env=ferry", "LoRA, 24 GB card"):
            assert words in shown


async def test_enter_opens_the_selected_one(tmp_path: Path) -> None:
    app, answers = house_app(tmp_path), []
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, answers)
        await pilot.press("down", "enter")
        await until(pilot, lambda: bool(answers))
    assert answers == [find_preset("demo")]
    assert recent_presets() == []


async def test_a_typed_name_is_found_and_remembered(tmp_path: Path) -> None:
    app, answers = house_app(tmp_path), []
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(app, pilot, answers)
        await pilot.press(*"env=ferry")
        assert dialog.query_one(_File).typed == "env=ferry"
        await pilot.press("enter")
        await until(pilot, lambda: bool(answers))
    expected = tmp_path / "here/config/ferry/config.json"
    assert answers == [expected]
    assert recent_presets() == [expected]


async def test_tab_completes(tmp_path: Path) -> None:
    app, answers = house_app(tmp_path), []
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(app, pilot, answers)
        field = dialog.query_one(_File)
        await pilot.press(*"conf", "tab")
        await until(pilot, lambda: field.typed == "config/")
        await pilot.press("tab")
        await until(pilot, lambda: field.typed == "config/ferry/")
        await pilot.press("enter")
        await until(pilot, lambda: bool(answers))
    assert answers == [tmp_path / "here/config/ferry/config.json"]


@pytest.mark.parametrize(
    ("typed", "content", "words"),
    [
        ("nowhere.json", None, "no such configuration"),
        ("bad.json", '{"lora_rank": }', "not valid JSON"),
        ("bad.json", '["a"]', "not a JSON object"),
        ("bad.json", '{"lora_rank": -3}', "lora_rank"),
        ("env=nowhere", None, "no configuration of this name"),
    ],
)
async def test_what_cannot_be_opened_says_why(tmp_path: Path, typed: str, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "here" / typed).write_text(content)
    app, answers = house_app(tmp_path), []
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, answers)
        await pilot.press(*typed, "enter")
        await until(pilot, lambda: words in " ".join(" ".join(screen_text(app)).split()))
        assert answers == []
        await pilot.press("x")
        await pilot.pause()
        assert words not in " ".join(" ".join(screen_text(app)).split())


async def test_nothing_typed_says_what_to_do(tmp_path: Path) -> None:
    app, answers = house_app(tmp_path), []
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, answers)
        await pilot.press("x", "backspace", "enter")
        await until(pilot, lambda: "No file is named." in "\n".join(screen_text(app)))
        await pilot.press("escape")
        await until(pilot, lambda: bool(answers))
    assert answers == [None]


async def test_home_opens_it_on_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = house_app(tmp_path)
    chosen: list[Path] = []
    monkeypatch.setattr(app, "open_preset", chosen.append)
    async with app.run_test(size=(80, 24)) as pilot:
        app.go_to(HomeScreen(HomeFacts()))
        await pilot.pause()
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, OpenPresetDialog) and bool(app.screen.found.shipped))
        await pilot.press("down", "enter")
        await until(pilot, lambda: bool(chosen))
    assert chosen == [find_preset("demo")]


def test_the_list_keeps_the_newest_and_forgets_what_is_gone(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(10)]
    for path in paths:
        path.write_text("{}")
        remember_preset(path)
    remember_preset(paths[5])
    paths[8].unlink()
    assert recent_presets() == [paths[place] for place in (5, 9, 7, 6, 4, 3, 2)]
    state = tmp_path / "state/acestep-tui/presets.json"
    state.write_text("nonsense")
    assert recent_presets() == []
