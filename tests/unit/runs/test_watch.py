from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acestep_tui.runs import crash, launch, watch
from acestep_tui.runs.liveness import Life
from acestep_tui.runs.state import RunState
from acestep_tui.runs.watch import MAX_RECORDS, RunWatcher
from engine.contract import events
from engine.contract.run_dir import RunDir
from tests.unit.runs.build import T0, lines, make_checkpoint, make_run, saved, started, step


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at everything each time, and at no kernel's log."""
    monkeypatch.setattr(watch, "_JUDGE_S", 0.0)
    monkeypatch.setattr(watch, "_FOLDER_S", 0.0)
    monkeypatch.setattr(watch, "_FOLDER_SHARE", 0)
    monkeypatch.setattr(crash, "find_kill", lambda pid, *, died_t, lines: (None, False))


@contextmanager
def held(run: RunDir) -> Iterator[None]:
    with run.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(run: RunDir, *items: events.Event, first_seq: int) -> None:
    with run.events_jsonl.open("a", encoding="utf-8") as file:
        file.write(lines(*items, first_seq=first_seq))


def look(watcher: RunWatcher, state: RunState) -> watch.Update:
    update = watcher.poll(state)
    state.apply(update)
    return update


def test_loading_fills_the_state_with_all_that_the_folder_tells(tmp_path: Path) -> None:
    run = make_run(tmp_path / "night-ferry", lines(started(), step(1), saved(1)), lora_rank=64)
    make_checkpoint(run, 1)
    make_checkpoint(run, 2, is_whole=False)
    run.validation.mkdir()
    (run.validation / "step_1.wav").write_bytes(b"RIFF")
    (run.validation / "step_1.json").write_text("{}")
    with held(run):
        state = RunWatcher(run).load()
    assert (state.name, state.folder) == ("night-ferry", run.path)
    assert state.config == {"lora_rank": 64}
    assert state.origins == {"cwd": str(tmp_path)}
    assert (state.worker.pid, state.worker.is_here) == (48213, True)
    assert state.verdict is not None and state.verdict.is_running
    facts = state.folder_facts
    assert facts is not None
    assert [(point.step, point.is_whole) for point in facts.checkpoints] == [(1, True), (2, False)]
    assert [point.step for point in facts.whole] == [1]
    assert [clip.path.name for clip in facts.clips] == ["step_1.wav"]
    assert facts.size_bytes == sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    assert facts.is_writable and not facts.is_gone
    assert facts.owner
    assert state.news == state.news.__class__(), "what happened before is no toast"


def test_news_come_in_bounded_portions_and_are_toasts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started()))
    with held(run):
        watcher = RunWatcher(run)
        state = watcher.load()
        assert watcher.poll(state).records == []
        say(run, *(step(number) for number in range(1, MAX_RECORDS + 11)), first_seq=1)
        first = look(watcher, state)
        assert (len(first.records), first.has_more) == (MAX_RECORDS, True)
        second = look(watcher, state)
        assert (len(second.records), second.has_more) == (10, False)
        assert state.step_now == MAX_RECORDS + 10
        say(run, events.RunWarning(code="x", message="disk low"), first_seq=MAX_RECORDS + 11)
        look(watcher, state)
        assert [news.title for news in state.take_news()] == ["Disk low."]


def test_a_torn_line_is_not_yet_and_a_spoilt_one_is_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started()))
    watcher = RunWatcher(run)
    state = watcher.load()
    whole = lines(step(1), first_seq=1)
    with run.events_jsonl.open("a") as file:
        file.write("spoilt\n" + whole[:40])
    update = look(watcher, state)
    assert (update.records, update.num_unreadable, state.num_unreadable) == ([], 1, 1)
    with run.events_jsonl.open("a") as file:
        file.write(whole[40:])
    look(watcher, state)
    assert state.step_now == 1


def test_worker_that_dies_is_examined_once_and_then_its_save_points(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started(), events.PhaseStarted(phase="train"), step(1)))
    make_checkpoint(run, 1)
    watcher = RunWatcher(run)
    with held(run):
        state = watcher.load()
        look(watcher, state)
        assert state.crash is None
    first = look(watcher, state)
    assert state.verdict is not None and state.verdict.life is Life.CRASHED
    assert first.crash is not None and not first.crash.is_checked
    assert look(watcher, state).crash is not first.crash
    assert state.crash is not None and state.crash.is_checked
    assert look(watcher, state).crash is state.crash
    assert [entry.text for entry in state.log.newest(9) if entry.glyph == "✗"] == [
        "no further word; the lock is free, so the process is gone"
    ]
    assert [news.kind for news in state.take_news()] == ["crashed"]
    with held(run):
        say(run, started(1), first_seq=3)
        look(watcher, state)
        assert state.crash is None
        assert state.verdict.is_running


def test_our_own_child_that_dies_before_its_first_word_has_crashed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo")
    launch.start_worker(run, command=[sys.executable, "-c", "raise SystemExit('No module named torch')"]).wait()
    watcher = RunWatcher(run)
    state = watcher.load()
    assert state.verdict is not None and state.verdict.life is Life.CRASHED
    look(watcher, state)
    assert state.crash is not None
    assert (state.crash.exit_code, state.crash.log_tail) == (1, ("No module named torch",))


def test_silent_worker_is_examined_after_a_minute_and_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "demo", lines(started(), events.PhaseStarted(phase="train"), step(1)))
    probes: list[RunDir] = []
    monkeypatch.setattr(crash, "probe_disk", lambda run: probes.append(run) or (0.5, False))
    now = [T0 + 2 + 59]
    monkeypatch.setattr(time, "time", lambda: now[0])
    with held(run):
        watcher = RunWatcher(run)
        state = watcher.load()
        assert look(watcher, state).silent is None
        now[0] += 2
        silent = look(watcher, state).silent
        assert silent is not None and silent.probe_s == 0.5
        assert look(watcher, state).silent is silent
        assert probes == [run]
        say(run, step(2), first_seq=3)
        now[0] = T0 + 4
        assert look(watcher, state).silent is None


def test_folder_that_vanishes_keeps_its_last_state_and_may_come_back(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started(), step(7)))
    watcher = RunWatcher(run)
    with held(run):
        state = watcher.load()
        aside = run.path.rename(tmp_path / "aside")
        look(watcher, state)
    assert state.is_gone
    assert state.is_readonly
    assert state.step_now == 7
    assert state.verdict is not None and state.verdict.is_running, "as it was last seen"
    assert state.folder_facts is not None and state.folder_facts.size_bytes > 0
    assert state.crash is None
    aside.rename(run.path)
    look(watcher, state)
    assert not state.is_gone
    shutil.rmtree(run.path)
    assert look(watcher, state).problem == ""
    assert state.is_gone


def test_events_file_alone_removed_keeps_the_state(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started(), step(7)))
    watcher = RunWatcher(run)
    state = watcher.load()
    run.events_jsonl.unlink()
    look(watcher, state)
    assert state.step_now == 7
    assert not state.is_gone


def test_folder_started_anew_under_the_watcher_is_another_course(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started(), *(step(number) for number in range(1, 50))), lora_rank=64)
    watcher = RunWatcher(run)
    state = watcher.load()
    state.asked("1-save", "save", T0)
    holder = state
    run.path.rename(tmp_path / "demo.1")
    fresh = make_run(
        run.path, lines((500.0, started()), (501.0, step(1)), *(step(n) for n in range(2, 80))), lora_rank=8
    )
    assert fresh.events_jsonl.stat().st_size > (tmp_path / "demo.1" / "events.jsonl").stat().st_size
    update = look(watcher, state)
    assert update.fresh is not None
    assert holder is state
    assert (state.step_now, state.num_starts, state.config["lora_rank"]) == (79, 1, 8)
    assert state.folder == run.path
    assert "1-save" in state.commands
    say(run, step(80), first_seq=80)
    look(watcher, state)
    assert state.step_now == 80


def test_file_cut_short_is_another_course(tmp_path: Path) -> None:
    text = lines(started(), *(step(number) for number in range(1, 50)))
    run = make_run(tmp_path / "demo", text)
    watcher = RunWatcher(run)
    state = watcher.load()
    run.events_jsonl.write_text("".join(text.splitlines(keepends=True)[:10]))
    look(watcher, state)
    assert state.step_now == 9


def test_first_line_torn_and_begun_anew_is_the_same_course(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started())[:30])
    watcher = RunWatcher(run)
    state = watcher.load()
    run.events_jsonl.write_text(lines((9.0, started()), step(1)))
    update = look(watcher, state)
    assert update.fresh is None
    assert state.step_now == 1


def test_configuration_is_read_when_it_changed_and_kept_when_it_is_spoilt(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started()), lora_rank=64)
    watcher = RunWatcher(run)
    state = watcher.load()
    assert look(watcher, state).config is None
    run.config_json.write_text("{")
    look(watcher, state)
    assert state.config == {"lora_rank": 64}
    run.config_json.write_text(json.dumps({"lora_rank": 8, "x": "new"}))
    look(watcher, state)
    assert state.config["lora_rank"] == 8


def test_folder_of_somebody_else_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "demo", lines(started()))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    state = RunWatcher(run).load()
    assert state.is_readonly
    assert not state.is_gone


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir(tmp_path / "demo")
    run.path.mkdir()
    run.events_jsonl.mkdir()  # opening it fails as it does without permission
    watcher = RunWatcher(run)
    state = watcher.load()
    look(watcher, state)
    assert state.reading_problem.startswith("events.jsonl cannot be read: ")

    def denied(self: RunWatcher, update: watch.Update) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(RunWatcher, "_look_inside", denied)
    run.events_jsonl.rmdir()
    look(watcher, state)
    assert state.reading_problem == "the run folder cannot be read: Permission denied"


def test_empty_folder_and_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    state = RunWatcher(RunDir(tmp_path / "empty")).load()
    assert state.verdict is not None and state.verdict.life is Life.NEW
    watcher = RunWatcher(RunDir(tmp_path / "nothing"))
    state = watcher.load()
    look(watcher, state)
    assert state.is_gone
    assert state.last_t is None


def test_a_preview_reads_the_events_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started(), step(3)))
    watcher = RunWatcher(run, with_facts=False)
    state = watcher.load()
    look(watcher, state)
    assert state.step_now == 3
    assert (state.folder_facts, state.crash) == (None, None)
    assert state.verdict is not None


def test_a_hundred_events_a_second_are_folded_in_passing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "demo", lines(started()))
    watcher = RunWatcher(run)
    state = watcher.load()
    say(run, *(step(number) for number in range(1, 1001)), first_seq=1)
    update = watcher.poll(state)
    began = time.process_time()
    state.apply(update)
    assert time.process_time() - began < 0.5, "10 s of news; a few ms on an idle computer"
    assert state.step_now == 1000
