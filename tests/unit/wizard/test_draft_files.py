"""Drafts on disk: nothing is lost, nothing is half there, and one of an older version still opens."""

from __future__ import annotations

import json

import pytest

from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.draft_files import (
    delete_draft,
    drafts_folder,
    list_drafts,
    load_draft,
    save_draft,
    snapshot,
)
from acestep_tui.wizard.goals import goal_values
from engine.contract.errors import ConfigError, DiskError


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def full_draft() -> Draft:
    draft = Draft()
    draft.set_source("~/music/night-ferry", "instance_data_dir", "/music/night-ferry", album="Night Ferry")
    draft.apply_goal("voice", goal_values("voice"))
    draft.set("audio_max_duration_seconds", 60.0)
    draft.set("learning_rate", 5e-5)
    draft.toggle_left_out("13 Lighthouse demo.m4a")
    draft.visit("dataset")
    draft.device = "cuda:1"
    return draft


def test_a_draft_comes_back_as_it_was():
    draft = full_draft()
    loaded, notes = load_draft(save_draft(snapshot(draft)))
    assert snapshot(loaded) == snapshot(draft)
    assert loaded.values() == draft.values()
    assert notes == ()


def test_a_new_draft_replaces_no_other():
    first, second = save_draft(snapshot(Draft())), save_draft(snapshot(Draft()))
    assert [path.name for path in (first, second)] == ["new-run.json", "new-run-2.json"]
    assert save_draft(snapshot(Draft()), second) == second


def test_a_draft_that_gets_a_name_moves():
    draft = Draft()
    before = save_draft(snapshot(draft))
    draft.name_it("Night Ferry")
    after = save_draft(snapshot(draft), before)
    assert after.name == "night-ferry.json"
    assert not before.exists()


def test_a_full_disk_is_said_and_the_last_draft_stays(monkeypatch):
    path = save_draft(snapshot(full_draft()))
    written = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskError, match="saving the draft failed"):
        save_draft(snapshot(Draft(name="night-ferry")), path)
    assert path.read_bytes() == written
    assert list(path.parent.iterdir()) == [path]


def test_drafts_are_listed_newest_first_with_their_page_and_goal():
    save_draft(snapshot(full_draft()))
    (drafts_folder() / "broken.json").write_text("{")
    (drafts_folder() / "list.json").write_text("[]")
    found = {draft.path.stem: draft for draft in list_drafts()}
    assert (found["night-ferry"].step, found["night-ferry"].goal, found["night-ferry"].problem) == (3, "voice", "")
    assert "cannot be read" in found["broken"].problem
    assert "no draft" in found["list"].problem
    assert [draft.saved_at for draft in list_drafts()] == sorted((d.saved_at for d in found.values()), reverse=True)


def test_no_folder_is_no_drafts():
    assert list_drafts() == []


def test_a_deleted_draft_is_gone_and_deleting_again_is_no_error():
    path = save_draft(snapshot(Draft()))
    delete_draft(path)
    delete_draft(path)
    assert list_drafts() == []
    with pytest.raises(ConfigError, match="is gone"):
        load_draft(path)


def test_a_draft_of_an_older_version_opens_with_what_is_still_known():
    path = drafts_folder() / "old.json"
    path.parent.mkdir(parents=True)
    old = {
        "name": "old",
        "step": "a page of old",
        "layers": {
            "yours": {
                "checkpoint_step_interval": [100, ""],  # an alias of today's name
                "lora_rank": [0, ""],
                "gone_setting": [1, ""],
                "lora_alpha": [None, ""],
            }
        },
    }
    path.write_text(json.dumps(old))
    draft, notes = load_draft(path)
    assert (draft.name, draft.step, draft.visited) == ("old", "hardware", ["hardware"])
    assert draft.value("checkpointing_steps") == 100
    assert draft.value("lora_rank") == 16
    assert draft.value("lora_alpha") is None
    assert len(notes) == 2
    assert any("gone_setting" in note for note in notes)
    assert any("lora_rank 0" in note for note in notes)


@pytest.mark.parametrize("value", [None, 3, "x", [], {"yours": 3}, {"yours": {"lora_rank": 3}}])
def test_damaged_layers_open_as_an_empty_draft(value):
    path = drafts_folder() / "odd.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"name": "odd", "layers": value, "visited": value, "marks": value, "following": value}))
    draft, _ = load_draft(path)
    assert draft.value("lora_rank") == 16
