"""Hub data sets: every form, every kind of sound cell, captions and lyrics out of columns, rows that are one song."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from engine.contract.errors import DataError, ExitCode
from engine.dataset.audio_file import read_audio
from engine.dataset.report import Problem
from engine.dataset.scan import NothingUsableError, scan_backend
from tests.unit.dataset.conftest import tones
from tests.unit.dataset.hub_tables import converted, hub_backend, save_to_disk, write_parquet


@pytest.fixture
def demo(tmp_path, sounds):
    """A stand-in for the seed's demo data set: the same columns, sound as bytes in parquet."""
    rows = [
        {
            "prompt": f"song {number}, piano",
            "lyrics": words,
            "audio": {"bytes": sounds(suffix), "path": f"{number}{suffix}"},
            "audio_duration": 2.0,
            "score_lyrics": score,
        }
        for number, (suffix, words, score) in enumerate(
            [(".mp3", "[verse]\nla la", 0.9), (".wav", "", -1.0), (".flac", None, 0.5)]
        )
    ]
    return write_parquet(tmp_path / "demo", rows)


def test_the_demo_data_sets_columns_give_caption_and_lyrics_apart(demo, tmp_path):
    report = scan_backend(hub_backend(demo, tmp_path), demo)
    assert [(song.relative_path, song.format, song.captions, song.lyrics) for song in report.songs] == [
        ("0.wav", "mp3", ("song 0, piano",), "[verse]\nla la"),
        ("1.wav", "wav", ("song 1, piano",), None),
        ("2.wav", "flac", ("song 2, piano",), None),
    ]
    # An empty text is an instrumental; null is a song whose lyrics are missing.
    assert [(problem.file, problem.code) for problem in report.problems] == [("2.wav", "no_lyrics")]
    assert report.num_without_lyrics == 1
    assert all(song.duration_s == pytest.approx(2.0, abs=0.1) for song in report.songs)


def test_sound_is_unpacked_once_and_named_by_its_content(demo, tmp_path):
    told = []
    backend = hub_backend(demo, tmp_path)
    first = scan_backend(backend, demo, on_progress=lambda done, total: told.append((done, total)))
    assert told[:3] == [(1, 3), (2, 3), (3, 3)]
    files = sorted((tmp_path / "unpacked").glob("*.[mwf]*"))
    assert {file.suffix for file in files} == {".mp3", ".wav", ".flac"}
    before = {file: file.stat().st_ino for file in files}
    # Another look, and one from before whose list is lost: no song changes, so nothing is prepared anew.
    second = scan_backend(backend, demo)
    for index in (tmp_path / "unpacked").glob("rows-*.json"):
        index.write_text("{")
    third = scan_backend(backend, demo)
    assert first.songs == second.songs == third.songs
    assert {file: file.stat().st_ino for file in files} == before
    files[0].write_bytes(b"torn")
    assert scan_backend(backend, demo).songs == first.songs


def test_the_converters_folder_gives_one_song_for_all_its_copies(tmp_path, album):
    songs = album("a.mp3").parent / "album"
    album("b.mp3")
    folder = converted(
        tmp_path / "set",
        ["album/a.mp3", "album/b.mp3"],
        tags=[["a", "b"], ["rock"]],
        lyrics=["la la", ""],
        repeats=3,
    )
    report = scan_backend(
        hub_backend(folder, tmp_path, audio_caption_fields=("tags",), lyrics_column="norm_lyrics"), folder
    )
    assert [(song.relative_path, song.captions, song.lyrics, song.num_copies) for song in report.songs] == [
        ("album/a.mp3", ("a, b",), "la la", 3),
        ("album/b.mp3", ("rock",), None, 3),
    ]
    assert report.songs[0].path == songs / "a.mp3"
    assert [(problem.code, problem.reason) for problem in report.problems] == [
        ("rows_repeated", "6 rows are 2 songs: each counts as often as it stands there")
    ]


@pytest.mark.parametrize("place", ["working folder", "data set", "above", "audio_root"])
def test_relative_paths_start_in_four_places(tmp_path, album, place):
    album("a.mp3")
    base = tmp_path / "elsewhere"
    folder = {"data set": tmp_path, "above": tmp_path / "set"}.get(place, tmp_path / "far" / "set")
    converted(folder, ["album/a.mp3"], tags=[["x"]], lyrics=["la"], repeats=1)
    backend = hub_backend(
        folder,
        tmp_path if place == "working folder" else base,
        audio_root=tmp_path if place == "audio_root" else None,
    )
    assert [song.path for song in scan_backend(backend, folder).songs] == [tmp_path / "album" / "a.mp3"]


def test_rows_without_their_file_are_counted_and_named(tmp_path, album):
    album("a.mp3")
    folder = converted(
        tmp_path / "set",
        ["album/a.mp3", "gone.mp3", "/nowhere/else.mp3", "https://host/x.mp3"],
        tags=[["x"]] * 4,
        lyrics=["la"] * 4,
        repeats=2,
    )
    report = scan_backend(hub_backend(folder, tmp_path), folder)
    assert len(report.songs) == 1
    assert [(problem.file, problem.reason) for problem in report.left_out] == [
        ("gone.mp3", "left out: no such file: gone.mp3 in 2 folders; set audio_root (2 rows)"),
        ("nowhere/else.mp3", "left out: no such file: /nowhere/else.mp3 (2 rows)"),
        ("https:/host/x.mp3", "left out: a web address; only files on this computer are read (2 rows)"),
    ]
    assert "1 ready, 3 not found" in report.summary()


@pytest.mark.parametrize(
    ("columns", "row", "captions"),
    [
        ({}, {"caption": "c", "prompt": "p", "tags": ["t"]}, ("c",)),
        ({}, {"prompt": "p", "tags": ["t"]}, ("p",)),
        ({}, {"tags": ["a", "b"]}, ("a, b",)),
        ({}, {"description": "d"}, ("d",)),
        ({"fallback_caption_column": "f"}, {"f": "second", "description": "d"}, ("second",)),
        ({"caption_columns": ("x", "y.z")}, {"x": "one", "y": {"z": "two"}, "prompt": "p"}, ("one", "two")),
        ({"audio_caption_fields": ("tags",)}, {"caption": "c", "tags": ["a", "b"], "lyrics": "la"}, ("a, b",)),
        ({"audio_caption_fields": ("prompt", "tags")}, {"prompt": "p", "tags": ["a", "b"]}, ("p a, b",)),
        ({"audio_caption_fields": ("tags",)}, {"caption": "c", "tags": []}, ()),
        ({"audio_caption_fields": ("tags",), "fallback_caption_column": "c"}, {"c": "x", "tags": None}, ("x",)),
        ({}, {"caption": "  ", "lyrics": "never a caption"}, ()),
    ],
)
def test_the_order_of_caption_columns(tmp_path, album, columns, row, captions):
    (album("a.mp3") / "metadata.jsonl").write_text(
        json.dumps({"file_name": "a.mp3", **row}) + "\n" + json.dumps({"file_name": "a.mp3", "caption": "x"})
    )
    # The second row keeps the data set usable where the first has no caption; both are the same file.
    songs = (
        scan_backend(hub_backend(tmp_path / "album", tmp_path, **columns), tmp_path / "album").songs if captions else ()
    )
    assert not captions or songs[0].captions[: len(captions)] == captions
    if not captions:
        from engine.dataset.row_text import row_captions

        assert row_captions(row, hub_backend(tmp_path, tmp_path, **columns).rows) == ()


@pytest.mark.parametrize(
    ("row", "lyrics", "missing"),
    [
        ({"lyrics": "la"}, "la", 0),
        ({"lyrics": None, "norm_lyrics": "lo"}, "lo", 0),
        ({"norm_lyrics": "lo"}, "lo", 0),
        ({"lyrics": "", "norm_lyrics": "lo"}, None, 0),
        ({"lyrics": None}, None, 1),
        ({}, None, 1),
        ({"lyrics": "[00:01.00]la"}, "la", 0),
    ],
)
def test_null_lyrics_are_missing_and_empty_ones_an_instrumental(tmp_path, album, row, lyrics, missing):
    folder = album("a.wav", lyrics=None)
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "a.wav", "caption": "x", **row}))
    report = scan_backend(hub_backend(folder, tmp_path), folder)
    assert (report.songs[0].lyrics, report.num_without_lyrics) == (lyrics, missing)


def wav_bytes() -> bytes:
    out = io.BytesIO()
    soundfile.write(out, tones(440).T, 44_100, format="WAV")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["bytes", "path", "array", "channels"])
def test_every_kind_of_sound_cell(tmp_path, album, kind):
    album("a.wav")
    samples = tones(440, seconds=2.0)[0]
    cells = {
        "bytes": pa.array([wav_bytes()], type=pa.binary()),
        "path": pa.array(["album/a.wav"]),
        "array": pa.array([{"array": samples.tolist(), "sampling_rate": 44_100}]),
        "channels": pa.array([{"array": [samples.tolist()] * 2, "sampling_rate": 44_100}]),
    }
    folder = save_to_disk(tmp_path / "set", pa.table({"sound": cells[kind], "caption": ["x"]}))
    (song,) = scan_backend(hub_backend(folder, tmp_path, audio_column="sound"), folder).songs
    assert song.num_samples == 88_200
    heard, rate = read_audio(song.path)
    assert rate == 44_100
    if kind in ("array", "channels"):
        assert heard.shape[0] == (1 if kind == "array" else 2)
        assert np.array_equal(heard[0], samples.astype(np.float32))


def test_a_cell_of_bytes_and_path_without_bytes_names_a_file(tmp_path, album):
    album("a.wav")
    cells = [{"bytes": None, "path": "album/a.wav"}, {"bytes": None, "path": None}]
    folder = save_to_disk(tmp_path / "set", pa.table({"audio": cells, "caption": ["x", "y"]}))
    report = scan_backend(hub_backend(folder, tmp_path), folder)
    assert [song.path for song in report.songs] == [tmp_path / "album" / "a.wav"]
    assert [problem.reason for problem in report.left_out] == [
        "left out: it holds no sound and names no file (row 1 of set)"
    ]


def test_equal_sound_in_two_rows_is_one_song_with_both_captions(tmp_path):
    rows = [{"audio": {"bytes": wav_bytes(), "path": None}, "caption": text} for text in ("x", "y", "x")]
    (song,) = scan_backend(hub_backend(tmp_path / "set", tmp_path), write_parquet(tmp_path / "set", rows)).songs
    assert (song.captions, song.num_copies) == (("x", "y"), 3)


def test_a_row_that_is_no_sound_is_left_out_and_the_others_proceed(tmp_path):
    rows = [{"audio": {"bytes": content, "path": "x.mp3"}, "caption": "x"} for content in (b"\0" * 999, wav_bytes())]
    report = scan_backend(hub_backend(tmp_path / "set", tmp_path), write_parquet(tmp_path / "set", rows))
    assert [song.relative_path for song in report.songs] == ["1.wav"]
    assert [(problem.file, problem.code) for problem in report.left_out] == [("0.wav", "unreadable")]


@pytest.mark.parametrize("strategy", ["instanceprompt", "huggingface"])
def test_a_row_without_a_caption_is_dropped_unless_there_is_one_for_all(tmp_path, strategy):
    rows = [
        {"audio": {"bytes": wav_bytes() + bytes([number]), "path": None}, "prompt": text}
        for number, text in enumerate(("x", ""))
    ]
    backend = hub_backend(tmp_path / "set", tmp_path, _caption_strategy=strategy, _instance_prompt=("a song",))
    report = scan_backend(backend, write_parquet(tmp_path / "set", rows))
    if strategy == "instanceprompt":
        assert [song.captions for song in report.songs] == [("a song",)] * 2
    else:
        assert [song.captions for song in report.songs] == [("x",)]
        assert [problem.reason for problem in report.left_out] == [
            "left out: row 1 of set has no caption in caption, prompt, tags, description"
        ]


def test_a_subset_is_drawn_before_anything_is_unpacked(tmp_path):
    rows = [{"audio": {"bytes": wav_bytes() + bytes([number]), "path": None}, "caption": "x"} for number in range(7)]
    folder = write_parquet(tmp_path / "set", rows)
    report = scan_backend(hub_backend(folder, tmp_path, _max_num_samples=3), folder)
    assert len(report.songs) == 3 and report.num_beyond_limit == 4 and report.num_files == 7
    assert len(list((tmp_path / "unpacked").glob("*.wav"))) == 3
    assert scan_backend(hub_backend(folder, tmp_path, _max_num_samples=3), folder).songs == report.songs


def test_a_stop_while_unpacking_keeps_what_is_there(tmp_path):
    rows = [{"audio": {"bytes": wav_bytes() + bytes([number]), "path": None}, "caption": "x"} for number in range(5)]
    folder = write_parquet(tmp_path / "set", rows)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_backend(hub_backend(folder, tmp_path), folder, on_progress=stop)
    told = []
    scan_backend(hub_backend(folder, tmp_path), folder, on_progress=lambda done, total: told.append(total))
    assert told[0] == 4


def test_a_stated_length_that_is_wrong_is_said_and_does_not_count(tmp_path, album):
    folder = album("a.wav")
    (folder / "metadata.csv").write_text("file_name,caption,duration\na.wav,x,9\n")
    report = scan_backend(hub_backend(folder, tmp_path), folder)
    assert report.songs[0].duration_s == 2.0
    # A csv holds texts, and a text is no length.
    assert [problem.code for problem in report.problems] == ["no_lyrics"]
    (folder / "metadata.csv").unlink()
    (folder / "metadata.jsonl").write_text('{"file_name": "a.wav", "caption": "x", "lyrics": "", "audio_duration": 9}')
    (problem,) = scan_backend(hub_backend(folder, tmp_path), folder).problems
    assert problem.reason == "its row says 9.0 s, it is 2.0 s long: that counts"


def test_missing_columns_are_named(tmp_path, album):
    folder = album("a.wav")
    (folder / "metadata.jsonl").write_text('{"file_name": "a.wav", "prompt": "x", "lyrics": ""}')
    backend = hub_backend(folder, tmp_path, written_columns=("prompt", "mood", "deep.er"))
    assert [problem.reason for problem in scan_backend(backend, folder).problems] == [
        "there is no column mood; there are file_name, prompt, lyrics",
        "there is no column deep.er; there are file_name, prompt, lyrics",
    ]


def test_a_data_set_without_sound_says_which_columns_there_are(tmp_path):
    folder = save_to_disk(tmp_path / "set", pa.table({"text": ["x"], "label": [1]}))
    with pytest.raises(DataError) as caught:
        scan_backend(hub_backend(folder, tmp_path), folder)
    assert caught.value.exit_code == ExitCode.DATA
    assert "no column audio with the sound; there are text, label" in caught.value.message
    assert "audio_column" in caught.value.hint


def test_nothing_usable_says_what_to_set(tmp_path):
    folder = converted(tmp_path / "set", ["gone.mp3"], tags=[["x"]], lyrics=[""], repeats=2)
    with pytest.raises(NothingUsableError) as caught:
        scan_backend(hub_backend(folder, tmp_path), folder)
    assert "audio_root" in caught.value.hint


def test_names_out_of_rows_stay_below_any_folder(tmp_path, album):
    album("a.wav")
    album("b/a.wav")
    (tmp_path / "album" / "b" / "a.wav").write_bytes(wav_bytes())
    files = ["../album/a.wav", "album/a.wav", str(tmp_path / "album" / "b" / "a.wav")]
    folder = converted(tmp_path / "set", files, tags=[["x"]] * 3, lyrics=[""] * 3, repeats=1)
    songs = scan_backend(hub_backend(folder, tmp_path / "set"), folder).songs
    assert [song.relative_path for song in songs] == ["album/a.wav", f"{tmp_path}/album/b/a.wav".lstrip("/")]


def test_marks_of_the_user_hold_for_rows_too(demo, tmp_path):
    report = scan_backend(hub_backend(demo, tmp_path), demo, exclude_files=["0.wav"], instrumental_files=["2.wav"])
    assert [song.relative_path for song in report.songs] == ["1.wav", "2.wav"]
    assert (report.num_excluded, report.num_without_lyrics) == (1, 0)


def test_what_is_wrong_with_sound_in_a_row_names_the_row(tmp_path):
    rows = [
        {"audio": {"bytes": wav_bytes(), "path": "clips/first.wav"}, "prompt": "x", "lyrics": "la"},
        {"audio": {"bytes": b"no sound" * 50, "path": "clips/second.wav"}, "prompt": "x", "lyrics": "la"},
        {"audio": {"bytes": wav_bytes() + b"\0", "path": None}, "prompt": "x", "lyrics": None},
    ]
    report = scan_backend(hub_backend(tmp_path / "set", tmp_path), write_parquet(tmp_path / "set", rows))
    assert [problem.reason for problem in report.problems] == [
        "left out: not audio (0 of 400 bytes can be read) (row 1 of set)",
        "no lyrics: trains as an instrumental (row 2 of set)",
    ]


def test_a_reason_gives_way_to_the_row_where_both_are_long():
    placed = Problem("a", "warning", "x", "y" * 99).placed_at("row 7 of songs")
    assert len(placed.reason) == 100 and placed.reason.endswith("y… (row 7 of songs)")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"caption_columns": ("mood",), "written_columns": ("mood",)},
            ["2 rows have no caption in mood: prompt is taken"],
        ),
        (
            {"audio_caption_fields": ("mood",), "written_columns": ("mood",), "fallback_caption_column": "prompt"},
            ["2 rows have no caption in mood: prompt is taken"],
        ),
        ({"caption_columns": ("prompt",), "written_columns": ("prompt",)}, []),
        ({}, []),
    ],
)
def test_the_column_that_stands_in_for_the_one_asked_for_is_said(tmp_path, columns, told):
    rows = [
        {"audio": {"bytes": wav_bytes() + bytes([number]), "path": None}, "mood": mood, "prompt": "p", "lyrics": "la"}
        for number, mood in enumerate(("sad", "", None))
    ]
    report = scan_backend(hub_backend(tmp_path / "set", tmp_path, **columns), write_parquet(tmp_path / "set", rows))
    assert [one.reason for one in report.problems if one.code == "other_column"] == told
    assert len(report.songs) == 3
