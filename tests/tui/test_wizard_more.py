"""More settings: every other setting of a page, by section, with a filter; texts of several lines in a box; paths."""

from __future__ import annotations

import pytest
from textual.widgets import Input, TextArea

from acestep_tui.widgets.fields import Field
from acestep_tui.widgets.path_field import complete, shortened
from acestep_tui.wizard.fields import STEP_IDS, more_fields
from acestep_tui.wizard.setting_field import SettingField
from acestep_tui.wizard.special_fields import SettingPathField
from acestep_tui.wizard.steps.more import MorePage
from tests.tui.harness import screen_text, until
from tests.tui.wizard_facts import EXAMPLE, night_ferry, quiet_pages, ready, wizard_app

__all__ = ["quiet_pages"]
pytestmark = pytest.mark.usefixtures("quiet_pages")


def row_with(app, words: str) -> str:
    return next((row for row in screen_text(app) if words in row), "")


@pytest.mark.parametrize("page", STEP_IDS)
async def test_every_other_setting_of_a_page_is_there(tmp_path, page):
    app = wizard_app(tmp_path, night_ferry(page))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: bool(screen.query(MorePage)) and isinstance(app.focused, Input))
        shown = [field.setting.key for field in screen.query_one(MorePage).query(Field)]
        assert shown == [one.key for group in more_fields(page) for one in group.settings]
        assert not screen.step.display
        assert not [row for row in screen_text(app)[4:-2] if row.split("  ")[0].endswith("…")]  # whole labels
        await pilot.press("ctrl+t")
        await until(pilot, lambda: not screen.query(MorePage) and screen.step.display)


async def test_the_filter_finds_by_any_word_and_escape_goes_back_step_by_step(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"warm")
        await until(pilot, lambda: sum(field.display for field in screen.query_one(MorePage).query(Field)) <= 3)
        await pilot.press("enter")
        assert isinstance(app.focused, SettingField) and app.focused.setting.key == "lr_warmup_steps"
        await pilot.press("5", "0")
        assert screen.draft.value("lr_warmup_steps") == 50
        app.screen.query_one(Input).focus()
        await pilot.press("end", *" zzz")
        await until(pilot, lambda: "Nothing matches “warm zzz”. esc clears." in "\n".join(screen_text(app)))
        await pilot.press("escape")
        await until(pilot, lambda: screen.query_one(Input).value == "")
        await pilot.press("escape")
        await until(pilot, lambda: not screen.query(MorePage))
        assert screen.draft.step == "schedule"
        assert "rises 50 steps" in "\n".join(screen_text(app))
        await pilot.press("ctrl+t")
        await until(pilot, lambda: bool(screen.query(MorePage)))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: screen.draft.step == "review")


async def test_an_error_under_more_settings_keeps_from_going_on(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"warm", "enter", "x", "ctrl+n")
        await pilot.pause()
        assert screen.draft.step == "schedule" and app.focused.error
        # Leaving the page drops what could not be taken; the last good value stays.
        await pilot.press("escape")
        await until(pilot, lambda: not screen.query(MorePage))
        assert screen.draft.value("lr_warmup_steps") == 100


async def test_lyrics_are_edited_in_a_box(tmp_path):
    app = wizard_app(tmp_path, night_ferry("schedule"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"lyrics of the test", "enter", "enter")
        await until(pilot, lambda: isinstance(app.focused, TextArea))
        assert app.focused.text == EXAMPLE.verse
        await pilot.press("enter", *"Third line", "escape")
        await until(pilot, lambda: "esc again drops it" in "\n".join(screen_text(app)))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is screen)
        assert screen.draft.value("validation_lyrics") == f"{EXAMPLE.verse}\nThird line"
        assert "4 lines" in row_with(app, " Lyrics")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.focused, TextArea))
        await pilot.press("x", "escape", "escape")
        await until(pilot, lambda: app.screen is screen)
        assert screen.draft.value("validation_lyrics").endswith("Third line")
        await pilot.press("backspace")
        assert screen.draft.value("validation_lyrics") == EXAMPLE.verse


async def test_a_path_is_completed_by_tab(tmp_path):
    for name in ("music/night-ferry", "music/night-train", "music/harbour"):
        (tmp_path / name).mkdir(parents=True)
    app = wizard_app(tmp_path, night_ferry("dataset"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await ready(pilot, app)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.focused, Input))
        field = screen.query_one("#field-cache_dir", SettingPathField)
        field.focus()
        await pilot.pause()
        field.put(f"{tmp_path}/mu")
        await pilot.press("tab")
        await until(pilot, lambda: field.typed == f"{tmp_path}/music/")
        await until(pilot, lambda: "harbour/  night-ferry/  night-train/" in "\n".join(screen_text(app)))
        await pilot.press("n", "tab")
        await until(pilot, lambda: field.typed == f"{tmp_path}/music/night-")
        await pilot.press("f", "tab")
        await until(pilot, lambda: field.typed == f"{tmp_path}/music/night-ferry/")
        assert screen.draft.value("cache_dir") == f"{tmp_path}/music/night-ferry/"
        await until(pilot, lambda: field._completion is not None and field._completion.typed == field.typed)
        await pilot.press("tab")
        await until(pilot, lambda: app.focused is not field)


def test_completing_a_path(tmp_path, monkeypatch):
    tmp_path = tmp_path / "here"
    (tmp_path / "songs").mkdir(parents=True)
    (tmp_path / "song.txt").write_text("x", encoding="utf-8")
    (tmp_path / ".hidden").mkdir()
    assert complete(f"{tmp_path}/so").longest == f"{tmp_path}/song"
    assert complete(f"{tmp_path}/so").names == ("song.txt", "songs/")
    assert complete(f"{tmp_path}/so", endings=()).longest == f"{tmp_path}/songs/"
    assert complete(f"{tmp_path}/").names == ("song.txt", "songs/")
    assert complete(f"{tmp_path}/.h").longest == f"{tmp_path}/.hidden/"
    assert complete(f"{tmp_path}/none/x").longest == f"{tmp_path}/none/x"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert complete("~").longest == "~/"
    assert complete("~/song.").longest == "~/song.txt"
    assert shortened([f"folder-{number}/" for number in range(20)]).endswith("and 16 more")
