"""Which checkpoints make room for newer ones, and which never do."""

from __future__ import annotations

from pathlib import Path

from engine.contract.run_dir import GUARD_FILE, KEEP_FILE, RunDir
from engine.train.checkpoint import purge_checkpoints


def run_with(tmp_path: Path, *names: str, kept: tuple[str, ...] = ()) -> RunDir:
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        (folder / GUARD_FILE).touch()
        if name in kept:
            (folder / KEEP_FILE).touch()
    return RunDir(tmp_path)


def names(run: RunDir) -> list[str]:
    return [folder.name for folder in run.checkpoints()]


def test_the_oldest_go_the_newest_and_the_best_stay(tmp_path):
    run = run_with(tmp_path, *(f"checkpoint-{step}" for step in (1, 2, 3, 4)))
    assert purge_checkpoints(run, keep=2, keep_rolling=1, best_step=1) == []
    assert names(run) == ["checkpoint-1", "checkpoint-3", "checkpoint-4"]


def test_a_kept_one_stays_whatever_its_age_and_takes_no_place_of_another(tmp_path):
    run = run_with(tmp_path, *(f"checkpoint-{step}" for step in (1, 2, 3, 4)), kept=("checkpoint-1", "checkpoint-4"))
    purge_checkpoints(run, keep=1, keep_rolling=1, best_step=None)
    assert names(run) == ["checkpoint-1", "checkpoint-3", "checkpoint-4"]


def test_a_kept_rolling_one_stays_too(tmp_path):
    run = run_with(tmp_path, *(f"checkpoint-{step}-rolling" for step in (1, 2, 3)), kept=("checkpoint-1-rolling",))
    purge_checkpoints(run, keep=5, keep_rolling=1, best_step=None)
    assert names(run) == ["checkpoint-1-rolling", "checkpoint-3-rolling"]


def test_the_mark_taken_away_makes_it_one_of_many_again(tmp_path):
    run = run_with(tmp_path, "checkpoint-1", "checkpoint-2", kept=("checkpoint-1",))
    (tmp_path / "checkpoint-1" / KEEP_FILE).unlink()
    purge_checkpoints(run, keep=1, keep_rolling=1, best_step=None)
    assert names(run) == ["checkpoint-2"]
