"""`migrate`: every option of the original trainer, every default of it, and files that are never lost."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from acestep_tui import cli
from acestep_tui.migrate.upstream import UPSTREAM_DEFAULTS, migrate_command, split_command
from engine.contract.config import resolve
from engine.contract.errors import ConfigError

LORA = {
    "r": 16,
    "lora_alpha": 32,
    "use_rslora": True,
    "lora_dropout": 0.05,
    "bias": "none",
    "target_modules": ["speaker_embedder", "linear_q", "to_q", "to_out.0"],
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("CONFIG_PATH", raising=False)
    return tmp_path


def migrated(command: str, **kwargs):
    return migrate_command(split_command([f"python trainer.py {command}".strip()]), cwd=Path.cwd(), **kwargs)


# The migration table of the quickstart (section 10, row 34): their option and default, ours.
TABLE = {
    "learning_rate": ("1e-4", "learning_rate", 1e-4),
    "num_workers": ("8", "dataloader_num_workers", 8),
    "max_steps": ("2000000", "max_train_steps", 2_000_000),
    "every_n_train_steps": ("2000", "checkpointing_steps", 2000),
    "precision": ("32", "mixed_precision", "no"),
    "accumulate_grad_batches": ("1", "gradient_accumulation_steps", 1),
    "gradient_clip_val": ("0.5", "max_grad_norm", 0.5),
    "shift": ("3.0", "flow_schedule_shift", 3.0),
}


@pytest.mark.parametrize(("option", "row"), TABLE.items(), ids=TABLE)
def test_each_row_of_the_migration_table_and_its_default(option, row):
    typed, key, value = row
    assert UPSTREAM_DEFAULTS[option] == typed
    assert migrated("").config[key] == value
    assert migrated(f"--{option} {typed}").config[key] == value


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("--learning_rate=3e-5", "learning_rate", 3e-5),
        ("--num_workers 0", "dataloader_num_workers", 0),
        ("--max_steps 700", "max_train_steps", 700),
        ("--max_steps -1", "max_train_steps", 2_000_000),
        ("--epochs 5", "num_train_epochs", 5),
        ("--epochs 5", "max_train_steps", 0),
        ("--epochs 5 --max_steps -1", "num_train_epochs", 5),
        ("--epochs 5 --max_steps 100", "max_train_steps", 100),
        ("--epochs 5 --max_steps 100", "num_train_epochs", 0),
        ("--every_n_train_steps 50", "checkpointing_steps", 50),
        ("--every_plot_step 60", "validation_step_interval", 60),
        ("--accumulate_grad_batches 4", "gradient_accumulation_steps", 4),
        ("--gradient_clip_val 1.5", "max_grad_norm", 1.5),
        ("--gradient_clip_algorithm value", "grad_clip_method", "value"),
        ("--shift 2", "flow_schedule_shift", 2),
        ("--checkpoint_dir /models/ace", "pretrained_model_name_or_path", "/models/ace"),
        *((f"--precision {text}", "mixed_precision", "no") for text in ("32", "32-true")),
        *((f"--precision {text}", "mixed_precision", "fp16") for text in ("16", "16-mixed", "16-true")),
        *((f"--precision {text}", "mixed_precision", "bf16") for text in ("bf16", "bf16-mixed", "bf16-true")),
        # What stands in the trainer's code.
        ("", "adam_beta1", 0.8),
        ("", "adam_beta2", 0.9),
        ("", "adam_weight_decay", 0.01),
        ("", "lr_scheduler", "linear"),
        ("", "lr_end", 0.0),
        ("", "lr_warmup_steps", 10),
        ("", "ace_step_ssl_loss_weight", 1.0),
        ("", "lora_dropout", 0.0),
        ("", "caption_dropout_probability", 0.0),
        ("", "grad_clip_method", "norm"),
        ("", "lora_rank", 256),
        ("", "lora_alpha", 32),
        ("", "lora_use_rslora", True),
        ("", "peft_lora_target_modules", ["linear_q", "linear_k", "linear_v", "to_q", "to_k", "to_v", "to_out.0"]),
        ("", "model_type", "lora"),
    ],
)
def test_options_and_what_the_trainer_does_by_itself(typed, key, value):
    assert migrated(typed).config[key] == value


def test_every_option_of_the_trainer_is_told_or_listed_as_without_an_equivalent(place):
    (place / "l.json").write_text(json.dumps(LORA))
    values = {option: value or "x" for option, value in UPSTREAM_DEFAULTS.items()} | {"lora_config_path": "l.json"}
    result = migrated(" ".join(f"--{option} {value}" for option, value in values.items()))
    told = [line.theirs for line in (*result.lines, *result.unused)]
    for option, value in values.items():
        assert told.count(f"--{option} {value}") == 1, option
    assert [line.theirs for line in result.lines] == [
        f"--{option} {value}" for option, value in values.items() if f"--{option} {value}" in told[: len(result.lines)]
    ]
    assert all(line.note for line in result.unused)
    assert not any(line.theirs.startswith("its default") for line in result.fixed)


def test_the_trainers_own_lora_file_is_known_where_it_is_not_here():
    for typed in ("", "--lora_config_path config/zh_rap_lora_config.json"):
        result = migrated(typed)
        assert (result.config["lora_rank"], result.config["lora_alpha"]) == (256, 32)
        assert result.config["lora_use_rslora"] and "to_out.0" in result.config["peft_lora_target_modules"]
        (line,) = [one for one in (*result.lines, *result.fixed) if "lora_config_path" in one.theirs]
        assert "not here" in line.note and "run migrate in the folder" in line.note


def test_the_lora_file_gives_rank_alpha_targets_and_names_the_rest(place):
    (place / "l.json").write_text(json.dumps(LORA))
    result = migrated("--lora_config_path l.json")
    assert {key: result.config[key] for key in ("lora_rank", "lora_alpha", "lora_dropout", "lora_use_rslora")} == {
        "lora_rank": 16,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
        "lora_use_rslora": True,
    }
    assert result.config["peft_lora_target_modules"] == ["linear_q", "to_q", "to_out.0"]
    left_out = {line.theirs: line.note for line in result.unused}
    assert "always zero" in left_out["target module speaker_embedder"]
    assert left_out['l.json: bias "none"'] == "has no equivalent here"


@pytest.mark.parametrize(
    ("files", "value", "kind"),
    [
        ({}, "data", "huggingface"),
        ({"data/state.json": "{}"}, "data", "huggingface"),
        ({"data/dataset_dict.json": "{}"}, "data", "huggingface"),
        ({"data/a.wav": ""}, "data", "local"),
    ],
)
def test_the_data_set_is_read_as_what_it_is(place, files, value, kind):
    for name, text in files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    (backend,) = migrated(f"--dataset_path {value} --exp_name my_rap").backends
    assert (backend["id"], backend["type"]) == ("my_rap-songs", kind)
    if kind == "huggingface":
        assert backend["config"] == {"audio_caption_fields": ["tags"], "lyrics_column": "norm_lyrics"}
    assert value in (backend.get("dataset_name"), backend.get("instance_data_dir"))


@pytest.mark.parametrize("inside", ["", "ACE-Step--v1", "models--ACE-Step--ACE-Step-v1-3.5B/snapshots/abc"])
def test_a_model_inside_the_checkpoint_folder_is_found(place, inside):
    (place / "ckpt" / inside / "ace_step_transformer").mkdir(parents=True)
    config = migrated("--checkpoint_dir ckpt").config
    assert (place / config["pretrained_model_name_or_path"]).resolve() == (place / "ckpt" / inside).resolve()


@pytest.mark.parametrize(
    "words",
    [
        ["python trainer.py --exp_name 'my rap' --max_steps 5"],
        ["python", "trainer.py", "--exp_name", "my rap", "--max_steps=5"],
        ["CUDA_VISIBLE_DEVICES=1 python3 \\\n /opt/ACE-Step/trainer.py \\\n --exp_name 'my rap' \\\n --max_steps 5"],
        ["--exp_name", "my rap", "--max_steps", "5"],
    ],
)
def test_a_command_in_every_form(words):
    result = migrate_command(split_command(words), cwd=Path.cwd())
    assert (result.name, result.config["max_train_steps"]) == ("my-rap", 5)
    told = {line.theirs for line in result.unused}
    assert ("CUDA_VISIBLE_DEVICES=1" in told) == words[0].startswith("CUDA")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["python trainer.py --learning_rate fast --precision 8"], 'learning_rate = "fast": not a number'),
        (["python trainer.py --learning_rate fast --precision 8"], 'mixed_precision = "8"'),
        (["python trainer.py --lora_config_path nowhere.json"], "no such file"),
        (["python trainer.py --exp_name 'x"], "cannot be taken apart"),
        (["bake", "a", "cake"], "Not a command line of ACE-Step's trainer"),
        ([], "needs a command line"),
        (["--name=../x", "python trainer.py"], "not a name"),
    ],
)
def test_what_cannot_be_migrated_is_said_and_nothing_written(words, part, place, capsys):
    assert cli.run_command_line(["migrate", *words]) == 2
    out, err = capsys.readouterr()
    assert part in err and out == ""
    assert not (place / "config").exists()


def test_the_written_files_start_a_run_as_they_are(place, capsys):
    (place / "songs").mkdir()
    command = "python trainer.py --exp_name night_ferry --dataset_path songs --max_steps 50"
    assert cli.run_command_line(["migrate", command]) == 0
    out = capsys.readouterr().out
    assert "✓ config/night_ferry/config.json" in out and "acestep-tui train env=night_ferry" in out
    found = resolve("env=night_ferry", cwd=place)
    assert [notice.code for notice in found.notices] == ["no_clips"]
    assert (found.config.max_train_steps, found.config.output_dir) == (50, "output/night_ferry")
    assert found.config.peft_lora_target_modules[0] == "linear_q"
    assert (place / found.config.data_backend_config).is_file()


def test_files_that_are_there_are_never_overwritten_silently(place, capsys, monkeypatch):
    first = ["migrate", "python trainer.py --exp_name x --max_steps 5"]
    second = ["migrate", "python trainer.py --exp_name x --max_steps 6"]
    path = place / "config/x/config.json"
    assert cli.run_command_line(first) == 0
    before = path.read_bytes()
    # The same again changes nothing; another one is refused where nobody can be asked.
    assert cli.run_command_line(first) == 0
    assert cli.run_command_line(second) == 2
    assert "--force" in capsys.readouterr().err and path.read_bytes() == before
    assert cli.run_command_line([second[0], "--force", second[1]]) == 0
    assert "the old one is config/x/config.json.bak1" in capsys.readouterr().out
    assert (place / "config/x/config.json.bak1").read_bytes() == before
    assert json.loads(path.read_text())["max_train_steps"] == 6
    assert not (place / "config/x/multidatabackend.json.bak1").exists()  # it was the same
    for answer, steps in (("n\n", 6), ("y\n", 5)):
        terminal = io.StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        assert cli.run_command_line(first) == (2 if steps == 6 else 0)
        assert json.loads(path.read_text())["max_train_steps"] == steps
    assert (place / "config/x/config.json.bak2").is_file()


def test_another_name_and_the_result_as_data(place, capsys):
    typed = ["migrate", "--name=other", "--json", "--", "python", "trainer.py", "--exp_name", "x", "--devices", "4"]
    assert cli.run_command_line(typed) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["config"]["max_train_steps"]) == ("other", 2_000_000)
    assert {"theirs": "--devices 4", "settings": {}, "note": "one card trains; see num_processes"} in told[
        "without_equivalent"
    ]
    assert told["files"][0] == {"path": "config/other/config.json", "backup": None}
    assert json.loads((place / "config/other/config.json").read_text()) == told["config"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["config/mine"], "acestep-tui train env=mine"),
        (["config/mine/config.json"], "acestep-tui train config/mine/config.json"),
        (["env=mine"], "acestep-tui train env=mine"),
        (["simpletuner train env=mine --lora_rank=4"], "acestep-tui train env=mine --lora_rank=4"),
    ],
)
def test_what_is_simpletuners_needs_nothing(words, command, place, capsys):
    (place / "config/mine").mkdir(parents=True)
    (place / "config/mine/config.json").write_text('{"max_train_steps": 5}')
    assert cli.run_command_line(["migrate", *words]) == 0
    out = capsys.readouterr().out
    assert "it needs nothing" in out and out.rstrip().endswith(command)
    (place / "config/mine/config.json").write_text('{"max_train_steps": "many"}')
    assert cli.run_command_line(["migrate", *words]) == 2


def test_the_help_of_migrate_is_its_own(capsys):
    assert cli.run_command_line(["migrate", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--force" in out and max(map(len, out.splitlines())) <= 115


def test_a_disk_that_cannot_be_written_is_exit_5(place, capsys):
    (place / "config").write_text("a file in the way")
    assert cli.run_command_line(["migrate", "python trainer.py --exp_name x"]) == 5
    assert re.search(r"writing the configuration failed: config/x", capsys.readouterr().err)


def test_a_command_with_an_open_quotation_mark_names_the_reason():
    with pytest.raises(ConfigError, match="quotation"):
        split_command(["python trainer.py --exp_name 'x"])
