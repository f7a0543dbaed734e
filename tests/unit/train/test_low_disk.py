"""A disk that runs low on the way: stop, wait, or a program."""

from __future__ import annotations

import pytest

from engine.contract.config import Config
from engine.contract.errors import DiskError, StopRequested
from engine.train import low_disk
from engine.train.low_disk import LowDisk

GB = 2**30


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A watch over a disk whose free space the test sets."""
    free = {"bytes": 10 * GB}
    monkeypatch.setattr(low_disk, "disk_free_bytes", lambda path: free["bytes"])
    monkeypatch.setattr(low_disk, "_POLL_S", 0.01)
    monkeypatch.setattr(low_disk, "WAIT_S", 0.03)
    said: list[str] = []

    def make(*, free_gb: float, stops_after: int = 1_000, **settings) -> LowDisk:
        free["bytes"] = int(free_gb * GB)
        asked = iter(range(1_000_000))
        config = Config.from_dict({"disk_low_threshold": "5G", **settings})
        return LowDisk.of(
            config,
            warn=lambda code, message: said.append(f"{code}: {message}"),
            should_stop=lambda: next(asked) >= stops_after,
        )

    make.said, make.free = said, free
    return make


@pytest.fixture
def program(tmp_path):
    def write(body: str) -> str:
        path = tmp_path / "free.sh"
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write


def test_without_a_threshold_nothing_is_looked_at(watch, tmp_path):
    watch(free_gb=0, disk_low_threshold=None).check(tmp_path, doing="saving")
    assert not watch.said


def test_enough_space_is_enough(watch, tmp_path):
    watch(free_gb=5).check(tmp_path, doing="saving")
    assert not watch.said


def test_stop_says_what_is_free_and_what_is_wanted(watch, tmp_path):
    with pytest.raises(DiskError, match="saving step 5") as error:
        watch(free_gb=4.9).check(tmp_path, doing="saving step 5")
    assert "4.9 GB" in str(error.value) and "5.0 GB" in str(error.value) and error.value.exit_code == 5


def test_wait_goes_on_when_there_is_space_again(watch, tmp_path, monkeypatch):
    waiting = watch(free_gb=1, disk_low_action="wait")
    looks: list[int] = []

    def freed(path):
        looks.append(1)
        return 6 * GB if len(looks) > 6 else GB

    monkeypatch.setattr(low_disk, "disk_free_bytes", freed)
    waiting.check(tmp_path, doing="saving")
    assert [line.split(":")[0] for line in watch.said][-1] == "disk_free_again"
    assert sum(line.startswith("disk_low:") for line in watch.said) >= 2


def test_waiting_still_answers_stop(watch, tmp_path):
    with pytest.raises(StopRequested, match="waiting for space"):
        watch(free_gb=1, disk_low_action="wait", stops_after=3).check(tmp_path, doing="saving")


def test_a_program_that_makes_space_lets_the_run_go_on(watch, tmp_path, program, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    watching = watch(free_gb=1, disk_low_action="script", disk_low_script=program('touch "$1/freed"'))
    monkeypatch.setattr(low_disk, "disk_free_bytes", lambda path: 6 * GB if (folder / "freed").exists() else GB)
    watching.check(folder, doing="saving")
    assert (folder / "freed").exists()


@pytest.mark.parametrize(("body", "part"), [("exit 3", "ended with 3"), ("exit 0", "did not make enough space")])
def test_a_program_that_does_not_help_ends_the_run(watch, tmp_path, program, body, part):
    with pytest.raises(DiskError, match=part):
        watch(free_gb=1, disk_low_action="script", disk_low_script=program(body)).check(tmp_path, doing="saving")


def test_a_program_that_takes_long_is_ended_with_the_run(watch, tmp_path, program):
    slow = watch(free_gb=1, disk_low_action="script", disk_low_script=program("exec sleep 60"), stops_after=2)
    with pytest.raises(StopRequested):
        slow.check(tmp_path, doing="saving")


def test_loops_look_only_now_and_then(watch, tmp_path, monkeypatch):
    looked: list[int] = []

    def look(path):
        looked.append(1)
        return 10 * GB

    monkeypatch.setattr(low_disk, "disk_free_bytes", look)
    watching = watch(free_gb=10)
    for _ in range(100):
        watching.check_often(tmp_path, doing="preparing")
    assert len(looked) == 1
