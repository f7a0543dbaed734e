from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from acestep_tui.runs import registry
from acestep_tui.runs.delete import belongings, delete
from engine.contract import events
from engine.contract.errors import ConfigError, DiskError
from engine.contract.run_dir import ADAPTER_FILE, RunDir
from tests.unit.runs.build import lines, make_checkpoint, make_run, started


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = make_run(tmp_path / "demo", lines(started(), events.RunEnded(outcome="stopped", exit_code=130)))
    make_checkpoint(run, 250)
    (run.path / "checkpoint-500-replaced-tmp").mkdir()
    for folder in (run.validation, run.export, run.control, run.path / "logs"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x" * 100)
    (run.path / ADAPTER_FILE).write_bytes(b"x" * 1000)
    (run.path / ".config.json.host-12.tmp").write_text("left behind")
    registry.remember(run)
    return run


def test_all_of_a_run_goes_and_it_is_off_the_list(run: RunDir) -> None:
    registry.note_seen(run, 5.0)
    expected = belongings(run)
    deleted = delete(run)
    assert deleted.is_folder_gone
    assert deleted.bytes == expected > 1000
    assert not run.path.exists()
    assert registry.known_runs() == []
    assert registry.last_seen(run) is None


def test_what_is_not_the_runs_stays(run: RunDir, tmp_path: Path) -> None:
    (run.path / "songs").mkdir()
    (run.path / "songs" / "mine.flac").write_bytes(b"music")
    (run.path / "notes.txt").write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("x")
    (run.path / "checkpoint-750").symlink_to(tmp_path / "elsewhere")
    deleted = delete(run)
    assert [path.name for path in deleted.kept] == ["checkpoint-750", "notes.txt", "songs"]
    assert not deleted.is_folder_gone
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoint-750", "notes.txt", "songs"]
    assert (tmp_path / "elsewhere" / "precious").exists()
    assert registry.known_runs() == []


def test_nothing_is_deleted_while_a_worker_is_there(run: RunDir) -> None:
    before = sorted(run.path.rglob("*"))
    with run.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="is training") as caught:
            delete(run)
    assert "acestep-tui stop demo" in caught.value.hint
    assert sorted(run.path.rglob("*")) == before
    assert registry.known_runs() == [run]


def test_a_folder_that_is_no_run_and_a_link_are_refused(run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="no run folder"):
        delete(RunDir(tmp_path / "music"))
    (tmp_path / "link").symlink_to(run.path)
    with pytest.raises(ConfigError, match="is a link"):
        delete(RunDir(tmp_path / "link"))
    assert run.events_jsonl.exists()


def test_what_cannot_be_removed_is_named_and_it_can_be_tried_again(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refuse)
        with pytest.raises(DiskError, match="Permission denied"):
            delete(run)
    assert registry.is_run_folder(run.path)
    assert registry.known_runs() == [run]
    assert delete(run).is_folder_gone
