"""The preparation bench: its songs are whole mp3 files that differ, and its figures come from a real preparation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from bench import prepare
from bench.mp3_songs import write_mp3_songs
from engine.dataset.audio_file import read_audio, read_info


def test_songs_are_whole_and_differ_in_their_first_second_alone(tmp_path: Path) -> None:
    folder = write_mp3_songs(tmp_path, distinct=1, takes=2, seconds=3.0, num_processes=1)
    paths = sorted(folder.glob("*.mp3"))
    assert [path.name for path in paths] == ["song_0_take_0.mp3", "song_0_take_1.mp3"]
    assert all(2.9 < read_info(path).duration_s < 3.2 for path in paths)
    (one, rate), (other, _) = (read_audio(path) for path in paths)
    # The frames behind the first second begin with a decoder that has heard something else.
    begin, later = slice(0, rate), slice(rate + rate // 4, None)
    assert np.abs(one[:, begin] - other[:, begin]).max() > 0.05
    assert np.abs(one[:, later]).max() > 0.05
    np.testing.assert_allclose(one[:, later], other[:, later], atol=1e-3)
    assert len({path.with_suffix(".txt").read_text() for path in paths}) == 2


def test_a_small_bench_runs_through(tmp_path: Path, monkeypatch, capsys) -> None:
    wanted = f"--tiny --songs 1 2 --seconds 6 --out {tmp_path}/out --work {tmp_path}/work --probes stages"
    monkeypatch.setattr(sys, "argv", ["prepare", *wanted.split()])
    prepare.main()
    result = json.loads((tmp_path / "out" / "prepare.json").read_text())
    (run,) = result["runs"]
    assert (run["exit_code"], run["songs"], run["encoded_audio_s"]) == (0, 2, 12.0)
    assert run["whole_s"] > run["text_s"] + run["sound_s"] > 0
    assert {row["stage"] for row in result["stages"]} >= {"decode and resample all", "write an entry"}
    assert all(row["real_time"] > 0 for row in result["stages"])
    assert "| default | 0 |" in capsys.readouterr().out
