"""Folders as they really come: reported, never fatal (issue 4, "Must hold")."""

from __future__ import annotations

import os
import time
from pathlib import Path

from engine.contract.backends import LocalBackend
from engine.dataset.scan import scan_backend
from engine.demo.encode import encode
from tests.unit.dataset.conftest import tones


def scanned(folder: Path, **values: object):
    return scan_backend(LocalBackend("songs", str(folder), **values), folder)


def test_everything_odd_in_one_folder_is_reported_and_the_songs_train(tmp_path, sounds):
    names = (
        "söng ♪ 夜の船.flac",
        "two  spaces .flac",
        "emoji 🎵.flac",
        "e\u0301 (NFD).flac",
        'quo\'te "x".flac',
        "-dash.flac",
    )
    for name in names:
        (tmp_path / name).write_bytes(sounds(".flac"))
        (tmp_path / name).with_suffix(".txt").write_text("rock", encoding="utf-8")
        (tmp_path / name).with_suffix(".lyrics").write_bytes("夜の船\nöl".encode("utf-16"))
    (tmp_path / "no mark.flac").write_bytes(sounds(".flac"))
    (tmp_path / "no mark.txt").write_bytes("röck\n".encode("utf-16-le"))
    (tmp_path / "no mark.lyrics").write_bytes("la la\n".encode("utf-16-be"))
    (tmp_path / "empty.wav").touch()
    (tmp_path / "x.wav").mkdir()
    (tmp_path / "x.wav" / "loop").symlink_to(tmp_path)
    (tmp_path / "self.mp3").symlink_to(tmp_path / "self.mp3")
    (tmp_path / "nowhere.ogg").symlink_to(tmp_path / "gone.ogg")
    report = scanned(tmp_path)
    assert {song.relative_path for song in report.songs} == {*names, "no mark.flac"}
    assert all(song.lyrics == "夜の船\nöl" for song in report.songs if song.relative_path in names)
    (guessed,) = [song for song in report.songs if song.relative_path == "no mark.flac"]
    assert (guessed.captions, guessed.lyrics) == (("röck",), "la la")
    told = {(problem.file, problem.code) for problem in report.problems}
    assert told == {
        ("empty.wav", "unreadable"),
        ("self.mp3", "unreadable"),
        ("nowhere.ogg", "unreadable"),
        ("no mark.flac", "encoding"),
    }
    assert all(problem.reason for problem in report.problems)


def test_ten_thousand_files_in_one_folder(tmp_path):
    song = tmp_path / "00000.wav"
    song.write_bytes(encode(tones(440, seconds=0.2), 44_100, "wav"))
    for index in range(1, 10_000):
        path = tmp_path / f"{index:05}.wav"
        if index % 10 == 0:
            os.link(song, path)
        else:
            path.touch()
    started = time.process_time()
    report = scanned(tmp_path, caption_strategy="filename")
    cpu_s = time.process_time() - started
    assert (len(report.songs), report.num_files) == (1_000, 10_000)
    assert sum(problem.code == "unreadable" for problem in report.problems) == 9_000
    assert cpu_s < 10
