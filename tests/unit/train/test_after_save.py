"""A checkpoint's test clips, the program that is told of it, and damaged ones that are deleted."""

from __future__ import annotations

import json
import time

import pytest

from engine.contract.checkpoint_files import MANIFEST_FILE
from engine.contract.errors import ModelError
from engine.contract.run_dir import GUARD_FILE, KEEP_FILE, RunDir
from engine.train.after_save import CheckpointProgram, add_assets
from engine.train.resume import find_checkpoint


def test_the_clips_of_a_step_stand_in_its_checkpoint(tmp_path):
    run, folder = RunDir(tmp_path), tmp_path / "checkpoint-5-tmp"
    run.validation.mkdir()
    folder.mkdir()
    for name in ("step_5_pop", "step_5_rock", "step_50_pop"):
        (run.validation / f"{name}.wav").write_text(name, encoding="utf-8")
    (run.validation / "step_5_pop.json").write_text("{}", encoding="utf-8")
    add_assets(run, folder, step=5)
    found = sorted(path.name for path in (folder / "assets").iterdir())
    assert found == ["audio_0.json", "audio_0.wav", "audio_1.wav"]
    assert (folder / "assets" / "audio_1.wav").read_text(encoding="utf-8") == "step_5_rock"


def test_clips_are_copied_where_a_disk_has_no_links(tmp_path, monkeypatch):
    run, folder = RunDir(tmp_path), tmp_path / "checkpoint-5-tmp"
    run.validation.mkdir()
    folder.mkdir()
    (run.validation / "step_5_a.wav").write_bytes(b"sound")

    def no_links(*_):
        raise PermissionError

    monkeypatch.setattr("os.link", no_links)
    add_assets(run, folder, step=5)
    assert (folder / "assets" / "audio_0.wav").read_bytes() == b"sound"


def test_a_step_without_clips_has_no_assets(tmp_path):
    folder = tmp_path / "checkpoint-5-tmp"
    folder.mkdir()
    add_assets(RunDir(tmp_path), folder, step=5)
    assert list(folder.iterdir()) == []


def program_of(tmp_path, body: str, said: list[str]) -> CheckpointProgram:
    path = tmp_path / "tell.sh"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return CheckpointProgram.of(str(path), warn=lambda code, message: said.append(f"{code}: {message}"))


def wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_program_gets_the_checkpoint_and_training_does_not_wait(tmp_path):
    said: list[str] = []
    program = program_of(tmp_path, f'sleep 1; echo "$1" > {tmp_path}/told', said)
    started = time.monotonic()
    program.start(tmp_path / "checkpoint-5")
    assert time.monotonic() - started < 0.8
    program.close()
    assert said and said[0].startswith("program_runs_on: ") and "checkpoint-5" in said[0]
    wait_for(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text(encoding="utf-8"))
    assert (tmp_path / "told").read_text(encoding="utf-8").strip() == str(tmp_path / "checkpoint-5")


def test_a_program_that_fails_is_said_and_stops_nothing(tmp_path):
    said: list[str] = []
    program = program_of(tmp_path, "exit 9", said)
    program.start(tmp_path / "checkpoint-5")

    def is_said() -> bool:
        program.look()
        return bool(said)

    wait_for(is_said)
    assert "ended with 9 for checkpoint-5" in said[0]
    program.look()
    assert len(said) == 1
    (tmp_path / "tell.sh").unlink()
    program.start(tmp_path / "checkpoint-6")
    assert "cannot be run for checkpoint-6" in said[1]


def test_without_a_program_nothing_happens(tmp_path):
    program = CheckpointProgram.of(None, warn=lambda code, message: pytest.fail(message))
    program.start(tmp_path)
    program.close()


def checkpoint(tmp_path, step: int, *, whole: bool = True, guard: bool = True):
    folder = tmp_path / f"checkpoint-{step}"
    folder.mkdir()
    files = {} if whole else {"missing.safetensors": {"bytes": 3, "sha256": "x"}}
    (folder / MANIFEST_FILE).write_text(json.dumps({"files": files}), encoding="utf-8")
    if guard:
        (folder / GUARD_FILE).touch()
    return folder


def found(tmp_path, said: list[str], *, wanted: str = "latest", delete: bool = True):
    return find_checkpoint(
        RunDir(tmp_path), wanted, warn=lambda code, message: said.append(code), delete_damaged=delete
    )


def test_damaged_checkpoints_go_once_a_whole_one_is_found(tmp_path):
    whole = checkpoint(tmp_path, 1)
    unguarded, damaged = checkpoint(tmp_path, 2, guard=False), checkpoint(tmp_path, 3, whole=False)
    said: list[str] = []
    assert found(tmp_path, said, delete=False) == whole
    assert unguarded.is_dir() and damaged.is_dir()
    assert found(tmp_path, said) == whole
    assert not unguarded.exists() and not damaged.exists()
    assert said.count("damaged_checkpoint_deleted") == 2


def test_the_only_checkpoints_are_never_deleted(tmp_path):
    damaged = checkpoint(tmp_path, 3, whole=False)
    with pytest.raises(ModelError, match="none of its 1 checkpoints is whole"):
        found(tmp_path, [])
    assert damaged.is_dir()


def test_older_damaged_ones_are_left_alone(tmp_path):
    damaged, newest = checkpoint(tmp_path, 1, whole=False), checkpoint(tmp_path, 2)
    assert found(tmp_path, []) == newest
    assert damaged.is_dir()


def test_what_is_kept_by_hand_or_lies_elsewhere_stays(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outside = checkpoint(elsewhere, 9, whole=False)
    run = tmp_path / "run"
    run.mkdir()
    whole, kept = checkpoint(run, 1), checkpoint(run, 2, whole=False)
    (kept / KEEP_FILE).touch()
    (run / "checkpoint-9").symlink_to(outside)
    said: list[str] = []
    assert found(run, said) == whole
    assert kept.is_dir() and (outside / MANIFEST_FILE).exists()
    assert said.count("damaged_checkpoint_stays") == 2


def test_a_named_checkpoint_still_raises(tmp_path):
    checkpoint(tmp_path, 1)
    damaged = checkpoint(tmp_path, 2, whole=False)
    with pytest.raises(ModelError, match="missing"):
        found(tmp_path, [], wanted="checkpoint-2")
    assert damaged.is_dir()
