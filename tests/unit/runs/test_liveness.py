from __future__ import annotations

import fcntl
import json
import platform
from pathlib import Path

import pytest

from acestep_tui.runs import liveness
from acestep_tui.runs.liveness import SILENT_LIMIT_S, Life, is_locked, judge
from acestep_tui.runs.state import RunState
from engine.contract.events import RunEnded
from engine.contract.run_dir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path)
    run.worker_json.write_text(json.dumps({"host": platform.node(), "pid": 1}))
    run.lock.touch()
    return run


def silent_for(seconds: float) -> RunState:
    return RunState(last_t=1000.0 - seconds)


def test_empty_folder_is_new(tmp_path: Path) -> None:
    assert judge(RunDir(tmp_path / "nothing"), RunState()).life is Life.NEW


def test_lock_held_is_running_however_long_it_is_silent(run: RunDir) -> None:
    with run.lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        verdict = judge(run, silent_for(70), now=1000.0)
        assert verdict.life is Life.RUNNING
        assert verdict.silent_s == 70
        assert judge(run, silent_for(10_000), now=1000.0).life is Life.RUNNING
    assert judge(run, silent_for(1), now=1000.0).life is Life.CRASHED


def test_looking_at_the_lock_does_not_keep_it(run: RunDir) -> None:
    assert is_locked(run.lock) is False
    with run.lock.open("ab") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert is_locked(run.lock) is True


@pytest.mark.parametrize(
    ("outcome", "life"), [("finished", Life.FINISHED), ("stopped", Life.STOPPED), ("failed", Life.FAILED)]
)
def test_run_ended_decides(run: RunDir, outcome: str, life: Life) -> None:
    state = RunState(last_t=1000.0, ended=RunEnded(outcome=outcome, exit_code=0))
    assert judge(run, state, now=1000.0).life is life


def test_held_lock_after_run_ended_is_a_worker_closing(run: RunDir) -> None:
    state = RunState(last_t=1000.0, ended=RunEnded(outcome="finished", exit_code=0))
    with run.lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert judge(run, state, now=1000.0).is_closing
    assert not judge(run, state, now=1000.0).is_closing


def test_another_host_is_judged_by_its_last_news_alone(run: RunDir) -> None:
    run.worker_json.write_text(json.dumps({"host": "node17", "pid": 1}))
    with run.lock.open("ab") as held:  # a lock here says nothing about a worker there
        fcntl.flock(held, fcntl.LOCK_EX)
        verdict = judge(run, silent_for(240), now=1000.0)
    assert verdict.life is Life.UNHEARD
    assert not verdict.is_running
    assert verdict.note == "last news 4 min ago on node17"
    assert judge(run, silent_for(SILENT_LIMIT_S - 1), now=1000.0).life is Life.RUNNING


def test_file_system_without_locks_is_judged_by_its_last_news(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "is_locked", lambda path: None)
    assert judge(run, silent_for(5), now=1000.0).life is Life.RUNNING
    assert judge(run, silent_for(SILENT_LIMIT_S + 1), now=1000.0).life is Life.UNHEARD


def test_no_worker_lives_through_a_restart_of_its_computer(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "is_locked", lambda path: None)
    monkeypatch.setattr(liveness, "boot_id", lambda: "this boot")
    run.worker_json.write_text(json.dumps({"host": platform.node(), "boot_id": "another boot"}))
    assert judge(run, silent_for(5), now=1000.0).life is Life.CRASHED
    run.worker_json.write_text(json.dumps({"host": platform.node(), "boot_id": "this boot"}))
    assert judge(run, silent_for(5000), now=1000.0).life is Life.UNHEARD
    run.worker_json.write_text(json.dumps({"host": "node17", "boot_id": "another boot"}))
    assert judge(run, silent_for(5000), now=1000.0).life is Life.UNHEARD


def test_flock_failing_is_told_apart_from_flock_held(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(file: object, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert is_locked(run.lock) is None
