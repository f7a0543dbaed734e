"""Files, run folder, control and events: the contract between worker and viewers."""

from __future__ import annotations

import dataclasses
import errno
import os

import pytest

from engine.contract import control, event_lines, events, files
from engine.contract.errors import DiskError
from engine.contract.run_dir import GUARD_FILE, RunDir, checkpoint_step


def test_write_atomic_replaces_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "value.json"
    files.write_json(path, {"ä": 1})
    assert files.read_json(path) == {"ä": 1}

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError) as caught:
        files.write_json(path, {"b": 2}, action="saving the value")
    assert "saving the value" in caught.value.message and str(path) in caught.value.message and caught.value.hint
    assert files.read_json(path) == {"ä": 1}
    assert [entry.name for entry in path.parent.iterdir()] == ["value.json"]


def test_an_error_that_is_not_the_disks_is_not_dressed_up(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.EINVAL, "bad call")))
    with pytest.raises(OSError, match="bad call"):
        files.write_atomic(tmp_path / "x", b"1")


def test_commands_come_in_order_and_unreadable_ones_are_answered(tmp_path):
    folder = tmp_path / "control"
    first = control.send(folder, "pause")
    second = control.send(folder, "sample", prompt="x")
    (folder / "zz.json").write_text("{")
    found = control.pending(folder)
    assert [command.kind for command in found] == ["pause", "sample", "invalid"]
    assert [command.id for command in found[:2]] == [first, second]
    assert found[1].arguments == {"prompt": "x"}
    with pytest.raises(ValueError, match="not a command"):
        control.send(folder, "explode")
    assert control.pending(tmp_path / "nowhere") == []


def test_checkpoints_are_sorted_by_step_and_only_guarded_ones_are_whole(tmp_path):
    run = RunDir(tmp_path)
    for name in ("checkpoint-500", "checkpoint-1000", "checkpoint-20-rolling", "checkpoint-30-tmp", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-500" / GUARD_FILE).touch()
    assert [folder.name for folder in run.checkpoints()] == [
        "checkpoint-20-rolling",
        "checkpoint-500",
        "checkpoint-1000",
    ]
    assert [folder.name for folder in run.whole_checkpoints()] == ["checkpoint-500"]
    assert checkpoint_step(run.checkpoint(20, rolling=True)) == 20
    with pytest.raises(ValueError, match="not the name"):
        checkpoint_step(tmp_path / "other")


@pytest.mark.parametrize("kind", sorted(events.EVENT_TYPES))
def test_every_kind_survives_the_file(kind):
    event_type = events.EVENT_TYPES[kind]
    values = {}
    for entry in dataclasses.fields(event_type):
        name = str(entry.type).split(" ")[0].partition("[")[0]
        values[entry.name] = {"str": "x", "int": 3, "float": 0.5, "bool": True, "tuple": ()}.get(name, {})
    event = event_type(**values)
    record = event_lines.decode(event_lines.encode(event, seq=7, t=1.5))
    assert record.event == event and (record.seq, record.t, record.kind) == (7, 1.5, kind)


def test_unknown_kinds_are_kept_and_torn_lines_refused():
    record = event_lines.decode('{"v":9,"seq":1,"t":2.0,"kind":"dream","depth":3}')
    assert record.event is None and record.data == {"depth": 3}
    for torn in ('{"seq":1,"t":2', "[]", '{"seq":1}'):
        with pytest.raises(ValueError):
            event_lines.decode(torn)
