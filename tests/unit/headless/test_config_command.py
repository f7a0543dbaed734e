"""`config show` and `config explain`: values with their origins, and all that is known of a setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acestep_tui import cli
from acestep_tui.runs import registry
from engine.contract.config import Config
from engine.contract.fields import SETTINGS
from engine.contract.interactions import INTERACTIONS
from engine.contract.run_dir import RunDir
from tests.each import of_each

SEED = Path(__file__).parents[2] / "seed"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("SIMPLETUNER_ENVIRONMENT", "SIMPLETUNER_ENV", "ENV", "CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config" / "mine").mkdir(parents=True)
    (tmp_path / "config" / "mine" / "config.json").write_text((SEED / "config.json").read_text())
    return tmp_path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    """What a command line prints on stdout and on stderr, and its exit code."""

    def run(*typed: str) -> tuple[str, str, int]:
        code = cli.run_command_line(typed)
        captured = capsys.readouterr()
        return captured.out, captured.err, code

    return run


def test_show_lists_every_value_by_section_with_its_origin(said, monkeypatch):
    monkeypatch.setenv("PLACE", "elsewhere")
    out, err, code = said(
        "config", "show", "env=mine", "--learning_rate=2e-4", "--output_dir={env:PLACE}/x", "--flux_guidance_value=1"
    )
    assert code == 0
    lines = {line[2:].split()[0]: (line[0], *line[2:].split()[1:]) for line in out.splitlines() if line[2:].strip()}
    assert lines["learning_rate"] == ("●", "0.0002", "flag")
    assert lines["output_dir"] == ("●", "elsewhere/x", "env")
    assert lines["base_model_precision"] == ("●", "int8-quanto", "file")
    assert lines["mixed_precision"] == (" ", "bf16", "file")
    assert lines["lora_rank"] == (" ", "16", "default")
    assert lines["tokenizer_max_length"] == (" ", "256", "tokens", "default")
    assert lines["resolution"] == (" ", "0", "file") and "resolution_type" not in lines
    assert [section for section in ("Model", "LoRA", "Test clips") if f"\n\n{section}\n" not in out] == []
    assert "▲ command line: --flux_guidance_value: ignored for audio" in err


def test_show_as_data_has_every_key(said):
    out, _, code = said("--json", "config", "show", "env=mine", "--num_train_epochs=3")
    shown = json.loads(out)
    assert (code, shown["name"], shown["path"].endswith("config/mine/config.json")) == (0, "mine", True)
    assert list(shown["settings"]) == [setting.key for setting in SETTINGS]
    assert shown["settings"]["num_train_epochs"]["origin"] == "flag"
    assert {key: shown["settings"]["max_train_steps"][key] for key in ("value", "origin", "changed", "default")} == {
        "value": 0,
        "origin": "derived",
        "changed": True,
        "default": 2_000_000,
    }
    assert any(notice["code"] == "no_clips" for notice in shown["notices"])


@pytest.mark.parametrize(
    "typed",
    [
        ["config", "show", "--run", "config/mine/config.json", "--lora_rank=4"],
        ["config", "show", "--run=env=mine", "--lora_rank", "4"],
        ["config", "show", "--env", "mine", "lora_rank=4"],
        ["config", "--json", "show", "config/mine", "--lora_rank=4"],
    ],
)
def test_show_takes_what_stands_behind_a_training_command(said, typed):
    out, _, code = said(*typed, *(["--json"] if "--json" not in typed else []))
    settings = json.loads(out)["settings"]
    assert code == 0
    assert (settings["lora_rank"]["value"], settings["base_model_precision"]["value"]) == (4, "int8-quanto")


def test_show_of_a_run_tells_the_origins_of_its_start(said, place):
    run = RunDir(place / "output" / "night-ferry")
    run.path.mkdir(parents=True)
    run.config_json.write_text(json.dumps(Config.from_dict({"lora_rank": 8, "seed": 7}).to_dict()))
    origins = {"lora_rank": "flag", "seed": "preset", "lora_alpha": "default"}
    run.origins_json.write_text(json.dumps({"origins": origins}))
    registry.remember(run)
    out, _, code = said("config", "show", "night-ferry", "--seed=9", "--json")
    settings = json.loads(out)["settings"]
    assert code == 0
    assert [settings[key]["origin"] for key in ("lora_rank", "seed", "lora_alpha")] == ["flag", "flag", "default"]
    assert settings["seed"]["value"] == 9


def test_a_configuration_that_cannot_be_used_is_told_whole(said):
    out, err, code = said("config", "show", "env=mine", "--lora_rnk=4", "--seed=x")
    assert (code, out) == (2, "")
    assert "lora_rnk" in err and "seed" in err


def test_explain_tells_value_origin_help_range_names_and_company(said):
    out, _, code = said("config", "explain", "checkpoint-step-interval", "env=mine", "--checkpointing_steps=50")
    words = " ".join(out.split())
    assert code == 0
    for part in (
        "checkpointing_steps Save every (Checkpoints)",
        "checkpoint_step_interval is another name of checkpointing_steps.",
        "Save the state after every so many steps; 0 switches it off.",
        "Value 50 steps (from the command line)",
        "Default 2000 steps",
        "Accepted a whole number from 0 (steps)",
        "the newest checkpoints_total_limit and the best one are kept",
    ):
        assert part in words, part


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("--learning-rate", ("learning_rate", "Value 0.0001 (the default)", "from 0 to 1")),
        ("lora_rank", ("On resume cannot change within a run",)),
        ("mixed_precision", ("Written as", "bf16-mixed = bf16", "Accepted no, fp16, bf16")),
        ("attention_mechanism", ("accepted, no effect here: torch's own attention is used",)),
        ("use_dora", ("not supported",)),
        ("ignore_final_epochs", ("the opposite of strict_epoch_limit",)),
        ("disable_vae_cache", ("was removed: write vae_cache_disable",)),
        ("repeats", ("It belongs to a data set, in multidatabackend.json.",)),
        ("audio_bucket_interval", ("Steps of length",)),
        ("truncation_mode", ("the audio block of a data set",)),
        ("snr_gamma", ("snr_gamma: ignored for audio",)),
    ],
)
def test_explain_knows_every_kind_of_name(said, name, parts):
    out, _, code = said("config", "explain", name)
    assert code == 0
    words = " ".join(out.split())
    assert [part for part in parts if part not in words] == []


@of_each("setting", SETTINGS, ids=lambda setting: setting.key)
def test_explain_can_tell_of_every_setting(said, setting):
    out, _, code = said("config", "explain", setting.key, "--json")
    told = json.loads(out)
    assert (code, told["key"], told["help"], told["accepted"]) == (0, setting.key, setting.help, setting.accepted())


@pytest.mark.parametrize(("name", "near"), [("lora_rnk", "lora_rank"), ("rank", "lora_rank"), ("x", "")])
def test_explain_names_the_nearest_of_an_unknown_name(said, name, near):
    out, err, code = said("config", "explain", name)
    assert (code, out) == (2, "")
    assert f"Unknown setting: {name}" in err and near in err and "docs/settings.md" in err


def test_explain_a_setting_whose_value_is_wrong_says_what_is_wrong_with_it(said):
    out, _, code = said("config", "explain", "lora_rank", "env=mine", "--lora_rank=0", "--seed=x")
    assert code == 0
    assert 'cannot be told: command line: --lora_rank = "0": too small' in " ".join(out.split())


@pytest.mark.parametrize("typed", [[], ["shwo"], ["explain"], ["explain", "env=x"]])
def test_bad_usage_shows_how(said, typed):
    out, err, code = said("config", *typed)
    assert (code, out) == (2, "")
    assert "acestep-tui config explain lora_rank" in err


def test_every_interaction_names_declared_settings_once_and_ends_in_a_stop():
    keys = {setting.key for setting in SETTINGS}
    for entry in INTERACTIONS:
        assert set(entry.keys) <= keys and len(set(entry.keys)) == len(entry.keys) > 1
        assert entry.sentence.endswith(".")


SETS = [
    {
        "id": "mine",
        "instance_data_dir": "songs",
        "repeats": 2,
        "start_step": 3,
        "audio": {"max_duration_seconds": 100},
        "caption_shuffle": {"enable": True},
        "text_embeds": "texts",
    },
    {"id": "rows", "type": "huggingface", "dataset_name": "somebody/songs", "caption_column": ["tags"]},
    {"id": "off", "instance_data_dir": "nowhere", "disabled": True},
    {"id": "texts", "dataset_type": "text_embeds", "cache_dir": "cache/{id}", "text_cache_disable": True},
]


def test_show_tells_the_data_sets_and_what_differs(said, place):
    (place / "songs").mkdir()
    (place / "sets.json").write_text(json.dumps(SETS))
    typed = ("config", "show", "env=mine", "--data_backend_config=sets.json")
    out, _, code = said(*typed)
    assert code == 0
    section = out[out.index("Data sets   sets.json") :]
    assert "  mine   local        songs\n" in section and "  rows   huggingface  somebody/songs\n" in section
    assert "  texts  text_embeds  cache/texts\n" in section and "nowhere" not in section
    shown = json.loads(said(*typed, "--json")[0])["data_sets"]
    assert shown["origin"] == "sets.json" and shown["problem"] is None
    assert {one["id"]: one["values"] for one in shown["sets"]} == {
        "mine": {
            "caption_strategy": "textfile",
            "repeats": 2,
            "audio.max_duration_seconds": 100.0,
            "audio.long_clip": "skip",
            "start_step": 3,
            "caption_shuffle": True,
            "text_embeds": "texts",
        },
        "rows": {"caption_strategy": "huggingface", "caption_column": ["tags"], "text_embeds": "texts"},
        "texts": {"text_cache_disable": True},
    }


def test_show_tells_bad_data_sets_beside_the_values(said, place):
    out, _, code = said("config", "show", "env=mine", "--instance_data_dir=nowhere")
    assert code == 0 and "lora_rank" in out
    assert "Data sets   the command line" in out and "no such folder" in out
