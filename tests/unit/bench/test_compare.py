"""Runs of ours and of the reference trainer are read alike: the time between the ends of steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import compare
from engine.contract.run_dir import RunDir

ENDS = [0.0, 30.0, 30.5, 31.0, 33.0]
"""The first steps are slow, and one later on."""


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    folder = tmp_path / "ours"
    folder.mkdir()
    events = [{"kind": "run_started", "t": -5.0}]
    events += [{"kind": "step", "t": end, "audio_s": 120.0} for end in ENDS]
    text = "".join(json.dumps(event) + "\n" for event in events) + '{"kind": "step", "t"'
    RunDir(folder).events_jsonl.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    from torch.utils.tensorboard import SummaryWriter

    folder = tmp_path / "theirs"
    with SummaryWriter(str(folder)) as writer:
        for step, end in enumerate(ENDS):
            writer.add_scalar("train/loss", 0.3, step, walltime=1000.0 + end)
            writer.add_scalar("train/learning_rate", 1e-4, step, walltime=1000.0 + end)
    return folder


def test_both_are_read_from_the_second_step_on(ours, theirs, capsys):
    assert compare.main([str(ours), str(theirs), "--seconds", "60"]) == 0
    rows = capsys.readouterr().out.splitlines()
    # 3 steps of 0.5, 0.5 and 2 s; of 120 s of music each in ours, 60 in the reference trainer's.
    assert rows[2] == f"| {ours} | 3 | 500.0 | 120.0 |"
    assert rows[3] == f"| {theirs} | 3 | 500.0 | 60.0 |"


def test_the_last_steps_alone_are_counted_when_asked(ours, capsys):
    assert compare.main([str(ours), "--steps", "1"]) == 0
    assert "| 1 | 2000.0 | 60.0 |" in capsys.readouterr().out


def test_a_folder_that_tells_no_steps_is_named(ours, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert compare.main([str(tmp_path / "empty"), str(ours)]) == 1
    told = capsys.readouterr()
    assert f"{tmp_path / 'empty'}: no steps" in told.err and str(ours) in told.out
    with pytest.raises(ValueError, match="2 steps are too few"):
        compare.speed_of([(0.0, 60.0), (1.0, 60.0)], num_steps=100)
