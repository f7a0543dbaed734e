"""A folder of songs with everything that can be wrong with one."""

from __future__ import annotations

import dataclasses
import os
import shutil
import unicodedata

import pytest

from engine.contract.backends import AudioBlock, LocalBackend
from engine.contract.errors import ConfigError, DataError, ExitCode
from engine.dataset.report import duration_words
from engine.dataset.scan import NothingUsableError, merge_reports, scan_backend, scan_backends


def backend(identity: str = "songs", **values: object) -> LocalBackend:
    return LocalBackend(identity, "/music", **values)


def codes(report) -> list[tuple[str, str]]:
    return [(problem.file, problem.code) for problem in report.problems]


def test_a_good_song_with_everything(album):
    folder = album("disc 1/song.m4a", caption="rock\npop", lyrics="[00:00.50]la\n[00:01.50]lo")
    (song,) = scan_backend(backend(), folder).songs
    assert dataclasses.asdict(song) == {
        "backend_id": "songs",
        "path": folder / "disc 1" / "song.m4a",
        "relative_path": "disc 1/song.m4a",
        "format": "m4a",
        "sample_rate": 44_100,
        "num_channels": 2,
        "num_samples": 88_200,
        "duration_s": 2.0,
        "size_bytes": (folder / "disc 1" / "song.m4a").stat().st_size,
        "mtime_ns": (folder / "disc 1" / "song.m4a").stat().st_mtime_ns,
        "captions": ("rock", "pop"),
        "lyrics": "la\nlo",
        "timed_lines": ({"start_s": 0.5, "text": "la"}, {"start_s": 1.5, "text": "lo"}),
        "num_copies": 1,
    }


def test_every_problem_is_named_and_the_good_ones_proceed(album):
    folder = album("01.flac")
    album("02.mp3", lyrics=None)
    album("03.ogg", lyrics=" \n")
    album("04.wav", caption=None)
    album("05.m4a", caption="\n")
    album("06.opus")
    (folder / "06.txt").write_bytes(b"caf\xe9")
    (folder / "07.mp3").write_bytes(bytes(4096))
    (folder / "07.txt").write_text("rock")
    content = (folder / "01.flac").read_bytes()
    (folder / "08.flac").write_bytes(content[: len(content) // 2])
    (folder / "09.wav").symlink_to(folder / "nowhere.wav")
    os.mkfifo(folder / "10.wav")
    album("01.mp3")
    (folder / "01_lyrics.txt").write_text("not a caption of anything")
    told = []
    report = scan_backend(backend(), folder, on_problem=told.append)
    assert [song.relative_path for song in report.songs] == ["01.flac", "01.mp3", "02.mp3", "03.ogg", "06.opus"]
    assert codes(report) == [
        ("01.mp3", "shared_caption"),
        ("02.mp3", "no_lyrics"),
        ("03.ogg", "empty_lyrics"),
        ("04.wav", "no_caption"),
        ("05.m4a", "empty_caption"),
        ("06.opus", "encoding"),
        ("07.mp3", "unreadable"),
        ("08.flac", "unreadable"),
        ("09.wav", "unreadable"),
        ("10.wav", "unreadable"),
    ]
    assert tuple(told) == report.problems
    reasons = {problem.file: problem.reason for problem in report.problems}
    assert reasons["01.mp3"] == "shares its caption and lyrics with 01.flac"
    assert reasons["02.mp3"] == "no lyrics: trains as an instrumental"
    assert reasons["04.wav"] == "left out: no caption, add 04.txt next to it"
    assert reasons["07.mp3"] == "left out: not audio (0 of 4,096 bytes can be read)"
    assert reasons["08.flac"].startswith("left out: damaged after ")
    assert all(one.reason.startswith("left out: ") == (one.severity == "error") for one in report.problems)
    assert all(len(one.reason) <= 100 for one in report.problems)
    assert report.summary() == "11 songs, 10 s: 3 ready, 2 without lyrics, 4 unreadable, 2 without caption"
    assert report.formats == {"mp3": 2, "flac": 1, "ogg": 1, "opus": 1}
    assert len(report.left_out) == 6


def test_the_report_does_not_depend_on_the_threads(album):
    for index in range(30):
        folder = album(f"{index % 3}/{index:02}.flac", lyrics="la" if index % 4 else None)
    reports = [scan_backend(backend(), folder, max_workers=workers) for workers in (1, 3, 16)]
    assert reports[0] == reports[1] == reports[2]
    assert [song.relative_path for song in reports[0].songs] == sorted(song.relative_path for song in reports[0].songs)


def test_files_the_user_left_out_and_songs_without_a_voice(album):
    folder = album("a/01.flac")
    album("a/02.flac", lyrics=None)
    album("é.flac", lyrics=None)
    report = scan_backend(
        backend(),
        folder,
        exclude_files=("./a/01.flac", "gone.flac"),
        instrumental_files=(unicodedata.normalize("NFD", "é.flac"),),
    )
    assert codes(report) == [("a/02.flac", "no_lyrics"), ("gone.flac", "unknown_file")]
    assert report.summary() == "3 songs, 4.0 s: 1 ready, 1 without lyrics, 1 left out by you"
    # A song marked as instrumental loses lyrics that lie beside it.
    report = scan_backend(backend(), folder, instrumental_files=("a/01.flac",))
    assert report.songs[0].lyrics is None
    assert ("a/01.flac", "no_lyrics") not in codes(report)


@pytest.mark.parametrize(
    ("audio", "reason", "used"),
    [
        ({"max_duration_s": 1.5, "long_clip": "skip"}, "left out: 2.0 s long, max_duration_seconds is 1.5", False),
        ({"max_duration_s": 1.5, "long_clip": "cut"}, "2.0 s long: cut to 1.5 s", True),
        ({"max_duration_s": 1.5, "long_clip": "pieces"}, "2.0 s long: in pieces of 1.5 s at most", True),
        ({"min_duration_s": 2.5}, "left out: 2.0 s long, min_duration_seconds is 2.5", False),
        ({"min_duration_s": 2.0, "max_duration_s": 2.0, "long_clip": "skip"}, None, True),
    ],
)
def test_length_limits(album, audio, reason, used):
    folder = album("01.flac")
    if used:
        report = scan_backend(backend(audio=AudioBlock(**audio)), folder)
        assert [problem.reason for problem in report.problems] == ([reason] if reason else [])
        assert report.num_ready == 1
        return
    with pytest.raises(NothingUsableError) as caught:
        scan_backend(backend(audio=AudioBlock(**audio)), folder)
    assert [problem.reason for problem in caught.value.report.problems] == [reason]
    assert "duration_seconds" in caught.value.hint


@pytest.mark.parametrize(
    ("long_clip", "reason"),
    [
        ("cut", "4 min 10 s long: cut to 4 min"),
        ("pieces", "4 min 10 s long: in pieces of 4 min at most"),
        ("skip", "left out: 4 min 10 s long, the model's limit is 240 s"),
    ],
)
def test_songs_over_four_minutes_are_always_named(album, long_clip, reason):
    import numpy as np
    import soundfile

    folder = album("short.flac")
    soundfile.write(folder / "long.flac", np.zeros(8000 * 250), 8000)
    (folder / "long.txt").write_text("rock")
    (folder / "long.lyrics").write_text("la")
    report = scan_backend(backend(audio=AudioBlock(long_clip=long_clip)), folder)
    assert [problem.reason for problem in report.problems] == [reason]


def test_a_subset_is_always_the_same_and_depends_on_the_id(album):
    for index in range(12):
        folder = album(f"{index:02}.flac", lyrics=None)
    first = scan_backend(backend(max_num_samples=4), folder)
    assert first == scan_backend(backend(max_num_samples=4), folder)
    assert len(first.songs) == 4
    assert first.summary() == "12 songs, 8.0 s: 0 ready, 4 without lyrics, 8 beyond max_num_samples"
    assert len({scan_backend(backend(f"b{n}", max_num_samples=4), folder).songs[0].relative_path for n in range(6)}) > 1
    assert len(scan_backend(backend(max_num_samples=40), folder).songs) == 12


def test_missing_folder_and_no_folder(tmp_path):
    for path, words in ((tmp_path / "none", "does not exist"), (tmp_path / "file", "is not a folder")):
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match=words) as caught:
            scan_backend(backend(), path)
        assert caught.value.exit_code == ExitCode.USAGE
        assert str(path) in caught.value.message


def test_empty_folder_names_what_is_read(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=f"^No audio file in {tmp_path}") as caught:
        scan_backend(backend(), tmp_path)
    assert caught.value.exit_code == ExitCode.DATA
    assert "wav" in caught.value.hint and "m4a" in caught.value.hint


def test_no_caption_anywhere(album):
    for index in range(7):
        folder = album(f"{index}.flac", caption=None)
    with pytest.raises(NothingUsableError) as caught:
        scan_backend(backend(), folder)
    assert f"None of the 7 files in {folder} can be used: 7 without caption" in caught.value.message
    assert "0.flac: no caption, add 0.txt next to it" in caught.value.message
    assert "… and 2 more" in caught.value.message
    assert "caption_strategy" in caught.value.hint
    assert len(caught.value.report.problems) == 7


def test_nothing_decodable(tmp_path):
    (tmp_path / "a.mp3").write_bytes(bytes(100))
    (tmp_path / "b.wav").touch()
    with pytest.raises(NothingUsableError) as caught:
        scan_backend(backend(), tmp_path)
    assert "2 unreadable" in caught.value.message
    assert "a.mp3: not audio (0 of 100 bytes can be read)" in caught.value.message
    assert "b.wav: empty file (0 bytes)" in caught.value.message
    assert caught.value.exit_code == ExitCode.DATA


def test_everything_left_out_by_the_user(album):
    folder = album("a.flac")
    with pytest.raises(NothingUsableError, match="are left out by exclude_files"):
        scan_backend(backend(), folder, exclude_files=["a.flac"])


def test_several_backends_make_one_report(album, tmp_path):
    folder = album("x/01.flac", lyrics=None)
    album("y/01.flac", lyrics=None)
    album("y/02.flac", caption=None)
    counts = []
    report = scan_backends(
        [(backend("x"), folder / "x"), (backend("y"), folder / "y")], on_progress=lambda *count: counts.append(count)
    )
    assert [(song.backend_id, song.relative_path) for song in report.songs] == [("x", "01.flac"), ("y", "01.flac")]
    assert report.summary() == "3 songs, 4.0 s: 0 ready, 2 without lyrics, 1 without caption"
    assert counts[-1] == (3, 3)
    parts = [scan_backend(backend(name), folder / name) for name in ("x", "y")]
    assert merge_reports(parts) == report
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingUsableError, match="empty"):
        scan_backends([(backend("x"), folder / "x"), (backend("z"), tmp_path / "empty")])


def test_progress_is_told_now_and_then_and_can_stop_the_scan(album):
    folder = album("000.flac")
    for index in range(1, 300):
        shutil.copy(folder / "000.flac", folder / f"{index:03}.flac")
    counts = []
    scan_backend(backend(caption_strategy="filename"), folder, on_progress=lambda *count: counts.append(count))
    assert counts[-1] == (300, 300)
    assert len(counts) < 150
    assert counts == sorted(set(counts))

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        scan_backend(backend(caption_strategy="filename"), folder, on_progress=stop)


def test_a_song_in_a_folder_with_odd_names(album):
    folder = album(os.fsdecode(b"caf\xe9/t\xe9.flac"))
    album("100% [live] {x}.mp3")
    report = scan_backend(backend(), folder)
    assert [song.relative_path for song in report.songs] == ["100% [live] {x}.mp3", "caf\\xe9/t\\xe9.flac"]
    assert report.num_ready == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (94.0, "1 min 34 s"),
        (3599.7, "1 h 0 min"),
        (5340, "1 h 29 min"),
    ],
)
def test_duration_words(seconds, words):
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("audio", "told"),
    [
        ({"lyrics_filename_format": "{stem}_words.txt"}, "such as b_words.txt"),
        ({"lyrics_extension": "lrc"}, "such as b.lrc"),
        ({"lyrics_extension": "lyrics"}, None),
        ({}, None),
    ],
)
def test_a_name_of_lyrics_that_no_file_has_is_said_once(album, audio, told):
    folder = album("a.wav", lyrics=None)
    album("b.wav", lyrics="la")
    heard = []
    report = scan_backend(
        backend(audio=AudioBlock(**audio)), folder, instrumental_files=["a.wav"], on_problem=heard.append
    )
    found = [problem for problem in report.problems if problem.code == "no_lyrics_match"]
    assert found == [problem for problem in heard if problem.code == "no_lyrics_match"]
    assert [problem.file for problem in found] == (["songs"] if told else [])
    assert not told or told in found[0].reason


def test_lyrics_are_not_missed_where_every_song_is_an_instrumental(album):
    folder = album("a.wav", lyrics=None)
    audio = AudioBlock(lyrics_extension="lrc")
    assert scan_backend(backend(audio=audio), folder, instrumental_files=["a.wav"]).problems == ()
