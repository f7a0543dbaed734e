"""The disk is judged by what will be written where, and what is there already is not counted twice."""

import dataclasses

import pytest

from engine.contract.config import Config
from engine.contract.errors import DiskError
from engine.contract.events import Plan
from engine.contract.run_dir import GUARD_FILE, RunDir
from engine.train import disk_guard
from engine.train.disk_guard import check_space

GB = 2**30
PARTS = {
    "cache_bytes": 2 * GB,
    "checkpoint_bytes": 3 * GB,
    "num_checkpoints": 2,
    "export_bytes": GB,
    "clip_bytes": GB,
}


@dataclasses.dataclass
class Heard:
    said: list[str]

    def warn(self, code: str, message: str) -> None:
        self.said.append(f"{code}: {message}")


@pytest.fixture
def check(tmp_path, monkeypatch):
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    config = Config.from_dict({"cache_dir": str(tmp_path / "cache")})
    plan = Plan(vram_bytes=0, ram_bytes=0, disk_bytes=0, seconds=0, num_steps=1, num_epochs=1, parts=dict(PARTS))

    def call(*, free: dict[str, float], one_disk: bool = True, assume_yes: bool = False) -> list[str]:
        heard = Heard([])
        monkeypatch.setattr(disk_guard, "disk_free_bytes", lambda path: free[path.name] * GB)
        monkeypatch.setattr(disk_guard, "_device_of", lambda path: 0 if one_disk else hash(path.name))
        check_space(run_dir, config, plan, assume_yes=assume_yes, reporter=heard)
        return heard.said

    call.run_dir = run_dir
    return call


def test_one_disk_holds_all_of_it(check):
    assert check(free={"run": 10.1, "cache": 0}) == []
    with pytest.raises(DiskError, match=r"9\.0 GB") as error:
        check(free={"run": 8.9, "cache": 0})
    assert "--yes" in error.value.hint


def test_each_disk_is_judged_alone(check):
    assert check(free={"run": 8.1, "cache": 2.1}, one_disk=False) == []
    with pytest.raises(DiskError, match="cache"):
        check(free={"run": 100, "cache": 1.9}, one_disk=False)
    with pytest.raises(DiskError, match="run"):
        check(free={"run": 6.9, "cache": 100}, one_disk=False)


def test_yes_turns_the_refusal_into_a_warning(check):
    (said,) = check(free={"run": 1, "cache": 1}, assume_yes=True)
    assert said.startswith("disk_low") and "9.0 GB" in said


def test_clips_are_only_warned_about(check):
    (said,) = check(free={"run": 9.5, "cache": 0})
    assert "test clips" in said


def test_checkpoints_that_are_there_need_no_second_room(check, monkeypatch):
    folder = check.run_dir.checkpoint(1)
    folder.mkdir()
    (folder / GUARD_FILE).touch()
    monkeypatch.setattr(disk_guard, "folder_bytes", lambda path: 3 * GB)
    assert check(free={"run": 7.1, "cache": 0}) == []
    with pytest.raises(DiskError):
        check(free={"run": 5.9, "cache": 0})
