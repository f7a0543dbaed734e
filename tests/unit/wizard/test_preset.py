"""A draft as a configuration: what it writes is what a run reads, and SimpleTuner's files open as drafts."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.goals import goal_values
from acestep_tui.wizard.preset import (
    check_draft,
    command,
    environment,
    open_preset,
    planned_config,
    save_preset,
    to_preset,
)
from engine.contract.config import resolve
from engine.contract.errors import ConfigError
from engine.planning.advice import Advice

SEED = Path(__file__).parents[2] / "seed"


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "night ferry"
    folder.mkdir()
    (folder / "one.wav").touch()
    return folder


def draft_of(album) -> Draft:
    draft = Draft()
    draft.set_source(str(album), "instance_data_dir", str(album), album=album.name)
    draft.recommend({"train_batch_size": Advice(2, ""), "audio_max_duration_seconds": Advice(None, "")})
    draft.apply_goal("voice", goal_values("voice"))
    draft.set("max_train_steps", 2000)
    draft.toggle_left_out("one.wav")
    return draft


def test_a_saved_preset_is_the_draft(album, tmp_path):
    draft = draft_of(album)
    path = tmp_path / "p.json"
    save_preset(draft, path)
    resolved = resolve(path, cwd=tmp_path)
    wanted = planned_config(draft)
    different = {key for key in wanted if wanted[key] != resolved.config[key]}
    # The one names the folder, the other the list that it stands for; the run's name is in the rest.
    assert different == {"instance_data_dir", "data_backend_config", "output_dir", "tracker_run_name"}
    assert resolved.config.data_backend_config[0]["instance_data_dir"] == str(album)
    assert resolved.config.exclude_files == ("one.wav",)


def test_a_preset_holds_only_what_differs(album):
    assert to_preset(draft_of(album)) == {
        "instance_data_dir": str(album),
        "exclude_files": ["one.wav"],
        "train_batch_size": 2,
        "max_train_steps": 2000,
        "lora_rank": 64,
        "goal": "voice",
    }


def test_a_length_in_passes_is_written_alone(album):
    draft = draft_of(album)
    draft.set("num_train_epochs", 30)
    preset = to_preset(draft)
    assert preset["num_train_epochs"] == 30
    assert "max_train_steps" not in preset
    assert check_draft(draft, cwd=album).config.max_train_steps == 0


def test_checking_names_the_fields(album):
    draft = draft_of(album)
    assert check_draft(draft, cwd=album).errors == {}
    draft.set("lora_rank", 0)
    draft.set("lr_scheduler", "polynomial")
    draft.set("lr_end", 0.5)
    checked = check_draft(draft, cwd=album)
    assert checked.config is None
    assert checked.errors["lora_rank"].startswith("too small")
    assert "polynomial needs lr_end below" in checked.errors["lr_end"]
    assert set(checked.errors_of("schedule")) == {"lr_end"}


def test_what_the_rules_notice_is_passed_on(album):
    codes = {notice.code for notice in check_draft(draft_of(album), cwd=album).notices}
    assert "no_clips" in codes


@pytest.mark.parametrize("name", ["demo", "lora-12gb", "lora-24gb", "full-80gb"])
def test_shipped_presets_open_and_write_the_same_again(name, tmp_path):
    opened = open_preset(name, cwd=tmp_path)
    assert check_draft(opened.draft, cwd=tmp_path).errors == {}
    path = tmp_path / "again.json"
    save_preset(opened.draft, path)
    first, again = resolve(name, cwd=tmp_path).config, resolve(path, cwd=tmp_path).config
    ignored = {"data_backend_config", "output_dir", "tracker_run_name"}
    assert {key: first[key] for key in first if key not in ignored} == {
        key: again[key] for key in again if key not in ignored
    }


def test_the_demo_opens_with_its_songs(tmp_path):
    draft = open_preset("demo", cwd=tmp_path).draft
    assert (draft.source, draft.value("instance_data_dir")) == ("demo:songs", "demo:songs")
    assert draft.is_yours("lora_rank")


def test_a_simpletuner_environment_opens_with_paths_that_mean_the_same_anywhere(tmp_path):
    folder = tmp_path / "config" / "mine"
    folder.mkdir(parents=True)
    backends = [
        {"id": "a", "type": "local", "dataset_type": "audio", "instance_data_dir": "songs"},
        {"id": "t", "dataset_type": "text_embeds", "default": True, "type": "local", "cache_dir": "cache/text"},
    ]
    (folder / "multidatabackend.json").write_text(json.dumps(backends))
    (folder / "config.json").write_text(json.dumps({"--lora_rank": 32, "train_batch_size": 2, "report_to": "wandb"}))
    opened = open_preset("env=mine", cwd=tmp_path)
    draft = opened.draft
    assert (draft.name, draft.value("lora_rank"), draft.origin("lora_rank")) == ("mine", 32, "preset")
    assert draft.value("data_backend_config") == str(folder / "multidatabackend.json")
    assert any("report_to" in notice.message for notice in opened.notices)

    (folder / "config.json").write_text(json.dumps({"data_backend_config": backends}))
    entries = open_preset("env=mine", cwd=tmp_path).draft.value("data_backend_config")
    assert entries[0]["instance_data_dir"] == str(tmp_path / "songs")
    assert entries[1]["cache_dir"] == str(tmp_path / "cache" / "text")


def test_a_damaged_preset_is_refused_in_words(tmp_path):
    (tmp_path / "bad.json").write_text('{"lora_rank": ')
    with pytest.raises(ConfigError, match="not valid JSON"):
        open_preset("bad.json", cwd=tmp_path)


def test_the_seeds_own_configuration_opens_as_it_is(tmp_path):
    opened = open_preset(str(next(SEED.rglob("config.json"))), cwd=tmp_path)
    assert (opened.draft.value("base_model_precision"), opened.draft.origin("base_model_precision")) == (
        "int8-quanto",
        "preset",
    )


def test_the_command_can_be_pasted(album, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draft = Draft()
    assert command(draft) == "acestep-tui --run FILE"
    draft.name_it("night ferry")
    assert shlex.split(command(draft)) == ["acestep-tui", "--run", "night-ferry.json"]
    assert command(draft, tmp_path / "x.json") == "acestep-tui --run x.json"
    draft.device = "cuda:1"
    assert environment(draft) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "ACESTEP_DEVICE": "cuda:1"}
    assert command(draft).startswith("CUDA_DEVICE_ORDER=PCI_BUS_ID ACESTEP_DEVICE=cuda:1 acestep-tui")
    draft.device = "cpu"
    assert environment(draft) == {"ACESTEP_DEVICE": "cpu"}
