"""The folder picker: what it lists, how it filters, where its keys lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual import events

from acestep_tui import folder_list
from acestep_tui.folder_list import Inside, is_audio, list_folder, look_inside, nearest_folder
from acestep_tui.screens.base import HouseScreen
from acestep_tui.screens.browse import BrowseDialog, BrowseFacts, browse_rows
from acestep_tui.widgets.paint import use_ascii
from tests.tui.harness import house_app, screen_text, until


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """~/music: two albums, a hidden folder, a loose song, a text."""
    folder = tmp_path / "home" / "music"
    for album, num_songs in (("Night Ferry", 3), ("kitchen-tapes", 1)):
        (folder / album).mkdir(parents=True)
        for number in range(num_songs):
            (folder / album / f"{number:02d}.flac").touch()
        (folder / album / "cover.jpg").touch()
    (folder / ".trash").mkdir()
    (folder / "box" / "inner").mkdir(parents=True)
    (folder / "loose.mp3").touch()
    (folder / "._loose.mp3").touch()
    (folder / "notes.txt").touch()
    return folder


def picker(tmp_path: Path, start: Path | None = None, **how: Any) -> tuple[Any, list[Path | None]]:
    """The app with nothing but the box, and what it returned."""
    app = house_app(tmp_path)
    answers: list[Path | None] = []

    def open_home() -> None:
        app.go_to(HouseScreen())
        app.call_later(app.push_screen, BrowseDialog(start, **how), answers.append)

    app.open_home = open_home
    return app, answers


async def opened(pilot: Any, app: Any) -> BrowseDialog:
    await until(pilot, lambda: isinstance(app.screen, BrowseDialog) and app.screen.facts.listed is not None)
    await until(pilot, lambda: not app.screen.facts.listed.folders or bool(app.screen.facts.inside))
    await pilot.pause()
    return app.screen


def page(app: Any) -> str:
    return "\n".join(screen_text(app))


def row_of(app: Any, words: str) -> str:
    found = next(row for row in screen_text(app) if words in row)
    return " ".join(found.strip(" │").split())


async def test_folders_first_with_what_they_hold(tmp_path, music):
    app, answers = picker(tmp_path, music)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        assert "~/music" in page(app) and "Choose a folder" in page(app)
        assert row_of(app, "Take this folder") == "▌ ✓ Take this folder 1 audio file"
        assert row_of(app, "Night Ferry/").endswith("3 audio files")
        assert row_of(app, "kitchen-tapes/").endswith("1 audio file")
        assert row_of(app, "box/").endswith("1 folder")
        rows = screen_text(app)
        order = [
            next(place for place, row in enumerate(rows) if name in row)
            for name in ("Take this", " .. ", "box/", "kitchen-tapes/", "Night Ferry/", "loose.mp3")
        ]
        assert order == sorted(order)
        assert ".trash" not in page(app) and "notes" not in page(app) and "._loose" not in page(app)
        assert "↵ Open" in rows[-1] and "^n Choose" in rows[-1] and "esc Close" in rows[-1]
        await pilot.press("down", "down", "down", "down")
        assert row_of(app, "Night Ferry/").startswith("▌")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.folder == music / "Night Ferry")
        await until(pilot, lambda: row_of(app, "Take this folder").startswith("▌"))
        await pilot.press("enter")
        await until(pilot, lambda: answers == [music / "Night Ferry"])


async def test_typing_filters_and_escape_clears_before_it_closes(tmp_path, music):
    app, answers = picker(tmp_path, music)
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(pilot, app)
        # Letters that move in other lists are only letters here.
        await pilot.press("k", "i")
        assert dialog.facts.wanted == "ki" and "kitchen-tapes/" in page(app) and "Night" not in page(app)
        assert row_of(app, "kitchen-tapes/").startswith("▌")
        await pilot.press("backspace", "backspace", "N", "space")
        assert "Nothing here matches “N ”. esc clears." in page(app)
        await pilot.press("escape")
        assert dialog.facts.wanted == "" and "Take this folder" in page(app)
        await pilot.press("full_stop")
        assert ".trash/" in page(app)
        await pilot.press("escape", *"zz")
        assert "Nothing here matches “zz”. esc clears." in page(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is dialog
        await pilot.press("escape", "escape")
        await until(pilot, lambda: answers == [None])


async def test_up_and_in_again_by_the_arrows(tmp_path, music):
    app, answers = picker(tmp_path, music / "Night Ferry")
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(pilot, app)
        await pilot.press("left")
        await until(pilot, lambda: dialog.folder == music and dialog.facts.listed.folder == music)
        # The cursor stays on where one came from.
        await until(pilot, lambda: row_of(app, "Night Ferry/").startswith("▌"))
        await pilot.press("right")
        await until(pilot, lambda: dialog.folder == music / "Night Ferry")
        await pilot.press("right")
        await pilot.pause()
        assert app.screen is dialog
        await pilot.press("backspace")
        await until(pilot, lambda: dialog.folder == music)
        await until(pilot, lambda: row_of(app, "Night Ferry/").startswith("▌"))
        await pilot.press("home", "down", "enter")
        await until(pilot, lambda: dialog.folder == music.parent)
        await until(pilot, lambda: row_of(app, "music/").startswith("▌"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: answers == [music.parent])


async def test_a_click_opens_and_a_pasted_path_too(tmp_path, music):
    app, _ = picker(tmp_path, music)
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(pilot, app)
        place = next(at for at, row in enumerate(screen_text(app)) if "kitchen-tapes/" in row)
        await pilot.click(offset=(20, place))
        await until(pilot, lambda: dialog.folder == music / "kitchen-tapes")
        app.screen.focused.post_message(events.Paste(f"{music}/Night Ferry"))
        await until(pilot, lambda: dialog.folder == music / "Night Ferry")
        app.screen.focused.post_message(events.Paste("02"))
        await until(pilot, lambda: dialog.facts.wanted == "02")
        assert "02.flac" in page(app) and "01.flac" not in page(app)


async def test_a_folder_that_is_gone_opens_the_one_above(tmp_path, music):
    app, _ = picker(tmp_path, music / "gone" / "deeper")
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(pilot, app)
        assert dialog.folder == music
        (music / "box" / "inner").rmdir()
        (music / "box").rmdir()
        await pilot.press("down", "down", "enter")
        await pilot.pause(0.1)
        assert dialog.folder == music


async def test_without_a_start_it_begins_at_home(tmp_path):
    app, _ = picker(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = await opened(pilot, app)
        assert dialog.folder == tmp_path / "home"
        assert row_of(app, "Take this folder").endswith("no audio")


@pytest.mark.parametrize("size", [(120, 40), (60, 20), (42, 10)])
async def test_other_sizes_and_names_of_any_width(tmp_path, music, size):
    (music / "夜のフェリー" / "x").mkdir(parents=True)
    (music / ("long " * 30).strip()).mkdir()
    (music / "line\nbreak").mkdir()
    app, _ = picker(tmp_path, music)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app)
        assert "Take this folder" in page(app)
        edges = {len_cells(row.rstrip()) for row in screen_text(app) if row.count("│") == 2}
        assert len(edges) == 1
        await pilot.press("end")
        assert "long long" in page(app)


def len_cells(row: str) -> int:
    from rich.cells import cell_len

    return cell_len(row)


def test_a_model_is_marked_where_one_is_looked_for(music):
    (music / "ace" / "ace_step_transformer").mkdir(parents=True)
    listed = list_folder(music)
    inside = {name: look_inside(music / name) for name in listed.folders}
    rows = browse_rows(BrowseFacts(listed, inside, for_model=True))
    drawn = {str(row.target): row.draw(60, False).plain for row in rows}
    assert drawn["ace"].rstrip().endswith("✓ a model")
    assert "audio" not in drawn["Night Ferry"]
    songs = {str(row.target): row.draw(60, False).plain for row in browse_rows(BrowseFacts(listed, inside))}
    assert songs["ace"].rstrip().endswith("1 folder")


def test_what_cannot_be_listed_is_said(tmp_path, music, monkeypatch):
    assert list_folder(music / "nothing").problem == "No such file or directory"
    assert look_inside(music / "loose.mp3").problem == "Not a directory"
    rows = browse_rows(BrowseFacts(list_folder(music / "nothing")))
    assert any("✗ It cannot be listed: no such file or directory." in row.draw(70, False).plain for row in rows)
    facts = BrowseFacts(list_folder(music), {"box": Inside(problem="Permission denied")})
    drawn = [row.draw(70, False).plain for row in browse_rows(facts)]
    assert any(line.rstrip().endswith("permission denied") for line in drawn)
    assert any(line.rstrip().endswith("–") for line in drawn if "Night Ferry" in line)
    monkeypatch.setattr(folder_list, "_MOST_COUNTED", 2)
    cut = look_inside(music / "Night Ferry")
    assert cut.is_cut and cut.num_audio <= 2
    drawn = [row.draw(70, False).plain for row in browse_rows(BrowseFacts(list_folder(music), {"box": cut}))]
    assert any("+" in line for line in drawn)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "loop" not in list_folder(tmp_path).folders
    assert nearest_folder(Path("/no/such/folder")) == Path("/")
    assert nearest_folder(Path("a\0b")) is not None
    assert is_audio("A.FLAC") and not is_audio("._a.flac") and not is_audio("flac")


def test_ascii_only(music):
    use_ascii(True)
    try:
        rows = browse_rows(BrowseFacts(list_folder(music), wanted="zz"))
        assert all(row.draw(70, True).plain.isascii() for row in rows)
    finally:
        use_ascii(False)
