from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from acestep_tui import __version__, cli
from acestep_tui.headless import cache_command, model_command, scan_command
from acestep_tui.headless import run as run_module
from acestep_tui.headless.command_help import PAGES
from acestep_tui.headless.options import ATTACH_OPTIONS, RUN_OPTIONS, take_options
from engine.contract.fields import SETTINGS, SETTINGS_BY_KEY


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("SIMPLETUNER_ENVIRONMENT", "SIMPLETUNER_ENV", "ENV", "CONFIG_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[run_module.Request]:
    """What the command line asks for, instead of doing it."""
    asked: list[run_module.Request] = []

    def note(request: run_module.Request) -> int:
        asked.append(request)
        return 0

    monkeypatch.setattr(run_module, "run", note)
    return asked


@pytest.mark.parametrize(
    ("typed", "source", "overrides"),
    [
        (["--run", "demo.json"], "demo.json", []),
        (["--run=demo", "--learning_rate=1e-3"], "demo", ["--learning_rate=1e-3"]),
        (["--json", "--run", "env=mine", "--seed", "3", "--quiet"], "env=mine", ["--seed", "3"]),
        (["train", "env=mine", "--init_lora=/x.safetensors"], "env=mine", ["--init_lora=/x.safetensors"]),
        (["train", "--env", "mine", "--vae_cache_disable"], "env=mine", ["--vae_cache_disable"]),
        (["train", "--vae_cache_disable", "--env=mine"], "env=mine", ["--vae_cache_disable"]),
        (["train", "demo.json", "max_train_steps=3"], "demo.json", ["max_train_steps=3"]),
        (["train"], "env=default", []),
        (["train", "max_train_steps=3"], "env=default", ["max_train_steps=3"]),
    ],
)
def test_what_a_training_is_asked_for(
    requests: list[run_module.Request], typed: list[str], source: str, overrides: Sequence[str]
) -> None:
    assert cli.run_command_line(typed) == 0
    (request,) = requests
    assert (request.source, list(request.overrides)) == (source, list(overrides))
    assert request.typed == ["acestep-tui", *typed]
    assert request.options.json == ("--json" in typed)
    assert request.options.quiet == ("--quiet" in typed)


def test_train_reads_the_environment_variable(
    requests: list[run_module.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENV", "from-env")
    cli.run_command_line(["train"])
    monkeypatch.setenv("SIMPLETUNER_ENV", "from-simpletuner")
    cli.run_command_line(["train"])
    assert [request.source for request in requests] == ["env=from-env", "env=from-simpletuner"]


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["rnus"], "Did you mean runs?"),
        (["atach", "demo"], "Did you mean attach?"),
        (["--jsn"], "Did you mean --json?"),
        (["--quit", "--run", "demo"], "Did you mean --quiet?"),
        (["runs", "--jsno"], "Did you mean --json?"),
        (["--learning_rate=1", "--run", "demo"], "stand after --run FILE"),
        (["demo.json"], "acestep-tui --run demo.json"),
        (["--run"], "acestep-tui --run demo"),
        (["--run", "demo.json", "--lerning_rate=1"], "learning_rate"),
        (["--run", "demo.json", "--quet"], "Did you mean --quiet?"),
        (["--run", "demo.json", "--int8"], "Did you mean base_model_precision=int8-quanto?"),
        (["--run", "demo.json", "--rank=3"], "The closest known key is lora_rank."),
        (["train", "demo.json", "--frsh"], "Did you mean --fresh?"),
        (["--run", "demo.json", "--learning_rate=fast"], "Nothing was loaded"),
        (["--run", "nothing"], "Give the path"),
        (["train", "env=nothing"], "config/nothing/config.json"),
    ],
)
def test_bad_usage_is_told_with_what_to_do(
    typed: list[str], hint: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "demo.json").write_text(json.dumps({"instance_data_dir": "songs"}))
    assert cli.run_command_line(typed) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("✗ ")
    assert hint in err
    assert not (place / "output").exists()


def test_missing_data_folder_is_exit_2_and_nothing_is_made(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "demo.json").write_text(json.dumps({"instance_data_dir": "no/such/songs"}))
    assert cli.run_command_line(["--run", "demo.json"]) == 2
    assert "no/such/songs" in capsys.readouterr().err
    assert not (place / "output").exists()


def test_help_for_nothing_typed_names_every_command_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command_line([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command.word}" in text for command in cli.COMMANDS)
    assert all(f"--{name}" in text for name in RUN_OPTIONS)
    assert cli.run_command_line(["help"]) == 0
    assert capsys.readouterr().out == text
    assert max(map(len, text.splitlines())) <= 110


OPTIONS_OF = {
    "config": ("json",),
    "cache": cache_command.OPTIONS,
    "model": (*model_command.OPTIONS, "accept-non-commercial"),
    "scan": (*scan_command.OPTIONS, "quick", "thorough", "show"),
    "attach": ATTACH_OPTIONS,
    "runs": ("json",),
    "doctor": ("json",),
}


@pytest.mark.parametrize("word", [entry.word for entry in cli.COMMANDS if entry.word not in ("train", "help")])
def test_each_command_has_a_help_page_of_its_own(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command_line([word, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"acestep-tui {word}") and "Commands\n" not in text
    assert all(f"--{name}" in text for name in OPTIONS_OF.get(word, ()))
    assert cli.run_command_line(["help", word]) == 0
    assert capsys.readouterr().out == text
    assert max(map(len, text.splitlines())) <= 110


def test_help_pages_name_no_option_that_a_command_does_not_have() -> None:
    for word, page in PAGES.items():
        assert sorted(page.option_names) == sorted(f"--{name}" for name in OPTIONS_OF[word]), word


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["cache", "prune", "--yse"], "Did you mean --yes?"),
        (["cache", "status", "--bogus"], "It has --yes, --quiet, --plain, --json."),
        (["cache", "build", "env=x", "--plian"], "Did you mean --plain?"),
        (["scan", "songs", "--quik"], "Did you mean --quick?"),
        (["config", "show", "--jso"], "Did you mean --json?"),
        (["config", "show", "--int8"], "It has --json. As a setting: Did you mean base_model_precision=int8-quanto?"),
        (["config", "explain", "lora_rank", "-j"], "It has --json."),
        (["model", "verify", "--jsno"], "Did you mean --json?"),
        (["runs", "--jsno"], "Did you mean --json?"),
        (["doctor", "--jsno"], "Did you mean --json?"),
    ],
)
def test_an_option_that_a_command_does_not_have_is_refused_with_the_nearest(
    typed: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run_command_line(typed) == 2
    out, err = capsys.readouterr()
    assert out == "" and f"{typed[0]}: unknown option: {typed[-1]}" in err and hint in err


def test_settings_are_no_unknown_options(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "songs").mkdir()
    (place / "demo.json").write_text(json.dumps({"instance_data_dir": "songs"}))
    typed = ["config", "show", "demo.json", "--seed", "-1", "--vae-cache-disable", "--output_dir", "x"]
    assert cli.run_command_line(typed) == 0
    assert "vae_cache_disable" in capsys.readouterr().out


def test_train_help_says_what_is_accepted_and_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command_line(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for setting in SETTINGS:
        assert setting.key in text
        assert (f"\n  --{setting.key}   " in text) == (setting.status == "works"), setting.key
    assert SETTINGS_BY_KEY["ramtorch"].accepted() == "false"
    assert SETTINGS_BY_KEY["flow_custom_timesteps"].accepted() == "null (leave it out)"
    assert all(f"\n{setting.section}\n" in text for setting in SETTINGS if setting.status == "works")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command_line(["--version"]) == 0
    assert capsys.readouterr().out == f"acestep-tui {__version__}\n"


def test_own_options_never_hide_a_setting() -> None:
    assert not {setting.key for setting in SETTINGS} & {*RUN_OPTIONS, "once", "run", "env", "help", "version"}
    options, rest = take_options(["--yes", "--seed", "1", "--once"], RUN_OPTIONS)
    assert (options.yes, options.once, rest) == (True, False, ["--seed", "1", "--once"])


def test_a_fault_of_our_own_is_one_sentence_and_a_file(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(request: run_module.Request) -> int:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(run_module, "run", fail)
    assert cli.run_command_line(["--run", "demo"]) == 1
    err = capsys.readouterr().err
    assert "✗ acestep-tui itself failed: ZeroDivisionError: by zero" in err
    assert "Traceback" not in err
    assert "Traceback" in (place / "state" / "acestep-tui" / "crash.log").read_text()
