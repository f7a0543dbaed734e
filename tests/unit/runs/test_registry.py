from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from acestep_tui.runs import registry
from acestep_tui.runs.summary import summarise
from acestep_tui.settings import load_settings
from engine.contract.errors import ConfigError
from engine.contract.run_dir import RunDir


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def make_run(path: Path) -> RunDir:
    path.mkdir(parents=True)
    run = RunDir(path)
    run.origins_json.write_text("{}")
    assert registry.remember(run) == ""
    return run


def test_runs_are_found_by_name_by_path_and_as_the_newest(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "a" / "one"), make_run(tmp_path / "b" / "two")
    assert registry.known_runs() == [two, one]
    assert registry.find_run("one") == one
    assert registry.find_run("a/one") == one
    assert registry.find_run(None) == two


def test_one_name_twice_is_asked_back(tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "one")
    make_run(tmp_path / "b" / "one")
    with pytest.raises(ConfigError) as caught:
        registry.find_run("one")
    assert "a/one" in caught.value.hint
    assert "b/one" in caught.value.hint


def test_the_date_of_a_proposed_folder_need_not_be_typed(tmp_path: Path) -> None:
    first, other = make_run(tmp_path / "2026-11-22_1349_night-ferry"), make_run(tmp_path / "2026-11-23_0900_lofi")
    assert registry.find_run("night-ferry") == registry.find_run("2026-11-22_1349_night-ferry") == first
    assert (registry.handle(first), registry.handle(other)) == ("night-ferry", "lofi")
    with pytest.raises(ConfigError) as caught:
        registry.find_run("night-fery")
    assert "night-ferry?" in caught.value.hint


def test_what_is_shown_to_type_always_means_that_run(tmp_path: Path) -> None:
    early, late = make_run(tmp_path / "2026-11-22_1349_lofi"), make_run(tmp_path / "2026-11-23_0900_lofi")
    with pytest.raises(ConfigError, match="2 runs are named lofi"):
        registry.find_run("lofi")
    plain = make_run(tmp_path / "lofi")
    assert registry.find_run("lofi") == plain, "the whole name goes before a shortened one"
    elsewhere = make_run(tmp_path / "b" / "2026-11-22_1349_lofi")
    for run in (early, late, plain, elsewhere):
        assert registry.find_run(registry.handle(run)) == run


def test_remembering_again_keeps_one_entry_and_vanished_folders_are_not_listed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    registry.remember(run)
    assert registry.known_runs() == [run]
    shutil.rmtree(run.path)
    assert registry.known_runs() == []
    with pytest.raises(ConfigError, match="No runs yet"):
        registry.find_run(None)


def test_damaged_entry_is_passed_over(tmp_path: Path, state: Path) -> None:
    run = make_run(tmp_path / "one")
    (state / "acestep-tui" / "runs" / "damaged.json").write_text("{")
    assert registry.known_runs() == [run]


def test_state_folder_that_cannot_be_written_is_a_sentence_not_an_error(tmp_path: Path, state: Path) -> None:
    shutil.rmtree(state, ignore_errors=True)
    state.write_text("")
    assert "missing from `acestep-tui runs`" in registry.remember(RunDir(tmp_path / "one"))


def test_forgotten_run_is_off_the_list_and_stays_on_disk(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one")
    registry.forget(run)
    registry.forget(run)
    assert registry.known_runs() == []
    assert run.path.is_dir()


def test_when_a_run_was_last_looked_at(tmp_path: Path, state: Path) -> None:
    run = make_run(tmp_path / "one")
    assert registry.last_seen(run) is None
    registry.note_seen(run, 1234.56)
    assert registry.last_seen(run) == 1234.6
    assert registry.known_runs() == [run], "the note is no entry of its own"
    shutil.rmtree(state)
    state.write_text("")
    registry.note_seen(run, 1.0)  # a full or foreign state folder costs the greeting, not the screen
    assert registry.last_seen(run) is None


def copied(path: Path) -> RunDir:
    """A run folder that nobody has remembered."""
    path.mkdir(parents=True)
    run = RunDir(path)
    run.events_jsonl.write_text("", encoding="utf-8")
    return run


def test_run_folders_in_the_runs_folder_are_runs_too(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "acestep" / "runs"
    mine = make_run(folder / "mine")
    older, newer = copied(folder / "older"), copied(folder / "2026-11-22_1349_newer")
    os.utime(older.events_jsonl, (1.0, 1.0))
    (folder / "songs").mkdir()
    (folder / "notes.txt").write_text("no run", encoding="utf-8")
    assert registry.known_runs() == [mine, newer, older], "what was started here comes first"
    assert registry.find_run("newer") == newer
    assert registry.find_run(None) == mine
    assert registry.handle(newer) == "newer"


def test_the_runs_folder_is_the_one_of_the_settings(tmp_path: Path) -> None:
    found = copied(tmp_path / "elsewhere" / "one")
    assert registry.known_runs() == []
    settings = load_settings()
    settings.set("runs_folder", str(tmp_path / "elsewhere"))
    assert registry.known_runs() == [found]
    settings.set("runs_folder", str(tmp_path / "nowhere"))
    assert registry.known_runs() == []


def test_a_run_reached_by_a_link_is_one_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "big-disk" / "one")
    (tmp_path / "home" / "acestep").mkdir(parents=True)
    (tmp_path / "home" / "acestep" / "runs").symlink_to(tmp_path / "big-disk")
    assert registry.known_runs() == [run]


def test_a_folder_that_may_not_be_looked_into_is_named_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(tmp_path / "home" / "acestep" / "runs" / "theirs")
    real_stat = Path.stat

    def refusing(path: Path, **more: bool) -> os.stat_result:
        if path.parent == run.path:
            raise PermissionError(13, "Permission denied", str(path))
        return real_stat(path, **more)

    monkeypatch.setattr(Path, "stat", refusing)
    assert registry.known_runs() == [run]
    summary = summarise(run, 0.0)
    assert summary.status.word == "unreadable"
    assert summary.good_to_know == "its folder cannot be read: permission denied."
