"""The scan of a draft's songs: rows as they are found, stoppable, with every failure in words."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.preset import planned_config
from acestep_tui.wizard.song_messages import messages
from acestep_tui.wizard.song_scan import (
    ScanStopped,
    detect_languages,
    main_language,
    scan_key,
    scan_songs,
)
from acestep_tui.wizard.songs import SongTable
from acestep_tui.wizard.source import read_source


def never():
    return False


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.setenv("ACESTEP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "album"
    folder.mkdir()
    tone = 0.1 * np.sin(np.arange(8000) / 10).astype(np.float32)
    for name in ("a", "b", "c"):
        soundfile.write(folder / f"{name}.wav", tone, 8000)
    (folder / "a.txt").write_text("rock")
    (folder / "a.lyrics").write_text("[verse]\nThe river takes the evening light\nand carries it away\n")
    (folder / "b.txt").write_text("pop")
    return folder


def draft_of(folder) -> Draft:
    draft = Draft()
    draft.set_source(str(folder), "instance_data_dir", str(folder), album="album")
    return draft


def scan(draft, cwd, **more):
    options = {"on_news": lambda _: None, "should_stop": never, **more}
    return scan_songs(planned_config(draft), cwd=cwd, **options)


def test_a_scan_makes_a_row_of_each_file(album):
    draft, news = draft_of(album), []
    found = scan(draft, album, on_news=news.append)
    assert (found.is_done, found.error, found.num_done, found.num_total) == (True, None, 3, 3)
    assert [(row.name, row.song is not None, row.worst, row.lyrics_name) for row in found.rows] == [
        ("a.wav", True, "", "a.lyrics"),
        ("b.wav", True, "no_lyrics", "b.lyrics"),
        ("c.wav", False, "no_caption", "c.lyrics"),
    ]
    assert all(not one.is_done for one in news)
    assert found.table(draft).counts().num_usable == 2


def test_marks_do_not_need_another_scan_but_captions_do(album):
    draft = draft_of(album)
    before = scan_key(draft)
    draft.toggle_left_out("a.wav")
    draft.toggle_no_voice("b.wav")
    draft.set("lora_rank", 8)
    assert scan_key(draft) == before
    draft.set("caption_strategy", "filename")
    assert scan_key(draft) != before
    assert scan(draft, album).table(draft).counts().num_usable == 2
    assert [row.worst for row in scan(draft, album).rows] == ["", "no_lyrics", "no_lyrics"]


def test_the_plan_gets_what_is_trained(album):
    draft = draft_of(album)
    found = scan(draft, album)
    assert found.data(draft).num_songs == 2
    draft.toggle_left_out("a.wav")
    assert found.data(draft).clip_s == (1.0,)
    draft.set("audio_max_duration_seconds", 0.25)
    assert found.data(draft).clip_s == (0.25,) * 4


def test_a_scan_can_be_stopped_between_files(album):
    asked = iter([False, False, True])
    with pytest.raises(ScanStopped):
        scan(draft_of(album), album, should_stop=lambda: next(asked))


def test_a_whole_disk_is_left_as_soon_as_nobody_waits(tmp_path):
    for number in range(50):
        (tmp_path / f"deep{number}").mkdir()
    calls = []

    def stop():
        calls.append(1)
        return len(calls) > 5

    with pytest.raises(ScanStopped):
        scan(draft_of(tmp_path), tmp_path, should_stop=stop)
    assert len(calls) == 6


def test_what_keeps_a_scan_from_beginning_is_said(album, tmp_path):
    gone = scan(draft_of(tmp_path / "gone"), tmp_path)
    assert gone.is_done and not gone.rows
    assert "no such folder" in gone.error.message
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "No audio file in" in scan(draft_of(empty), tmp_path).error.message


def test_with_rows_the_table_itself_shows_why_nothing_can_be_used(album):
    for name in ("a.txt", "b.txt"):
        (album / name).unlink()
    found = scan(draft_of(album), album)
    assert found.error is None
    assert len(found.rows) == 3
    assert found.table(draft_of(album)).counts().num_usable == 0


def test_a_list_of_data_sets_is_scanned_whole(album, tmp_path):
    (tmp_path / "list.json").write_text(
        '[{"id": "x", "instance_data_dir": "album"},'
        ' {"id": "y", "instance_data_dir": "album", "caption_strategy": "filename"}]'
    )
    draft = Draft()
    draft.set_source("list.json", "data_backend_config", str(tmp_path / "list.json"))
    found = scan(draft, tmp_path)
    assert [row.backend_id for row in found.rows] == ["x"] * 3 + ["y"] * 3
    assert found.table(draft).counts().num_usable == 5


def test_the_demos_songs_are_made_once_and_scanned_like_any_other(album):
    draft = Draft()
    draft.set_source("demo:songs", "instance_data_dir", "demo:songs", album="demo")
    found = scan(draft, album)
    counts = found.table(draft).counts()
    assert found.error is None
    assert (counts.num_files, counts.num_ready, counts.num_no_lyrics) == (12, 10, 1)


def test_languages_are_found_for_songs_with_words(album):
    found = scan(draft_of(album), album)
    languages = detect_languages(found.rows, on_news=lambda _: None, should_stop=never)
    assert languages == {("songs", "a.wav"): "en"}
    assert SongTable(found.rows).with_languages(languages).visible()[0].language == "en"
    with pytest.raises(ScanStopped):
        detect_languages(found.rows, on_news=lambda _: None, should_stop=lambda: True)


@pytest.mark.parametrize(
    ("lyrics", "language"),
    [
        (
            (
                "Jag går vid havet när natten faller\noch vinden viskar ditt namn över vågorna\n"
                "ljusen på andra sidan fjärden\nkallar mig hem igen till dig"
            ),
            "sv",
        ),
        ("夜の港に 灯りがともる\n君の声が 波にほどける\nGoodbye", "ja"),
        ("Glasregen fällt auf die schlafende Stadt\nUnd ich zähle die Lichter am Ufer", "de"),
        ("[verse]\nPaper kites above the town", "en"),
        ("[instrumental]", ""),
        ("", ""),
    ],
)
def test_the_language_of_a_song(lyrics, language):
    assert main_language(lyrics) == language


def test_a_hub_data_set_that_is_here_has_a_row_a_song(album, tmp_path):
    rows = [
        '{"file_name": "a.wav", "tags": ["calm", "piano"], "lyrics": "la"}',
        '{"file_name": "b.wav", "lyrics": ""}',
        '{"file_name": "gone.wav", "prompt": "x"}',
    ]
    (album / "metadata.jsonl").write_text("\n".join(rows))
    source = read_source(str(album), cwd=tmp_path)
    draft = Draft()
    draft.set_source(source.text, source.key, source.value, album=source.album)
    found = scan(draft, tmp_path)
    assert [(row.name, row.caption, row.worst, row.is_of_rows) for row in found.rows] == [
        ("a.wav", "calm, piano", "", True),
        ("b.wav", "", "no_caption", True),
        ("gone.wav", "", "not_found", True),
    ]
    told = " ".join(f"{one.text} {one.cure}" for one in messages(found.table(draft)))
    assert "Set audio_caption_fields of the data set" in told
    assert "no such file: gone.wav" in told and "Set audio_root of the data set" in told


def test_a_hub_data_set_that_is_not_here_says_how_to_fetch_it(tmp_path):
    draft = Draft()
    entry = {"id": "x", "type": "huggingface", "dataset_name": "someone/else", "revision": "v1"}
    draft.set_source("list", "data_backend_config", (entry,), album="x")
    found = scan(draft, tmp_path)
    assert found.error is not None and found.is_done
    assert "hf download --repo-type dataset someone/else --revision v1" in found.error.hint
