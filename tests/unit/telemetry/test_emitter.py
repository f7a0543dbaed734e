"""The event log: whole lines, a sequence without gaps, an honest error on a full disk."""

from __future__ import annotations

import json
import os
import threading

import pytest

from engine.contract.errors import DiskError
from engine.contract.event_lines import decode
from engine.contract.events import Heartbeat, Step
from engine.telemetry.emitter import Emitter


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_sequence_goes_on_across_a_resume(tmp_path):
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        with Emitter(path) as emitter:
            emitter.emit(Heartbeat(phase="train"))
            emitter.emit(Heartbeat(phase="train"))
    assert [line["seq"] for line in lines(path)] == [0, 1, 2, 3]


def test_a_torn_last_line_is_cut_off_and_its_number_reused(tmp_path):
    path = tmp_path / "events.jsonl"
    with Emitter(path) as emitter:
        emitter.emit(Heartbeat(phase="scan"))
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":1,"t":3,"ki')
    with Emitter(path) as emitter:
        assert emitter.next_seq == 1
        emitter.emit(Heartbeat(phase="cache"))
    assert [(line["seq"], line["phase"]) for line in lines(path)] == [(0, "scan"), (1, "cache")]


def test_a_last_line_longer_than_the_reading_window_is_found(tmp_path):
    path = tmp_path / "events.jsonl"
    with Emitter(path) as emitter:
        emitter.emit(Heartbeat(phase="a"))
        emitter.emit(Heartbeat(phase="x" * 300_000))
    with Emitter(path) as emitter:
        assert emitter.next_seq == 2


def test_threads_never_tear_or_skip(tmp_path):
    path = tmp_path / "events.jsonl"
    with Emitter(path) as emitter:

        def shout():
            for _ in range(200):
                emitter.emit(Heartbeat(phase="train"))

        threads = [threading.Thread(target=shout) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [line["seq"] for line in lines(path)] == list(range(800))


def test_numbers_that_are_not_finite_become_null_and_are_named(tmp_path):
    path = tmp_path / "events.jsonl"
    with Emitter(path) as emitter:
        emitter.emit(Step(step=1, total=2, loss=float("nan"), lr=float("inf")))
    (line,) = lines(path)
    assert line["loss"] is None and line["nonfinite"] == ["loss", "lr"]
    event = decode(path.read_text(encoding="utf-8")).event
    assert isinstance(event, Step) and event.loss != event.loss


def test_a_short_write_leaves_no_torn_line(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    with Emitter(path) as emitter:
        emitter.emit(Heartbeat(phase="scan"))
        real = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, content[:5]))
        with pytest.raises(DiskError) as caught:
            emitter.emit(Heartbeat(phase="cache"))
        assert str(path) in caught.value.message
        monkeypatch.undo()
        emitter.emit(Heartbeat(phase="train"))
    assert [(line["seq"], line["phase"]) for line in lines(path)] == [(0, "scan"), (1, "train")]


def test_a_folder_that_cannot_be_made_is_a_disk_error_or_says_why(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises((DiskError, NotADirectoryError)):
        Emitter(tmp_path / "file" / "run" / "events.jsonl")


def test_a_damaged_whole_line_does_not_stop_a_resume(tmp_path):
    path = tmp_path / "events.jsonl"
    with Emitter(path) as emitter:
        emitter.emit(Heartbeat(phase="scan"))
    with path.open("ab") as file:
        file.write(b"\0\0\0\0\n")
    with Emitter(path) as emitter:
        assert emitter.next_seq == 1
