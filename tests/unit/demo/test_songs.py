"""The demo's songs: an honest first report, the same sound every time, all or nothing on disk."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.contract import files
from engine.contract.backends import LocalBackend
from engine.contract.errors import DiskError
from engine.dataset.audio_file import UnreadableAudioError, read_audio
from engine.dataset.scan import scan_backend
from engine.demo import songs
from engine.demo.synth import play

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return songs.write_demo_songs(tmp_path_factory.mktemp("demo") / "deep" / "songs")


def test_the_first_report_is_the_one_of_the_design(folder):
    report = scan_backend(LocalBackend("demo", "demo:songs"), folder)
    assert report.summary() == "12 songs, 1 min 34 s: 10 ready, 1 without lyrics, 1 unreadable"
    assert [(problem.file, problem.severity, problem.reason) for problem in report.problems] == [
        ("07_tide_no_words.flac", "warning", "no lyrics: trains as an instrumental"),
        ("11_broken.mp3", "error", "left out: not audio (0 of 4,096 bytes can be read)"),
    ]
    assert len(report.formats) >= 6
    assert {song.sample_rate for song in report.songs} >= {22_050, 44_100, 48_000}
    assert {song.num_channels for song in report.songs} == {1, 2}
    assert all(4.0 <= song.duration_s <= 12.0 for song in report.songs)
    assert len({song.captions for song in report.songs}) == len(report.songs)
    assert any(song.timed_lines for song in report.songs)


def test_every_song_sounds(folder):
    for path in sorted(folder.iterdir()):
        if path.suffix in (".txt", ".lyrics"):
            continue
        if path.name == "11_broken.mp3":
            with pytest.raises(UnreadableAudioError):
                read_audio(path)
            continue
        samples, rate = read_audio(path)
        seconds = np.array_split(samples, int(samples.shape[1] / rate), axis=1)
        assert 0.6 < np.abs(samples).max() <= 1.0, path.name
        # Music from beginning to end: no second is silent.
        assert min(float(np.sqrt((second**2).mean())) for second in seconds) > 0.01, path.name


def test_the_sound_is_the_same_every_time(folder, tmp_path):
    again = songs.write_demo_songs(tmp_path / "songs")
    assert sorted(path.name for path in again.iterdir()) == sorted(path.name for path in folder.iterdir())
    for path in again.iterdir():
        # libsndfile draws the serial number of an Ogg stream; its sound is the same.
        if path.suffix == ".ogg":
            np.testing.assert_array_equal(read_audio(path)[0], read_audio(folder / path.name)[0])
        else:
            assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def test_a_folder_that_is_there_is_left_alone(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    start = time.process_time()
    assert songs.write_demo_songs(folder) == folder
    assert time.process_time() - start < 0.1
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    written = []

    def write_atomic(path: Path, content: bytes, *, action: str) -> None:
        if len(written) == 9:
            raise DiskError("full")
        written.append(path)
        files.write_atomic(path, content, action=action)

    monkeypatch.setattr(songs, "write_atomic", write_atomic)
    with pytest.raises(DiskError):
        songs.write_demo_songs(tmp_path / "songs")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert len(list(songs.write_demo_songs(tmp_path / "songs").iterdir())) == 34


def test_the_command_is_quick_and_needs_no_torch(tmp_path):
    code = (
        "import sys; sys.argv = ['songs', sys.argv[1]]\n"
        "from engine.demo import songs\n"
        "assert songs.main() == 0 and 'torch' not in sys.modules\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", code, str(tmp_path / "songs")]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(tmp_path / "songs"), "")
    # Of the processor, not of the clock: tests share two cores with others. It is 1.5 s on an idle machine.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5.0


def test_the_command_says_how_it_is_used(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["songs"])
    assert songs.main() == 2
    assert "python -m engine.demo.songs DIR" in capsys.readouterr().err


def test_a_score_is_played_at_any_rate_and_width():
    score = songs.SONGS[0].score
    mono = play(score, seconds=2.0, rate=22_050, num_channels=1)
    stereo = play(score, seconds=2.0, rate=48_000, num_channels=2)
    assert (mono.shape, stereo.shape) == ((1, 44_100), (2, 96_000))
    assert mono.dtype == stereo.dtype == np.float32
    assert np.abs(mono).max() == pytest.approx(0.8)
    assert not np.array_equal(stereo[0], stereo[1])
