from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from acestep_tui.runs import crash, launch
from acestep_tui.runs.crash import check_save_points, examine_crash, examine_silence, probe_disk, with_checks
from acestep_tui.runs.load import read_state
from engine.contract import events
from engine.contract.checkpoint_files import MANIFEST_FILE
from engine.contract.run_dir import RunDir
from tests.unit.runs.build import T0, lines, make_checkpoint, make_run, saved, started, step

GB = 2**30
KILLED = "[    1.000000] nothing of ours"


def manifest(folder: Path) -> None:
    """List the checkpoint's files as the worker does, so that they can be compared."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in folder.iterdir()
        if path.name != ".guard"
    }
    (folder / MANIFEST_FILE).write_text(json.dumps({"files": files}))


def died_in_training(tmp_path: Path) -> RunDir:
    memory = events.Hardware(ram_total_bytes=64 * GB, ram_free_bytes=2 * GB, ram_bytes=9 * GB)
    said = [started(), events.PhaseStarted(phase="train"), *(step(number) for number in range(1, 5)), saved(4)]
    run = make_run(tmp_path / "night-ferry", lines(*said, *(step(number) for number in range(5, 11)), memory))
    manifest(make_checkpoint(run, 4))
    return run


def test_what_is_known_of_a_dead_worker(tmp_path: Path) -> None:
    run = died_in_training(tmp_path)
    run.worker_log.write_text("loading\nTraceback: something\n")
    state = read_state(run)
    facts = examine_crash(run, state, kernel_log=[KILLED])
    assert (facts.reached, facts.total, facts.pid) == (10, 2000, 48213)
    assert (facts.died_t, facts.ran_s) == (T0 + 13, 13.0)
    assert (facts.ram_total_bytes, facts.ram_used_bytes, facts.ram_worker_bytes) == (64 * GB, 62 * GB, 9 * GB)
    assert facts.was_doing == "training step 11"
    assert facts.has_restarted is False
    assert (facts.signal, facts.exit_code, facts.kernel) == (None, None, None), "not known is not guessed"
    assert facts.is_kernel_log_readable
    assert facts.log_tail == ("loading", "Traceback: something")
    assert not facts.is_checked
    assert facts.safe is not None and (facts.safe.step, facts.safe.is_whole) == (4, None)
    assert (facts.lost_steps, facts.lost_s) == (6, 6.0), "from its save to its last step"
    checked = with_checks(facts, run, state)
    assert checked.is_checked
    assert checked.safe is not None and checked.safe.is_whole is True


def test_the_kernels_kill_is_signal_9(tmp_path: Path) -> None:
    run = died_in_training(tmp_path)
    line = f"{T0 + 14:.6f} pod kernel: Out of memory: Killed process 48213 (python) total-vm:9kB, anon-rss:1024kB"
    facts = examine_crash(run, read_state(run), kernel_log=[line])
    assert facts.signal == 9
    assert facts.kernel is not None and facts.kernel.bytes == 2**20


def test_how_our_own_child_ended_is_known(tmp_path: Path) -> None:
    run = died_in_training(tmp_path)
    worker = launch.start_worker(run, command=[sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"])
    worker.wait()
    facts = examine_crash(run, read_state(run), kernel_log=[])
    assert (facts.signal, facts.exit_code) == (11, None)
    launch.start_worker(run, command=[sys.executable, "-c", "raise SystemExit(3)"]).wait()
    facts = examine_crash(run, read_state(run), kernel_log=[])
    assert (facts.signal, facts.exit_code) == (None, 3)
    run.worker_json.write_text(json.dumps({"pid": 99, "host": platform.node()}))
    facts = examine_crash(run, read_state(run), kernel_log=[])
    assert facts.exit_code is None, "that was an older worker's"


def test_restart_of_the_computer_and_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = died_in_training(tmp_path)
    run.worker_json.write_text(json.dumps({"pid": 48213, "host": platform.node(), "boot_id": "another boot"}))
    monkeypatch.setattr(crash, "boot_id", lambda: "this boot")
    assert examine_crash(run, read_state(run), kernel_log=[]).has_restarted is True
    monkeypatch.setattr(crash, "boot_id", lambda: "")
    assert examine_crash(run, read_state(run), kernel_log=[]).has_restarted is None
    run.worker_json.write_text(json.dumps({"pid": 48213, "host": "node17", "boot_id": "another boot"}))
    facts = examine_crash(run, read_state(run), kernel_log=[KILLED])
    assert facts.has_restarted is None
    assert not facts.is_kernel_log_readable, "this computer's log says nothing about that one"


def test_save_points_are_read_from_the_newest_down_to_the_first_whole_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo")
    for number in (250, 500, 750):
        manifest(make_checkpoint(run, number))
    make_checkpoint(run, 1000, is_whole=False)
    (run.checkpoint(750) / "training_state.json").write_text('{"step": 2}')
    checks = check_save_points(run)
    assert [(check.step, check.is_whole) for check in checks] == [(1000, False), (750, False), (500, True)]
    assert checks[1].problem == "training_state.json: does not match its checksum"
    assert "the save was interrupted" in checks[0].problem
    assert check_save_points(RunDir(tmp_path / "nothing")) == []


def test_save_point_without_a_manifest_and_reading_that_is_broken_off(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo")
    folder = make_checkpoint(run, 250)
    (check,) = check_save_points(run)
    assert check.is_whole is None
    manifest(folder)
    (check,) = check_save_points(run, should_stop=lambda: True)
    assert check.is_whole is None
    assert "not checked to its end" in check.problem
    (folder / MANIFEST_FILE).write_text('{"files": [1]}')
    (check,) = check_save_points(run)
    assert check.is_whole is False
    assert "cannot be read" in check.problem


def test_nothing_saved_is_all_lost(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started(), *(step(number) for number in range(1, 11))))
    facts = examine_crash(run, read_state(run), kernel_log=[])
    assert facts.safe is None
    assert facts.lost_steps == 10
    assert facts.lost_s == pytest.approx(14.8)


def test_worker_that_died_before_its_first_word(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo")
    facts = examine_crash(run, read_state(run), kernel_log=[KILLED])
    assert (facts.died_t, facts.reached, facts.ran_s, facts.lost_steps) == (None, 0, None, 0)


def test_what_is_known_of_a_silent_worker(tmp_path: Path) -> None:
    spans = [events.PhaseStarted(phase="save"), events.PhaseEnded(phase="save", seconds=3.0)]
    busy = events.Hardware(gpu_percent=0.0)
    said = [started(), events.PhaseStarted(phase="train"), step(1), *spans, busy, step(1250)]
    run = make_run(tmp_path / "demo", lines(*said, events.PhaseStarted(phase="save")))
    facts = examine_silence(run, read_state(run), may_write=True)
    assert (facts.was_doing, facts.usual_s, facts.pid) == ("saving step 1,250", 3.0, 48213)
    assert facts.gpu_percent == 0.0
    assert facts.probe_s is not None and facts.probe_s < 15
    assert not facts.is_probe_stuck
    assert not list(run.path.glob(".write-test*"))
    assert examine_silence(run, read_state(run), may_write=False).probe_s is None


def test_disk_that_does_not_answer_or_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe_disk(RunDir(tmp_path / "nothing")) == (None, False)
    stuck = subprocess.Popen(["sleep", "60"])
    try:
        monkeypatch.setattr(crash.os, "fsync", lambda descriptor: stuck.wait())
        assert probe_disk(RunDir(tmp_path), patience_s=0.1) == (0.1, True)
    finally:
        stuck.kill()
        stuck.wait()
