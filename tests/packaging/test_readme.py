"""What README.md tells a reader to type works as it stands there: every `$` line is run by a test of this module."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep_tui.cli import COMMANDS
from engine.contract.backends import load_backends
from engine.contract.config import resolve
from engine.contract.errors import ExitCode
from engine.contract.presets import find_preset
from engine.contract.run_dir import RunDir
from engine.model.tiny import write_tiny_checkpoint
from tests.terminal.terminal import Terminal, program
from tests.worker.conftest import write_song
from tests.worker.front_end import ROOT, Done, wait_for
from tests.worker.real_front_end import END_S, Desk, end_of, events

README = (ROOT / "README.md").read_text(encoding="utf-8")
SCREENS = ["acestep-tui", "acestep-tui attach night-ferry"]
TRAINING = [
    "acestep-tui --run night-ferry.json",
    "acestep-tui --run night-ferry.json --learning_rate=5e-5",
    "acestep-tui train env=night-ferry",
    "acestep-tui runs",
    "acestep-tui attach night-ferry --once",
    "acestep-tui stop night-ferry",
]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def typed(text: str) -> list[str]:
    """The commands of the console blocks, without the prompt and without a remark after them."""
    lines = [line for block in blocks(text, "console") for line in block.splitlines() if line.startswith("$ ")]
    return [line.removeprefix("$ ").partition("   #")[0].partition("      #")[0].strip() for line in lines]


def readme_preset() -> dict[str, object]:
    (block,) = blocks(README, "json")
    preset = json.loads(block)
    assert isinstance(preset, dict)
    return preset


def make_plan(target: str) -> list[str]:
    """The commands that `make TARGET` would run."""
    # The tests may be running under `make test`: its own make must not talk through this one.
    clean = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--no-print-directory", "-n", target]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def look_at(desk: Desk, arguments: list[str], *wanted: str, leaves_with: str) -> str:
    """Open the screens on a terminal, wait for these words, leave; returns what the shell then shows."""
    shown = Terminal(program(*arguments), cwd=desk.cwd, environment={**desk.environment(), "HOME": str(desk.cwd)})
    try:
        shown.wait_for(*wanted, timeout_s=END_S)
        shown.press(leaves_with)
        assert shown.wait() == 0
        return shown.text()
    finally:
        shown.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A folder as README's reader has it, with two songs and the preset; only model and number of steps differ."""
    checkpoint = write_tiny_checkpoint(tmp_path / "model" / "tiny")
    home = tmp_path / "home"
    (home / "songs").mkdir(parents=True)
    for seed in range(2):
        write_song(home / "songs" / f"0{seed + 1} Paper Lanterns.flac", seed=seed)
    preset = {**readme_preset(), "pretrained_model_name_or_path": str(checkpoint)}
    # Test clips as short as the songs: the default of 30 s is for real ones.
    short = {"max_train_steps": 2, "validation_audio_duration": 2.0, "validation_num_inference_steps": 2}
    (home / "night-ferry.json").write_text(json.dumps({**preset, **short}), encoding="utf-8")
    (home / "config" / "night-ferry").mkdir(parents=True)
    # All of README's steps, so that there is a live run to list, look at and stop; compiling for so many takes minutes.
    live = {**preset, "compile": "off"}
    (home / "config" / "night-ferry" / "config.json").write_text(json.dumps(live), encoding="utf-8")
    desk = Desk(home, tmp_path / "cache", tmp_path / "state")
    yield desk
    desk.clear_up()


def test_every_command_of_the_readme_is_run_here() -> None:
    assert typed(README) == ["make demo", "make test", *SCREENS, *TRAINING]


def test_make_demo_is_the_command_the_readme_says() -> None:
    assert make_plan("demo")[-1] == ".venv/bin/acestep-tui --run presets/demo.json"
    assert (ROOT / "presets" / "demo.json").is_file()


def test_make_test_checks_and_runs_every_test() -> None:
    plan = make_plan("test")
    assert re.fullmatch(r"OMP_NUM_THREADS=1 \.venv/bin/python -m pytest( -n \S+ --dist \S+)?", plan[-1])
    for tool in ("ruff format --check", "ruff check", "mypy", "lint-imports"):
        assert any(tool in line for line in plan), tool


def test_every_make_target_that_is_named_exists() -> None:
    pages = [README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")]
    named = {command.split()[1] for page in pages for command in typed(page) if command.startswith("make ")}
    assert {"demo", "test", "env", "check", "package-test"} <= named
    for target in sorted(named | {"bench"}):
        assert make_plan(target), target


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert target.startswith("https://") or (ROOT / target).exists(), f"{page}: {target}"


def test_exit_codes_and_presets_are_those_of_the_code() -> None:
    codes = [int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)]
    assert codes == sorted(int(code) for code in ExitCode)
    assert find_preset("demo") == ROOT / "presets" / "demo.json"
    words = {command.split()[1] for command in TRAINING if not command.split()[1].startswith("-")}
    assert words <= {entry.word for entry in COMMANDS}


def test_the_readmes_preset_is_valid(tmp_path: Path) -> None:
    (tmp_path / "songs").mkdir()
    (tmp_path / "night-ferry.json").write_text(json.dumps(readme_preset()), encoding="utf-8")
    resolved = resolve("night-ferry.json", [], cwd=tmp_path)
    kept = {key: value for key, value in readme_preset().items() if key != "instance_data_dir"}
    assert {key: resolved.config.to_dict()[key] for key in kept} == kept
    (songs,) = load_backends(resolved.config, base_dir=resolved.base_dir).training
    assert songs.instance_data_dir == str(tmp_path / "songs")
    assert not resolved.notices, "a newcomer's first preset raises no warning"


def test_the_training_commands_work_as_they_stand_there(desk: Desk) -> None:
    run = RunDir(desk.cwd / "output" / "night-ferry")

    def words(command: str) -> list[str]:
        program, *rest = shlex.split(command)
        assert program == "acestep-tui"
        return rest

    def call(command: str) -> Done:
        return desk.call(*words(command))

    first, other_rate, by_name, *on_a_live_run = TRAINING
    done = call(first)
    assert done.code == 0, done.err
    # "What you get": every path of that block is there (with this run's number of steps).
    promised = re.findall(r"^  (\S+(?:  \S+)*?)(?:   |$)", blocks(README, "text")[1], re.MULTILINE)
    names = [name for entry in promised for name in entry.split("  ")]
    assert len(names) == 7
    for name in names:
        assert (run.path / name.replace("2000", "2")).exists(), name

    done = call(other_rate)
    assert done.code == 0, done.err
    assert "learning_rate: 0.0001 → 5e-05" in done.err

    training = desk.start(*words(by_name))
    wait_for(lambda: len(events(run, "step")) > 2, "a step with more steps to come", seconds=END_S)
    runs, attach = [call(command) for command in on_a_live_run[:2]]
    assert re.search(r"^● training   night-ferry +\d+ of 2,000 ", runs.out, re.MULTILINE), runs.out
    assert attach.code == 0 and re.match(r"● training   night-ferry   step \d+ of 2,000 ", attach.out), attach.out
    home, monitor = [words(command) for command in SCREENS]
    look_at(desk, home, "Recent runs", "night-ferry", leaves_with="q")
    farewell = look_at(desk, monitor, "night-ferry", "of 2,000", leaves_with="q")
    assert "Training goes on: night-ferry" in farewell and "acestep-tui attach night-ferry" in farewell
    stop = call(on_a_live_run[2])
    assert (stop.code, stop.out) == (0, "night-ferry: stops after the step under way and saves\n")
    assert end_of(training).code == 130
    assert events(run, "checkpoint_saved")[-1]["step"] == events(run, "step")[-1]["step"]
