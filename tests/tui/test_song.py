"""One song in full: beside its mock-up, every key, everything that can be wrong with a song."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from rich.cells import cell_len

from acestep_tui.screens import song as song_module
from acestep_tui.screens import wizard as wizard_module
from acestep_tui.screens.song import SongScreen
from acestep_tui.screens.song_page import lyric_lines, narrow_page, wide_page
from acestep_tui.screens.song_sound import SongView, sound_lines
from acestep_tui.wizard.song_detail import SongDetail
from acestep_tui.wizard.song_text import CaptionText, LyricLine, LyricsText, read_lyrics_text
from acestep_tui.wizard.songs import SongTable
from acestep_tui.wizard.steps.dataset import DatasetStep
from acestep_tui.wizard.steps.make import make_step
from engine.dataset.sound_facts import SoundFacts
from engine.planning.data_facts import SongUse
from tests.tui.harness import SIZES, screen_text, until
from tests.tui.mockup import compare
from tests.tui.song_facts import ROWS, SCAN, made_up_songs, open_songs, songs_draft, wizard_app
from tests.tui.wizard_facts import QuietModel, mockup_numbers, night_ferry, quiet_pages

__all__ = ["made_up_songs", "mockup_numbers", "quiet_pages"]

_MORE = "the real screen says that more lines follow, and how to get there"
_GROUP = "a group is trained at one length, so the row names that instead of a range"
_LINES = "the mock-up stops after 11 of its 29 lines; the real screen goes on with them as far as the page goes"
EXPLAINED: dict[str, dict[int, str]] = {
    "song-detail-80x24": {17: _MORE},
    "song-detail-120x40": {23: _GROUP, **dict.fromkeys(range(32, 39), _LINES), 39: _MORE},
}
_LYRICS: tuple[LyricLine, ...] = (
    LyricLine("[verse]", num_tokens=3),
    LyricLine("夜の港に 灯りがともる", "ja", num_tokens=13),
    LyricLine("君の声が 波にほどける", "ja", num_tokens=24),
    LyricLine("Goodbye, goodbye, harbour lights", "en", num_tokens=9),
    LyricLine(""),
    LyricLine("[chorus]", num_tokens=3),
    LyricLine("泣かないで 船が出る前に", "ja", num_tokens=23),
    LyricLine("もう一度だけ 名前を呼んで", "ja", num_tokens=16),
    LyricLine(""),
    LyricLine("[verse]", num_tokens=3),
    LyricLine("霧笛が遠く 胸をたたく", "ja", num_tokens=20),
    LyricLine("手紙は海へ 流してしまった", "ja", num_tokens=18),
    LyricLine(""),
    LyricLine("[chorus]", num_tokens=3),
    LyricLine("泣かないで 船が出る前に", "ja", num_tokens=12),
    LyricLine("もう一度だけ 名前を呼んで", "ja", num_tokens=14),
    LyricLine(""),
    *(LyricLine("霧笛が遠く 胸をたたく", "ja", num_tokens=20) for _ in range(19)),
    LyricLine("the very last line", "ja", num_tokens=5),
)
_CAPTION = "city pop, female voice, slap bass, warm analog synths, night drive, 104 bpm"
_SOUND = SoundFacts(
    44_100, 2, 216.0, tuple(0.2 + 0.7 * (place % 17) / 17 for place in range(256)), 0.9, 0.0, 0.0, loudness_lufs=-11.2
)


def made_up_detail(row, **_):
    """The mock-up's song."""
    return SongDetail(
        row=row,
        caption=CaptionText(_CAPTION, 19, 256),
        caption_source="11 夜の港.txt, 1 of 3 captions; one is drawn each time",
        lyrics=LyricsText(_LYRICS, 412) if row.song is not None and row.song.lyrics else LyricsText(),
        use=SongUse(213.0),
        group="songs of 3:33 (2 songs)",
        prepared_bytes=52 << 20,
        heard=91,
    )


@pytest.fixture
def made_up_song(monkeypatch, made_up_songs):
    """No thread reads or decodes anything that is not there."""
    rows = [
        replace(one, song=replace(one.song, captions=(_CAPTION,))) if one.name.startswith("11") else one for one in ROWS
    ]
    made_up_songs(replace(SCAN, rows=tuple(rows)))
    monkeypatch.setattr(song_module, "song_detail", made_up_detail)
    monkeypatch.setattr(song_module, "listen", lambda path, should_stop: _SOUND)
    return made_up_songs


async def open_song(pilot, app, number: int) -> SongScreen:
    """The song of a number, as found from the table."""
    step = await open_songs(pilot, app)
    step.select(number - 1)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, SongScreen))
    screen = app.screen
    await until(pilot, lambda: screen.view is not None and screen.view.detail is not None)
    await until(pilot, lambda: screen.view.sound is not None or screen.view.shown.row.song is None)
    await pilot.pause()
    return screen


def said(app) -> str:
    """The whole screen as one text."""
    return " ".join(" ".join(screen_text(app)).split())


# -- its look --


@pytest.mark.usefixtures("mockup_numbers", "made_up_song")
@pytest.mark.parametrize("name", EXPLAINED)
async def test_the_page_is_its_mockup(tmp_path, name):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=SIZES[name.rpartition("-")[2]]) as pilot:
        await open_song(pilot, app, 11)
        compare(screen_text(app), name, EXPLAINED[name])


@pytest.mark.usefixtures("made_up_song")
@pytest.mark.parametrize("size", [(100, 30), (60, 20), (120, 24), (45, 9)])
async def test_at_every_size_all_of_it_can_be_reached(tmp_path, size):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=size) as pilot:
        await open_song(pilot, app, 11)
        seen = said(app)
        pages = 0
        while "more: pgdn" in said(app):
            await pilot.press("pagedown")
            pages += 1
            seen += said(app)
            assert all(cell_len(line) <= size[0] for line in screen_text(app))
        for words in ("[verse]", "the very last line", "about 91 times", "duplicate of none", "every line is read"):
            assert words in seen, words
        assert pages and "above: pgup" in said(app)
        await pilot.press(*["pageup"] * pages)
        assert "above: pgup" not in said(app)


@pytest.mark.usefixtures("made_up_song")
async def test_a_tiny_terminal_keeps_a_line_and_ascii_has_no_other_signs(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = wizard_app(tmp_path, songs_draft(), glyphs="ascii")
    async with app.run_test(size=(80, 24)) as pilot:
        await open_song(pilot, app, 1)
        await pilot.press("down")
        drawn = [line for line in screen_text(app) if "ja " not in line]
        strange = [sign for line in drawn for sign in line if not sign.isascii()]
        assert strange == []
        await pilot.resize_terminal(30, 6)
        await until(pilot, lambda: said(app).startswith("02 Harbour Lights.flac + r"))


# -- its keys --


@pytest.mark.usefixtures("made_up_song")
async def test_up_and_down_go_through_the_songs_as_filtered(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        await pilot.press("slash", *"wav")
        await until(pilot, lambda: len(step.shown) == 2)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, SongScreen))
        screen = app.screen
        await until(pilot, lambda: "song 1 of 2" in said(app))
        assert screen.view.shown.row.name == "03 Salt and Static.wav"
        await pilot.press("pagedown", "down")
        assert screen.view.shown.row.name == "09 Signal Fires.wav" and "song 2 of 2" in said(app)
        await until(pilot, lambda: screen.view.detail is not None)
        await pilot.pause()
        assert "[verse]" in said(app)
        await pilot.press("down")
        assert screen.view.shown.row.name == "09 Signal Fires.wav"
        await pilot.press("up", "up", "down", "escape")
        await until(pilot, lambda: app.screen is step.screen)
        assert step.selected.row.name == "09 Signal Fires.wav"


@pytest.mark.usefixtures("made_up_song")
async def test_marks_act_here_as_in_the_table(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_song(pilot, app, 1)
        draft = screen._songs.draft
        await pilot.press("space")
        await until(pilot, lambda: "○ left out" in said(app))
        assert draft.left_out == {"01 Night Ferry.flac"}
        await until(pilot, lambda: "space Take back" in said(app))
        await pilot.press("space", "i")
        await until(pilot, lambda: "no voice, as you marked it" in said(app))
        await until(pilot, lambda: "i Has voice" in said(app) and "[verse]" not in said(app))
        assert draft.no_voice == {"01 Night Ferry.flac"} and draft.left_out == frozenset()
        await pilot.press("i")
        await until(pilot, lambda: "[verse]" in said(app))


@pytest.mark.usefixtures("made_up_song")
async def test_a_mark_that_filters_the_song_out_leaves_it_on_the_page(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        step = await open_songs(pilot, app)
        await pilot.press("slash", *"ready", "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, SongScreen) and "song 1 of 21" in said(app))
        await pilot.press("space")
        await until(pilot, lambda: "song – of 20" in said(app) and "○ left out" in said(app))
        await pilot.press("down")
        assert app.screen.view.shown.row.name == "02 Harbour Lights.flac"
        assert step.selected.row.name == "02 Harbour Lights.flac"


@pytest.mark.usefixtures("made_up_song")
async def test_y_copies_the_path(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_song(pilot, app, 13)
        await pilot.press("y")
        assert app.clipboard == "/home/mara/music/night-ferry/13 Lighthouse demo.m4a"


@pytest.mark.usefixtures("made_up_song")
async def test_a_file_that_is_no_song_says_why_and_offers_no_voice_no_more(tmp_path):
    app = wizard_app(tmp_path, songs_draft())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_song(pilot, app, 13)
        assert "✗ cannot be read" in said(app) and "damaged after 0.4 s" in said(app)
        assert "No voice" not in said(app)


# -- real files --


@pytest.fixture
def album(tmp_path, monkeypatch):
    """A loud song with caption and lyrics, a silent one that has neither."""
    monkeypatch.setenv("ACESTEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(wizard_module, "make_step", lambda key: QuietModel() if key == "model" else make_step(key))
    folder = tmp_path / "album"
    folder.mkdir()
    tone = np.sin(np.arange(24_000) / 10)
    soundfile.write(folder / "a.wav", np.clip(2 * tone, -1, 1).astype(np.float32), 8000)
    soundfile.write(folder / "b.wav", np.zeros((24_000, 2), np.float32), 8000)
    (folder / "a.txt").write_text("rock, loud")
    (folder / "a.lyrics").write_text("[verse]\nThe river takes the evening light\n\nand carries it 𓀀 away\n")
    return folder


def album_draft(folder):
    """At the songs of the album."""
    draft = night_ferry("dataset")
    draft.set_source(str(folder), "instance_data_dir", str(folder))
    return draft


async def test_a_song_is_read_and_heard(tmp_path, album):
    app = wizard_app(tmp_path, album_draft(album))
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_song(pilot, app, 1)
        await until(pilot, lambda: "▲ clips" in said(app))
        assert "8 kHz mono wav → 48 kHz stereo" in said(app)
        assert "– tokens: the model is not here yet" in said(app)
        assert "and carries it 𓀀 away" in said(app)
        assert "tokens is a sign the model does not know" in said(app)
        assert "Length 0:03, trained whole" in said(app)
        # What listening found stands in the table, too.
        assert screen._songs.table.rows[0].worst == "clipped"
        assert any("⣿" in line for line in screen_text(app))


async def test_the_editor_gets_caption_and_lyrics_and_the_song_is_read_again(tmp_path, album, monkeypatch):
    monkeypatch.setenv("VISUAL", f"{sys.executable} {_editor(tmp_path)}")
    app = wizard_app(tmp_path, album_draft(album))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_song(pilot, app, 2)
        assert "✗ no caption" in said(app)
        monkeypatch.setattr(app, "suspend", contextlib.nullcontext)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "hymn, slow" in said(app) and "en 21" in said(app))
        assert (album / "b.txt").read_text() == "hymn, slow"
        await until(pilot, lambda: screen.view.shown.row.song is not None and screen.view.sound is not None)
        await until(pilot, lambda: "all of it silent" in said(app))
        assert screen.view.shown.note == "silent" and screen._songs.selected.row.name == "b.wav"


def _editor(tmp_path):
    """A program that writes into the first file it is given, and into the second."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        "caption, lyrics = map(pathlib.Path, sys.argv[1:])\n"
        "caption.write_text('hymn, slow')\n"
        "lyrics.write_text('Abide with me, fast falls the eventide')\n"
    )
    return script


@pytest.mark.parametrize(
    ("editor", "words"), [("/no/such/editor", "could not be started"), ("false", "ended with code 1")]
)
async def test_an_editor_that_fails_is_said(tmp_path, album, monkeypatch, editor, words):
    monkeypatch.setenv("VISUAL", editor)
    app = wizard_app(tmp_path, album_draft(album))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await open_song(pilot, app, 1)
        # Without a terminal there is nothing to give to the editor.
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "cannot make room" in said(app))
        monkeypatch.setattr(app, "suspend", contextlib.nullcontext)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: words in said(app))
        step = app.screen._songs
        assert isinstance(step, DatasetStep)
        await until(pilot, lambda: step.duplicates is not None)


async def test_a_song_that_goes_away_says_so(tmp_path, album):
    app = wizard_app(tmp_path, album_draft(album))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_songs(pilot, app)
        (album / "a.wav").unlink()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SongScreen) and app.screen.view.sound_problem != "")
        await until(pilot, lambda: "Sound ✗" in said(app))


# -- lines --


def view_of(lyrics: LyricsText, caption: CaptionText | None = None) -> SongView:
    """A page of these texts."""
    row = ROWS[0]
    text = caption if caption is not None else CaptionText(row.caption, 5, 256)
    row = replace(row, song=replace(row.song, captions=(text.text,)))
    return SongView(SongTable((row,)).show(row), SongDetail(row, text, "a.txt", lyrics))


def test_the_right_column_is_straight_in_every_script():
    lyrics = read_lyrics_text(
        "夜の港に 灯りがともる\nשלום עולם\nمرحبا می\u200cروم\nGoodbye\né́ combining\n" + "long " * 40
    )
    ends = [line for line in lyric_lines(view_of(lyrics), 40) if line.plain[-1].isdigit()]
    assert len(ends) == 6
    assert {line.cell_length for line in ends} == {40}
    # Wide letters are two cells each, joiners none: the numbers end in one column.
    assert all(cell_len(line.plain) == 40 for line in ends)


def test_signs_the_model_does_not_know_stand_out():
    lyrics = read_lyrics_text("hello 𓀀 world")
    assert lyrics.lines[0].unknown == "𓀀"
    line = lyric_lines(view_of(lyrics), 40)[0]
    marked = [line.plain[span.start : span.end] for span in line.spans if "$warning" in str(span.style)]
    assert marked == ["𓀀"]


def test_what_is_cut_off_a_caption_is_struck():
    text = "rock, " * 30
    view = view_of(LyricsText(), CaptionText(text, 300, 256, cut_at=90))
    for picture in (narrow_page(view, 78, 22), wide_page(view, 114, 38)):
        whole = "\n".join(line.plain for line in picture.lines)
        assert "300 of 256 tokens" in whole and "The caption is cut after 256 tokens." in whole
        struck = [
            line.plain[span.start : span.end]
            for line in picture.lines
            for span in line.spans
            if "strike" in str(span.style)
        ]
        assert sum(len(part.strip()) for part in struck) >= 80


def test_what_is_not_known_yet_shows_its_place():
    row = ROWS[0]
    view = SongView(SongTable((row,)).show(row))
    page = "\n".join(line.plain for line in narrow_page(view, 78, 22).lines)
    for words in ("loudness –", "clipping –, silence –", "seen –", "prepared –", "duplicate of –"):
        assert words in page, words
    wide = "\n".join(line.plain for line in wide_page(view, 114, 38).lines)
    assert "Seen              –" in wide and "Group             –" in wide


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"clipped_share": 0.013}, "▲ clips 1.3 %"),
        ({"clipped_share": 0.004}, "✓ clips 0.4 %, no silence"),
        ({"silent_share": 0.4}, "✓ no clipping, 40 % silence"),
        ({"peak": 0.0, "loudness_lufs": None}, "▲ all of it silent"),
        ({"problem": "damaged after 0.4 s"}, "▲ damaged after 0.4 s"),
    ],
)
def test_the_sound_is_judged(change, words):
    row = ROWS[0]
    view = SongView(SongTable((row,)).show(row), sound=replace(_SOUND, **change))
    assert words in " ".join(line.plain for line in sound_lines(view, 78))
