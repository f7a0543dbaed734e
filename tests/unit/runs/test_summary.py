from __future__ import annotations

import fcntl
import json
import os
import platform
from datetime import datetime
from pathlib import Path

import pytest

from acestep_tui.runs import registry
from acestep_tui.runs.liveness import Life
from acestep_tui.runs.summary import RunList, draft_summary, past, summarise
from engine.contract import events
from engine.contract.run_dir import RunDir
from tests.unit.runs.build import T0, lines, make_checkpoint, make_run, started, step

NOW = T0 + 100


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def training(*more: events.Event) -> str:
    return lines(started(), events.PhaseStarted(phase="train"), step(1240, 0.4128, eta_s=1358.0), *more)


def test_a_run_that_trains(tmp_path: Path) -> None:
    run = make_run(tmp_path / "night-ferry", training(), lora_rank=64, model_type="lora")
    run.origins_json.write_text(json.dumps({"goal": "voice"}))
    make_checkpoint(run, 1000)
    with run.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        summary = summarise(run, T0 + 2)
        later = summarise(run, NOW)
    assert summary.status[:2] == ("●", "training")
    assert (summary.steps_text, summary.loss, summary.saves) == ("1,240 of 2,000", 0.4128, (1000,))
    assert summary.news(T0 + 2) == "23 min left"
    assert summary.about == "voice, rank 64"
    assert (summary.is_alive, summary.is_training, summary.good_to_know) == (True, True, "")
    assert summary.size_bytes is not None and summary.size_bytes > 0
    assert summary.run == run
    assert later.status.word == "silent"
    assert later.eta_s is None
    assert later.good_to_know == "no news for 1 min 38 s; ↵ shows what is known."
    assert not later.is_training


def test_crashed_runs_say_what_is_safe_and_how_to_go_on(tmp_path: Path) -> None:
    run = make_run(tmp_path / "choir-voices", training())
    assert summarise(run, NOW).good_to_know == (
        "its process ended without a word; nothing was saved yet, r starts it again."
    )
    make_checkpoint(run, 500)
    make_checkpoint(run, 750, is_whole=False)
    run.worker_json.write_text(json.dumps({"pid": 1, "host": platform.node(), "boot_id": "an earlier one"}))
    summary = summarise(run, NOW)
    assert summary.good_to_know == "the machine restarted; step 500 is safe, r resumes."
    assert summary.life is Life.CRASHED


def test_failed_run_says_what_its_worker_said(tmp_path: Path) -> None:
    failed = events.RunEnded(
        outcome="failed",
        exit_code=7,
        steps=40,
        error="The loss became NaN (not a number).\nmore",
        hint="leave out a.wav",
    )
    run = make_run(tmp_path / "club-edits", lines(started(), step(40, float("nan")), failed), max_train_steps=1500)
    summary = summarise(run, NOW)
    assert summary.good_to_know == "the loss became NaN (not a number). Leave out a.wav"
    assert (summary.loss, summary.step) == (None, 40), "not a number is not a loss"


def test_run_that_failed_before_a_step_and_one_without_a_configuration(tmp_path: Path) -> None:
    failed = events.RunEnded(outcome="failed", exit_code=4, error="no caption anywhere")
    run = make_run(tmp_path / "one", lines(started(), failed), max_train_steps=1500)
    assert summarise(run, NOW).steps_text == "0 of 1,500"
    assert summarise(run, NOW).good_to_know == "no caption anywhere."
    bare = RunDir(tmp_path / "bare")
    bare.path.mkdir()
    summary = summarise(bare, NOW)
    assert (summary.life, summary.steps_text, summary.about, summary.news(NOW)) == (Life.NEW, "–", "", "–")


def test_demo_and_whole_model(tmp_path: Path) -> None:
    songs = [{"id": "songs", "instance_data_dir": "demo:songs"}]
    run = make_run(tmp_path / "demo", training(), lora_rank=8, data_backend_config=songs)
    assert summarise(run, NOW).about == "demo"
    assert summarise(make_run(tmp_path / "full", training(), model_type="full"), NOW).about == "whole model"


def test_another_hosts_run_and_a_read_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "far", training())
    run.worker_json.write_text(json.dumps({"pid": 1, "host": "node17"}))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    summary = summarise(run, T0 + 400)
    assert (summary.host, summary.is_readonly) == ("node17", True)
    assert summary.news(T0 + 400) == "7 min ago on node17"


def test_a_run_that_cannot_be_read_is_shown_as_such(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "odd")
    run.events_jsonl.mkdir(parents=True)
    summary = summarise(run, NOW)
    assert summary.status[:2] == ("✗", "unreadable")
    assert summary.good_to_know.startswith("its folder cannot be read: ")


def test_list_is_sorted_and_follows_what_is_added(tmp_path: Path) -> None:
    older = make_run(tmp_path / "older", training())
    newer = make_run(tmp_path / "newer", training(step(1241), step(1242)))
    alive = make_run(tmp_path / "alive", lines(started(), step(1)))
    for run in (older, newer, alive):
        registry.remember(run)
    runs = RunList()
    with alive.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [summary.name for summary in runs.look(T0 + 3)] == ["alive", "newer", "older"]
        with alive.events_jsonl.open("a") as file:
            file.write(lines(step(2), first_seq=2))
        older.config_json.write_text(json.dumps({"lora_rank": 16, "more": "so that its size changes"}))
        found = {summary.name: summary for summary in runs.look(T0 + 4)}
    assert found["alive"].step == 2
    assert found["older"].method == "rank 16"
    newer.events_jsonl.write_text(lines(started(), step(7)))
    assert {summary.name: summary.step for summary in runs.look(T0 + 5)}["newer"] == 7, "begun anew"
    registry.forget(older)
    assert "older" not in {summary.name for summary in runs.look(T0 + 6)}


def test_drafts() -> None:
    draft = draft_summary("kitchen-tapes", Path("/d/kitchen-tapes.json"), step=3, saved_t=T0)
    assert draft.status[:2] == ("○", "draft")
    assert draft.steps_text == "step 3 of 6"
    assert draft.good_to_know == "a set-up you did not finish; ↵ goes on at step 3."
    assert (draft.about, draft.run, draft.is_alive) == ("not started", None, False)


def test_when_it_was() -> None:
    now = datetime(2026, 11, 22, 14, 21).timestamp()
    assert past(now - 240, now) == "4 min ago"
    assert past(datetime(2026, 11, 22, 9, 12).timestamp(), now) == "today 09:12"
    assert past(datetime(2026, 11, 21, 23, 10).timestamp(), now) == "yesterday 23:10"
    assert past(datetime(2026, 11, 19, 1, 0).timestamp(), now) == "3 days ago"
    assert past(datetime(2026, 11, 12, 1, 0).timestamp(), now) == "12 Nov"
    assert past(None, now) == "–"


@pytest.mark.parametrize(("t", "text"), [(NOW + 3, "just now"), (NOW + 3 * 86_400, "3 days ahead"), (1e18, "–")])
def test_past_of_what_lies_ahead(t: float, text: str) -> None:
    assert past(t, NOW) == text
