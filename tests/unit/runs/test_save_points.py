"""Save points: what events and folder tell together, keeping, deleting, and what must stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from acestep_tui.runs.facts import CheckpointCheck, CheckpointFact, FolderFacts
from acestep_tui.runs.inspect import look_at_folder
from acestep_tui.runs.liveness import Life, Verdict
from acestep_tui.runs.save_points import delete, resume_point, save_points, seen, set_kept, why_not_delete
from acestep_tui.runs.state import RunState, fold_all
from engine.contract import event_lines, events
from engine.contract.run_dir import GUARD_FILE, KEEP_FILE, RunDir


def folded(*steps: int, held_out: dict[int, float] | None = None, folder: Path = Path("/runs/x")) -> RunState:
    said: list[events.Event] = []
    for step in steps:
        if held_out and step in held_out:
            said.append(events.ValidationLoss(step=step, loss=held_out[step], num_songs=2))
        said.append(events.CheckpointSaved(step=step, path=f"checkpoint-{step}", bytes=10, verified=True))
    lines = [event_lines.decode(event_lines.encode(event, seq=seq, t=100.0 + seq)) for seq, event in enumerate(said)]
    state = fold_all(lines)
    state.folder = folder
    state.verdict = Verdict(Life.RUNNING)
    return state


def fact(step: int, **values: object) -> CheckpointFact:
    made = CheckpointFact(step, Path(f"/runs/x/checkpoint-{step}"), 12, is_whole=True, is_rolling=False, t=7.0)
    return dataclasses.replace(made, **values)


def test_before_anybody_looked_the_events_alone_tell():
    state = folded(10, 20, held_out={10: 0.4, 20: 0.5})
    newest, oldest = save_points(state)
    assert (newest.step, oldest.step) == (20, 10)
    assert (newest.held_out, newest.is_best, oldest.is_best) == (0.5, False, True)
    assert (newest.path, newest.bytes, newest.saved_t) == (Path("/runs/x/checkpoint-20"), 10, 103.0)
    assert newest.is_whole is None and newest.is_proved


def test_what_the_folder_lost_is_gone_and_what_was_just_saved_is_there():
    state = folded(10, 20, 30)
    state.folder_facts = FolderFacts(checkpoints=(fact(20), fact(5, is_whole=False)))
    assert [(point.step, point.is_damaged) for point in save_points(state)] == [(30, False), (20, False), (5, True)]
    assert resume_point(state) is not None and resume_point(state).step == 30  # type: ignore[union-attr]


def test_a_damaged_newest_one_is_not_gone_on_from():
    state = folded(10, 20)
    state.folder_facts = FolderFacts(checkpoints=(fact(10), fact(20, is_whole=False)))
    point = resume_point(state)
    assert point is not None and point.step == 10


def test_a_viewers_own_findings_come_on_top():
    point = save_points(folded(10))[0]
    assert point.path is not None
    damaged = CheckpointCheck(10, point.path, False, "model.safetensors: missing")
    changed = seen(point, {point.path: damaged}, {point.path: True})
    assert changed.is_damaged and changed.is_kept and not changed.is_proved
    assert seen(dataclasses.replace(point, path=None), {}, {}).path is None


def test_what_a_running_run_would_go_on_from_must_stay():
    state = folded(10, 20)
    newest, oldest = save_points(state)
    assert "would go on from this one" in why_not_delete(state, newest)
    assert why_not_delete(state, oldest) == ""
    state.verdict = Verdict(Life.STOPPED)
    assert why_not_delete(state, newest) == ""
    state.folder_facts = FolderFacts(is_writable=False)
    assert "cannot be written" in why_not_delete(state, oldest)


def checkpoint(folder: Path, step: int) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir()
    (made / "weights.bin").write_bytes(b"x" * 100)
    (made / GUARD_FILE).touch()
    return made


def test_keeping_is_a_mark_in_the_folder_that_the_next_look_sees(tmp_path):
    made = checkpoint(tmp_path, 10)
    set_kept(made, is_kept=True)
    assert (made / KEEP_FILE).exists()
    assert look_at_folder(RunDir(tmp_path)).checkpoints[0].is_kept
    set_kept(made, is_kept=False)
    set_kept(made, is_kept=False)
    assert not look_at_folder(RunDir(tmp_path)).checkpoints[0].is_kept
    with pytest.raises(OSError):
        set_kept(tmp_path / "checkpoint-99", is_kept=True)


def test_deleting_removes_the_folder_and_nothing_else(tmp_path):
    made, other = checkpoint(tmp_path, 10), checkpoint(tmp_path, 20)
    delete(made)
    assert [path.name for path in tmp_path.iterdir()] == [other.name]
    with pytest.raises(FileNotFoundError):
        delete(made)


def test_a_link_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    link = tmp_path / "checkpoint-10"
    link.symlink_to(elsewhere)
    with pytest.raises(OSError, match="link"):
        delete(link)
    assert (elsewhere / "precious").exists()
