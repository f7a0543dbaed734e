"""What a scan costs: ten seconds for a thousand songs, and neither torch nor FFmpeg on the path."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from engine.contract.backends import LocalBackend
from engine.dataset import container_audio, sndfile_audio
from engine.dataset.scan import scan_backend
from tests.unit.dataset.conftest import FORMS

ROOT = Path(__file__).parents[3]


def test_a_thousand_songs_in_ten_seconds_without_decoding_one(tmp_path, sounds, monkeypatch):
    def decode(*_: object) -> None:
        raise AssertionError("a scan decodes nothing")

    monkeypatch.setattr(sndfile_audio, "blocks", decode)
    monkeypatch.setattr(container_audio, "blocks", decode)
    for index in range(1000):
        suffix = list(FORMS)[index % len(FORMS)]
        first = tmp_path / f"{index % len(FORMS):04}{suffix}"
        path = tmp_path / f"{index:04}{suffix}"
        if path == first:
            path.write_bytes(sounds(suffix))
        else:
            os.link(first, path)
        path.with_suffix(".txt").write_text("rock")
        path.with_suffix(".lyrics").write_text("la")
    start = time.perf_counter()
    report = scan_backend(LocalBackend("songs", "/music"), tmp_path)
    took_s = time.perf_counter() - start
    assert report.num_ready == 1000
    assert took_s <= 10.0


def test_importing_the_scan_is_cheap_and_scanning_needs_no_torch_and_no_ffmpeg_program(tmp_path, sounds):
    (tmp_path / "album").mkdir()
    for suffix in (".flac", ".m4a", ".mp3"):
        (tmp_path / "album" / f"song{suffix}").write_bytes(sounds(suffix))
    code = """
import sys
from pathlib import Path
from engine.contract.backends import LocalBackend
import engine.dataset.scan, engine.dataset.audio_file
heavy = {"torch", "numpy", "soundfile", "av", "textual", "transformers"} & set(sys.modules)
assert not heavy, heavy
folder = Path(sys.argv[1])
report = engine.dataset.scan.scan_backend(LocalBackend("songs", "/music", caption_strategy="filename"), folder)
assert len(report.songs) == 3
for song in report.songs:
    engine.dataset.audio_file.read_audio(song.path)
heavy = {"torch", "torchaudio", "transformers", "textual", "acestep_tui"} & set(sys.modules)
assert not heavy, heavy
"""
    (tmp_path / "bin").mkdir()
    environment = {**os.environ, "PATH": str(tmp_path / "bin"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path / "album")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
