"""Page 3: every key of the table, every way to name songs, every way they can be wrong."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from acestep_tui.screens import wizard as wizard_module
from acestep_tui.screens.browse import BrowseDialog
from acestep_tui.screens.song import SongScreen
from acestep_tui.wizard.draft_files import load_draft
from acestep_tui.wizard.preset import to_preset
from acestep_tui.wizard.song_scan import ScanStopped, SongScan
from acestep_tui.wizard.steps import dataset
from acestep_tui.wizard.steps.dataset import DatasetStep
from acestep_tui.wizard.steps.make import make_step
from acestep_tui.wizard.steps.song_table import FolderField, SongRows
from engine.dataset.report import Problem
from tests.tui.harness import SIZES, screen_text, until
from tests.tui.mockup import compare
from tests.tui.song_facts import SCAN, made_up_songs, open_songs, row, songs_draft, wizard_app
from tests.tui.wizard_facts import QuietModel, mockup_numbers, night_ferry, quiet_pages, ready

__all__ = ["made_up_songs", "mockup_numbers", "quiet_pages"]

_TOTAL = "only three of the songs are longer than 4:00, so 23 of these lengths do not add up to 1 h 29 min"
_CURSOR = "the selected song has a cursor as every other list has, so that it is found without colours"
EXPLAINED: dict[str, dict[int, str]] = {
    "wizard-3-dataset-80x24": {5: _TOTAL, 7: _CURSOR},
    "wizard-3-dataset-120x40": {9: _TOTAL, 12: _CURSOR},
}


def screen_rows(app) -> list[str]:
    """The table's rows as shown, without the cursor."""
    rows = next(one for screen in app.screen_stack for one in screen.query(SongRows))
    return [line.strip().replace("❯", " ") for line in rows.plain_lines]


def said(app) -> str:
    """The whole screen as one text, its lines joined."""
    return " ".join(" ".join(screen_text(app)).split())


# -- its look --


@pytest.mark.usefixtures("mockup_numbers", "made_up_songs")
@pytest.mark.parametrize("name", EXPLAINED)
async def test_the_page_is_its_mockup(tmp_path, name):
    size = name.rpartition("-")[2]
    app = wizard_app(tmp_path, songs_draft(), path=tmp_path / "draft.json")
    async with app.run_test(size=SIZES[size]) as pilot:
        await open_songs(pilot, app)
        compare(screen_text(app), name, EXPLAINED[name])


@pytest.mark.usefixtures("made_up_songs")
@pytest.mark.parametrize(("glyphs", "cursor"), [("auto", "❯"), ("ascii", ">")])
async def test_the_selected_song_is_found_without_colours(tmp_path, monkeypatch, glyphs, cursor):
    monkeypatch.setenv("NO_COLOR", "1")
    app = wizard_app(tmp_path, songs_draft(), glyphs=glyphs)
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        rows = step.query_one(SongRows)
        assert [line[1] for line in rows.plain_lines[:3]] == [cursor, " ", " "]
        await pilot.press("down")
        assert [line[1:5] for line in rows.plain_lines[:3]] == [" 01 ", f"{cursor}02 ", " 03 "]
        await pilot.press("shift+tab")
        await until(pilot, lambda: [line[1] for line in rows.plain_lines[:3]] == [" ", " ", " "])


@pytest.mark.usefixtures("made_up_songs")
@pytest.mark.parametrize("size", [(100, 30), (60, 20)])
async def test_other_sizes_show_table_and_messages(tmp_path, size):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=size) as pilot:
        await open_songs(pilot, app)
        assert "✓❯01 Night Ferry.flac" in said(app)
        assert "2 songs have no lyrics" in said(app)
        assert "no lyrics file" in screen_rows(app)[3] and "✗ 1 un" in said(app) and "unus…" not in said(app)
        assert all(len(line) <= size[0] for line in screen_text(app))
        await pilot.press("end")
        assert "24 Last Boat Home.flac" in said(app)


@pytest.mark.usefixtures("made_up_songs")
async def test_a_tiny_terminal_keeps_a_line_and_ascii_has_no_other_signs(tmp_path):
    app = wizard_app(tmp_path, songs_draft(), glyphs="ascii")
    async with app.run_test(size=(30, 6)) as pilot:
        await open_songs(pilot, app)
        assert "step 3 of 6" in said(app)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "01 Night Ferry.flac" in said(app))
        drawn = said(app).replace("夜の港", "").replace("Å", "")
        assert drawn.isascii(), [sign for sign in drawn if not sign.isascii()]


# -- the keys of the table --


@pytest.mark.usefixtures("made_up_songs")
async def test_problems_come_first_and_by_name_again(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_songs(pilot, app)
        await pilot.press("exclamation_mark")
        assert [line[:4] for line in screen_rows(app)[:4]] == ["✗ 13", "▲ 04", "▲ 14", "✓ 01"]
        await pilot.press("exclamation_mark")
        assert screen_rows(app)[0].startswith("✓ 01")


@pytest.mark.usefixtures("made_up_songs")
async def test_the_filter_acts_while_typing_and_escape_clears_it(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        await pilot.press("slash", *"lyrics", "space", *"none")
        await until(pilot, lambda: [line[:4] for line in screen_rows(app)] == ["▲ 04", "▲ 14"])
        assert "1–2 of 2" in said(app)
        await pilot.press("enter")
        assert isinstance(app.focused, SongRows)
        await pilot.press("slash", *"xyz")
        await until(pilot, lambda: "Nothing matches" in said(app))
        await pilot.press("escape")
        await until(pilot, lambda: len(step.shown) == 24)
        assert isinstance(app.focused, SongRows)
        await pilot.press("slash", *"ja")
        await until(pilot, lambda: [line[:4] for line in screen_rows(app)] == ["✓ 11"])


@pytest.mark.usefixtures("made_up_songs")
async def test_space_leaves_a_song_out_and_takes_it_back(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        await pilot.press("down", "space")
        assert screen_rows(app)[1].startswith("○ 02 Harbour Lights.flac")
        assert screen_rows(app)[1].endswith("left out")
        assert "✓ 20 ready" in said(app) and "○ 1 left out" in said(app)
        assert step.facts.songs is not None and step.facts.songs.num_usable == 22
        assert step.facts.data is not None and len(step.facts.data.clip_s) == 22
        assert step.draft.left_out == {"02 Harbour Lights.flac"}
        await pilot.press("space")
        assert screen_rows(app)[1].startswith("✓ 02 Harbour Lights.flac")
        assert step.draft.left_out == frozenset()


@pytest.mark.usefixtures("made_up_songs")
async def test_i_marks_a_song_as_without_voice(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        await pilot.press("down", "down", "down", "i")
        assert screen_rows(app)[3].startswith("✓ 04 Paper Lanterns.flac")
        assert "instrumental" in screen_rows(app)[3]
        assert "1 song has no lyrics." in said(app)
        assert step.draft.no_voice == {"04 Paper Lanterns.flac"}
        # What is no song has no voice to speak of.
        step.select(12)
        await pilot.press("i")
        assert step.draft.no_voice == {"04 Paper Lanterns.flac"}


@pytest.mark.usefixtures("made_up_songs")
async def test_enter_and_a_click_open_the_song_and_escape_comes_back(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, SongScreen))
        assert "02 Harbour Lights.flac" in screen_text(app)[1]
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is step.screen)
        await pilot.click(SongRows, offset=(5, 4))
        await until(pilot, lambda: isinstance(app.screen, SongScreen))
        assert "05 Tide Table.mp3" in screen_text(app)[1]


async def test_rescan_looks_again_and_keeps_the_cursor_on_its_song(tmp_path, made_up_songs):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        await pilot.press("down", "down", "down")
        more = row("00 Overture.flac", "1:00", "strings", 4, "en")
        made_up_songs(replace(SCAN, rows=(more, *SCAN.rows), num_done=25, num_total=25))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "25 songs" in said(app))
        assert step.selected.row.name == "04 Paper Lanterns.flac"
        await until(pilot, lambda: step.duplicates is not None)


@pytest.mark.usefixtures("made_up_songs")
async def test_a_file_that_is_another_one_again_is_said(tmp_path, monkeypatch):
    same = {("songs", "03 Salt and Static.wav"): "01 Night Ferry.flac"}
    monkeypatch.setattr(dataset, "find_duplicates", lambda rows, should_stop: same)
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(120, 40)) as pilot:
        await open_songs(pilot, app)
        await until(pilot, lambda: screen_rows(app)[2].startswith("▲ 03"))
        assert "the same as 01 Night Fe" in screen_rows(app)[2]


@pytest.mark.usefixtures("made_up_songs")
async def test_a_song_that_clips_is_said_once_it_was_heard(tmp_path, monkeypatch):
    key = ("songs", "03 Salt and Static.wav")
    found = {key: (Problem(key[1], "warning", "clipped", "clips 3.1 %"),)}
    monkeypatch.setattr(dataset, "hear_songs", lambda rows, on_news, should_stop: on_news(found))
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(120, 40)) as pilot:
        await open_songs(pilot, app)
        await until(pilot, lambda: screen_rows(app)[2].startswith("▲ 03"))
        assert "clips 3.1 %" in screen_rows(app)[2]


# -- real folders --


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Four files: a song, the same without lyrics, one without caption, one that is no audio."""
    monkeypatch.setenv("ACESTEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(wizard_module, "make_step", lambda key: QuietModel() if key == "model" else make_step(key))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "album"
    folder.mkdir()
    tone = 0.1 * np.sin(np.arange(16_000) / 10).astype(np.float32)
    for name in ("a", "b", "c"):
        soundfile.write(folder / f"{name}.wav", tone, 8000)
    (folder / "d.wav").write_bytes(b"no audio at all")
    for name in ("a", "b", "d"):
        (folder / f"{name}.txt").write_text("rock, loud")
    (folder / "a.lyrics").write_text("[verse]\nThe river takes the evening light\nand carries it away\n")
    return folder


def empty_draft():
    """At the songs, none named yet."""
    draft = night_ferry("dataset")
    draft.source = ""
    draft.layers["yours"].pop("instance_data_dir")
    return draft


async def step_of(pilot, app) -> DatasetStep:
    """The page, whatever it knows."""
    step = (await ready(pilot, app)).step
    assert isinstance(step, DatasetStep)
    return step


async def test_a_typed_folder_is_scanned_and_becomes_the_drafts(tmp_path, album):
    app = wizard_app(tmp_path, empty_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        assert step.problems() == ["Type the folder of your songs first, or demo:songs."]
        assert isinstance(app.focused, FolderField)
        await pilot.press(*"albu")
        await until(pilot, lambda: app.focused._completion is not None and app.focused._completion.typed == "albu")
        await pilot.press("tab")
        await until(pilot, lambda: step.scan is not None and step.scan.is_done)
        await until(pilot, lambda: step.duplicates is not None)
        assert step.draft.value("instance_data_dir") == str(album)
        assert [line[:7] for line in screen_rows(app)] == ["✓ a.wav", "▲ b.wav", "✗ c.wav", "✗ d.wav"]
        assert "the same as a.wav" in screen_rows(app)[1]
        assert "4 songs" in said(app) and "✗ 1 unreadable" in said(app)
        assert step.facts.songs.num_usable == 2 and step.facts.example is not None
        # Whoever types keeps the field; enter goes on to the table.
        assert isinstance(app.focused, FolderField)
        await pilot.press("enter")
        assert isinstance(app.focused, SongRows)
        assert step.problems() == []


async def test_tab_goes_on_to_the_songs_where_nothing_is_left_to_complete(tmp_path, album):
    app = wizard_app(tmp_path, empty_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        field = step.query_one(FolderField)
        await pilot.press(*"ALB")
        await until(pilot, lambda: field._completion is not None and field._completion.typed == "ALB")
        await pilot.press("tab")
        await until(pilot, lambda: field.typed == "album/" and field._completion.typed == "album/")
        # Songs are no continuation of a path.
        assert field._completion.names == () and "a.wav  " not in screen_text(app)[4]
        await pilot.press("tab")
        await until(pilot, lambda: isinstance(app.focused, SongRows))
        await until(pilot, lambda: len(screen_rows(app)) == 4)
        await pilot.press("!")
        assert field.typed == "album/" and screen_rows(app)[0].startswith("✗")
    # A folder in the folder of songs does not take the tab either.
    (album / "covers").mkdir()
    app = wizard_app(tmp_path, empty_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        field = step.query_one(FolderField)
        field.put("album/")
        await until(pilot, lambda: len(step.table.rows) == 4 and field._completion is not None)
        await pilot.press("tab")
        assert isinstance(app.focused, SongRows) and field.typed == "album/"


async def test_the_picker_fills_the_field(tmp_path, album):
    app = wizard_app(tmp_path, empty_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        step.query_one(FolderField).put(str(album.parent))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(app.screen, BrowseDialog) and app.screen.facts.listed is not None)
        await pilot.press(*"albu", "enter")
        await until(pilot, lambda: app.screen.folder == album)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: step.draft.value("instance_data_dir") == str(album))
        await until(pilot, lambda: step.scan is not None and step.scan.is_done and len(step.table.rows) == 4)
        await until(pilot, lambda: isinstance(app.focused, SongRows))


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("nowhere/at/all", "No such folder: nowhere/at/all"),
        ("someone/some-songs", "the hub data set of that name is not on this computer Fetch it with: hf download"),
        ("album/a.wav", "a.wav is one song"),
        ("env=GONE", "GONE"),
        ("empty", "No audio file in"),
    ],
)
async def test_what_cannot_be_used_says_why_and_keeps_from_going_on(tmp_path, album, typed, words):
    (tmp_path / "empty").mkdir()
    app = wizard_app(tmp_path, empty_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        step.query_one(FolderField).put(typed)
        await until(pilot, lambda: step.scan is not None and step.scan.error is not None)
        await pilot.pause()
        assert words in said(app), said(app)
        assert len(step.problems()) == 1
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert step.draft.step == "dataset" and step.facts.songs.num_usable == 0


async def test_a_hub_data_set_is_found_once_it_was_fetched(tmp_path, album, monkeypatch):
    monkeypatch.setattr("engine.dataset.hub_folder.hub_cache", lambda _: tmp_path / "hub")
    app = wizard_app(tmp_path, empty_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        step.query_one(FolderField).put("someone/some-songs")
        await until(pilot, lambda: step.scan is not None and step.scan.error is not None)
        storage = tmp_path / "hub" / "datasets--someone--some-songs"
        snapshot = storage / "snapshots" / ("0" * 40)
        snapshot.parent.mkdir(parents=True)
        album.rename(snapshot)
        (storage / "refs").mkdir()
        (storage / "refs" / "main").write_text("0" * 40)
        (snapshot / "metadata.jsonl").write_text('{"file_name": "a.wav", "tags": ["calm"], "lyrics": "la"}')
        await pilot.press("ctrl+r")
        await until(pilot, lambda: step.scan is not None and step.scan.is_done and len(step.table.rows) == 1)
        assert step.table.rows[0].caption == "calm"
        (entry,) = step.draft.value("data_backend_config")
        assert entry["dataset_name"] == "someone/some-songs"


async def test_a_list_of_data_sets_and_a_configuration_are_understood(tmp_path, album):
    sets = [{"id": "one", "type": "local", "dataset_type": "audio", "instance_data_dir": str(album)}]
    (tmp_path / "multidatabackend.json").write_text(json.dumps(sets))
    kept = tmp_path / "config" / "ferry"
    kept.mkdir(parents=True)
    (kept / "config.json").write_text(json.dumps({"data_backend_config": str(tmp_path / "multidatabackend.json")}))
    app = wizard_app(tmp_path, empty_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        step.query_one(FolderField).put("multidatabackend.json")
        await until(pilot, lambda: len(step.table.rows) == 4)
        assert step.draft.value("data_backend_config") == str(tmp_path / "multidatabackend.json")
        step.query_one(FolderField).put("env=ferry")
        await until(pilot, lambda: step.draft.source == "env=ferry")
        await until(pilot, lambda: step.scan.is_done and len(step.table.rows) == 4)


async def test_nothing_usable_is_a_list_of_reasons(tmp_path, album):
    for name in ("a", "b"):
        (album / f"{name}.txt").unlink()
    app = wizard_app(tmp_path, empty_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        step.query_one(FolderField).put("album")
        await until(pilot, lambda: len(step.table.rows) == 4 and step.scan.is_done)
        await pilot.pause()
        assert "None of the 4 files can be used" in said(app)
        assert "1 cannot be read" in said(app) and "3 have no caption" in said(app)
        assert step.problems() and "None of the 4 files" in step.problems()[0]


async def test_a_folder_that_goes_away_is_said_and_found_again(tmp_path, album):
    draft = night_ferry("dataset")
    draft.set_source("album", "instance_data_dir", str(album))
    app = wizard_app(tmp_path, draft)
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        assert len(step.table.rows) == 4
        moved = album.rename(tmp_path / "elsewhere")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "is not there any more" in said(app))
        assert step.problems()
        shutil.move(moved, album)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(step.table.rows) == 4 and step.scan.is_done)
        assert step.problems() == []


async def test_a_draft_finds_its_songs_wherever_it_is_opened(tmp_path, album, monkeypatch):
    draft = night_ferry("dataset")
    draft.set_source("album", "instance_data_dir", str(album))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    app = wizard_app(tmp_path, draft)
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        assert len(step.table.rows) == 4
        assert isinstance(app.focused, SongRows)


async def test_another_path_stops_the_scan_before(tmp_path, made_up_songs, monkeypatch):
    begun, stopped = threading.Event(), threading.Event()

    def endless(config, *, cwd, on_news, should_stop):
        on_news(SongScan(rows=SCAN.rows[:3], num_done=3, num_total=24))
        begun.set()
        while not should_stop():
            time.sleep(0.01)
        stopped.set()
        raise ScanStopped

    quick = dataset.scan_songs
    monkeypatch.setattr(dataset, "scan_songs", endless)
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        await until(pilot, lambda: begun.is_set() and "scanning 3 of 24" in said(app))
        assert step.problems() == []
        assert len(screen_rows(app)) == 3
        monkeypatch.setattr(dataset, "scan_songs", quick)
        step.query_one(FolderField).focus()
        await pilot.press("x")
        await until(pilot, stopped.is_set)
        await until(pilot, lambda: "24 songs" in said(app))
        assert step.draft.source.endswith("x")


async def test_a_scan_that_breaks_off_waits_for_nothing_and_can_be_tried_again(tmp_path, made_up_songs, monkeypatch):
    def broken(config, *, on_news, **_):
        on_news(SongScan(rows=SCAN.rows[:3], num_done=3, num_total=24))
        raise KeyError("samplerate")

    quick, read = dataset.scan_songs, dataset.read_source
    monkeypatch.setattr(dataset, "scan_songs", broken)
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await step_of(pilot, app)
        await until(pilot, lambda: "✗ These songs could not be looked at" in said(app))
        assert not step.facts.is_scanning and "scanning" not in said(app)
        assert step.problems() == ["These songs could not be looked at"]
        monkeypatch.setattr(dataset, "scan_songs", quick)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "24 songs" in said(app) and step.problems() == [])

        def unreadable(text, cwd):
            raise RecursionError("deep")

        monkeypatch.setattr(dataset, "read_source", unreadable)
        step.query_one(FolderField).focus()
        await pilot.press("x")
        await until(pilot, lambda: "✗ These songs could not be looked at" in said(app))
        monkeypatch.setattr(dataset, "read_source", read)
        await pilot.press("y")
        await until(pilot, lambda: "24 songs" in said(app))


# -- many songs, and what is kept --


async def test_a_thousand_songs_answer_each_key_at_once(tmp_path, made_up_songs):
    rows = tuple(row(f"{number:04} Song.flac", "3:20", "rock", 20, "en") for number in range(1000))
    made_up_songs(replace(SCAN, rows=rows, num_done=1000, num_total=1000))
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(120, 40)) as pilot:
        step = await open_songs(pilot, app)
        assert "1,000 songs" in said(app)
        table = step.query_one(SongRows)
        for act in (
            table.action_down,
            table.action_page_down,
            table.action_last,
            table.action_first,
            table.action_leave_out,
            table.action_no_voice,
            table.action_toggle_problems,
        ):
            # The time of this thread alone: other programs on the machine do not count.
            begun = time.thread_time()
            act()
            assert time.thread_time() - begun < 0.1, act.__name__
        begun = time.thread_time()
        step.wanted = "0999"
        step._show()
        assert time.thread_time() - begun < 0.1
        assert len(step.shown) == 1


async def test_marks_are_kept_in_the_draft_and_come_into_the_preset(tmp_path, made_up_songs):
    saved = tmp_path / "night-ferry.json"
    app = wizard_app(tmp_path, songs_draft(), path=saved)
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        await pilot.press("space", "down", "down", "down", "i")
        preset = to_preset(step.draft)
        assert list(preset["exclude_files"]) == ["01 Night Ferry.flac"]
        assert list(preset["instrumental_files"]) == ["04 Paper Lanterns.flac"]
        await until(pilot, lambda: saved.exists() and "Paper Lanterns" in saved.read_text())
    kept, _ = load_draft(saved)
    assert kept.left_out == {"01 Night Ferry.flac"} and kept.no_voice == {"04 Paper Lanterns.flac"}
    again = wizard_app(tmp_path, kept)
    async with again.run_test(size=(80, 24)) as pilot:
        await open_songs(pilot, again)
        assert screen_rows(again)[0].startswith("○ 01") and screen_rows(again)[3].startswith("✓ 04")
