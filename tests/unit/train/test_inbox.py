"""Commands and signals reach the trainer between steps, each answered once."""

from __future__ import annotations

import json

import pytest

from engine.contract import control
from engine.contract.run_dir import RunDir
from engine.telemetry.emitter import Emitter
from engine.train.inbox import Inbox


@pytest.fixture
def box(tmp_path):
    with Emitter(tmp_path / "events.jsonl") as emitter:
        yield Inbox(RunDir(tmp_path), emitter), tmp_path


def answers(folder):
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [(line["command"], line["ok"]) for line in lines if line["kind"] == "command_done"]


def test_pause_and_resume_are_answered_at_once(box):
    inbox, folder = box
    control.send(folder / "control", "pause")
    assert inbox.poll().paused
    control.send(folder / "control", "resume")
    assert not inbox.poll().paused
    assert answers(folder) == [("pause", True), ("resume", True)]
    assert list((folder / "control").glob("*.json")) == []


def test_save_is_answered_only_when_done(box):
    inbox, folder = box
    control.send(folder / "control", "save")
    assert inbox.poll().save
    assert answers(folder) == []
    inbox.answer("save")
    inbox.answer("save")
    assert answers(folder) == [("save", True)]


def test_stop_comes_from_a_file_or_a_signal(box):
    inbox, folder = box
    assert not inbox.stop_requested()
    inbox._on_signal(15, None)
    assert inbox.stop_requested()
    control.send(folder / "control", "stop_now")
    assert inbox.poll().stop


def test_of_two_ways_to_stop_the_one_that_saves_wins(box):
    inbox, folder = box
    control.send(folder / "control", "abort")
    assert inbox.poll().stop and inbox.requests.abort
    control.send(folder / "control", "stop_now")
    assert inbox.poll().stop and not inbox.requests.abort
    control.send(folder / "control", "abort")
    assert not inbox.poll().abort


def test_nonsense_is_refused_by_name(box):
    inbox, folder = box
    (folder / "control").mkdir()
    (folder / "control" / "1.json").write_text('{"kind": "explode"}')
    inbox.poll()
    assert answers(folder) == [("explode", False)]
