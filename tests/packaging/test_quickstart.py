"""docs/quickstart.md and its Portuguese twin as they stand: every `$` line and every JSON is run, on tiny weights."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from acestep_tui.cli import run_command_line
from acestep_tui.runs import launch
from engine.contract.backends import load_backends
from engine.contract.config import resolve
from engine.contract.feature_models import MERT, MHUBERT
from engine.contract.run_dir import RunDir
from engine.hardware.models import storage_folder
from engine.model.tiny_features import write_tiny_feature_model
from tests.packaging.conftest import COMMIT
from tests.packaging.test_readme import blocks, typed
from tests.terminal.terminal import Terminal, program
from tests.worker import forked
from tests.worker.conftest import write_song
from tests.worker.front_end import ROOT
from tests.worker.real_front_end import events

DOCS, SEED = ROOT / "docs", ROOT / "tests" / "seed"
PAGE = (DOCS / "quickstart.md").read_text(encoding="utf-8")
TWIN = (DOCS / "quickstart.pt-BR.md").read_text(encoding="utf-8")
NAME = "acestep-training-demo"
CONFIG, HUB_SET, LOCAL_SET, PATTERN, CLIPS, EMBEDDER, ROLLOUT, CONVERTED = blocks(PAGE, "json")
COMMANDS = typed(PAGE)
# As short as the songs; the page's own values are for real ones.
SHORT = {
    "validation_audio_duration": 1.0,
    "validation_num_inference_steps": 2,
    "validation_disable_unconditional": True,
}


def test_both_pages_say_the_same_commands_and_files() -> None:
    assert typed(TWIN) == COMMANDS and blocks(TWIN, "json") == blocks(PAGE, "json")
    assert [line[: line.index(" ")] for line in TWIN.splitlines() if line.startswith("#")] == [
        line[: line.index(" ")] for line in PAGE.splitlines() if line.startswith("#")
    ]
    for text in (PAGE, TWIN):
        for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text):
            assert not target or (DOCS / target).exists(), target
            headings = [line.lstrip("# ").lower() for line in text.splitlines() if line.startswith("#")]
            slugs = [re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings]
            assert not anchor or anchor in slugs, (anchor, slugs)


def test_the_files_of_the_page_are_those_of_the_quickstart() -> None:
    kept = {
        "config.json": CONFIG,
        "multidatabackend_hub.json": HUB_SET,
        "multidatabackend_local.json": LOCAL_SET,
        "lyrics_pattern.jsonpart": PATTERN,
        "lyrics_embedder.json": EMBEDDER,
        "converted_backend.json": CONVERTED,
    }
    for name, block in kept.items():
        assert (SEED / name).read_text(encoding="utf-8").strip() == block.strip(), name


class Reader:
    """Somebody who types what the page says."""

    def __init__(self, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.home, self.capfd = home, capfd
        self.folder = home / "config" / NAME
        self.left = list(COMMANDS)

    def types(self, start: str, *, instead: tuple[str, str] = ("", "")) -> str:
        """Type the page's next command, which begins so; returns what it says."""
        command = self.left.pop(0)
        assert command.startswith(start), (command, start)
        arguments = [word.replace(*instead) if instead[0] else word for word in shlex.split(command)[1:]]
        code = run_command_line(arguments)
        captured = self.capfd.readouterr()
        assert code == 0, f"{command}\n{captured.out}\n{captured.err}"
        return captured.out + captured.err

    def writes(self, **more: Any) -> None:
        """The page's config.json with the page's other keys, and as few steps as a test has time for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = json.loads(CONFIG) | more
        (self.folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture
def reader(home_with_model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(launch, "subprocess", forked.starting_forks(launch))
    songs = home_with_model / "datasets" / "my_audio_files"
    songs.mkdir(parents=True)
    for seed in range(2):
        write_song(songs / f"track_0{seed + 1}.flac", seed=seed)
    (songs / "track_02.lyrics").unlink()
    return Reader(home_with_model, capfd)


def looks_at_the_screens(reader: Reader) -> None:
    assert reader.left.pop(0) == "acestep-tui"
    shown = Terminal(program(), cwd=reader.home, environment=os.environ)
    try:
        shown.wait_for("Set up a training run", timeout_s=60)
        shown.press("q")
        assert shown.wait() == 0
    finally:
        shown.close()


def test_every_command_works_as_it_stands(reader: Reader) -> None:
    looks_at_the_screens(reader)
    assert "is whole" in reader.types("acestep-tui model fetch")
    assert "whole" in reader.types("acestep-tui model status")

    reader.writes()
    (reader.folder / "multidatabackend.json").write_text(LOCAL_SET, encoding="utf-8")
    assert "int8-quanto" in reader.types("acestep-tui config show")
    assert "0.0001" in reader.types("acestep-tui config explain learning_rate")
    assert "track_02" in reader.types("acestep-tui scan env=")
    assert "2" in reader.types("acestep-tui scan datasets/my_audio_files --quick")
    assert "track_01" in reader.types("acestep-tui scan datasets/my_audio_files --show")

    run = RunDir(reader.home / "output" / NAME)
    learning = json.loads(CLIPS) | json.loads(EMBEDDER) | json.loads(ROLLOUT) | SHORT
    reader.writes(**learning, max_train_steps=1)
    reader.types(f"acestep-tui train env={NAME}")
    assert (run.path / "validation" / "step_1_validation.wav").exists()
    (step,) = events(run, "step")
    assert step["lyrics_embedder_learning_rate"] == pytest.approx(5e-5) and step["rollout_share"] is not None

    reader.writes(max_train_steps=1, output_dir="output/nothing-kept", cache_dir_vae="nothing-kept")
    reader.types(f"acestep-tui train env={NAME} --vae_cache_disable")
    assert not list((reader.home / "nothing-kept").rglob("*.safetensors"))

    lora = next(run.export.rglob("pytorch_lora_weights.safetensors"))
    reader.writes(max_train_steps=1, output_dir="output/from-a-lora")
    reader.types(f"acestep-tui train env={NAME} --init_lora", instead=("/path/to/lora.safetensors", str(lora)))
    assert events(RunDir(reader.home / "output" / "from-a-lora"), "run_ended")[-1]["outcome"] == "finished"

    for model in (MERT, MHUBERT):
        storage = storage_folder(model.hub_id)
        write_tiny_feature_model(storage / "snapshots" / COMMIT, model)
        (storage / "refs").mkdir()
        (storage / "refs" / "main").write_text(COMMIT, encoding="ascii")
    said = reader.types("acestep-tui model fetch mert mhubert")
    assert said.count("is whole") == 2, said

    said = reader.types("acestep-tui migrate")
    migrated = resolve("env=chinese_rap", [], cwd=reader.home).config
    assert (migrated.lora_rank, migrated.max_train_steps, migrated.checkpointing_steps) == (256, 200000, 2000)
    assert "to_out.0" in migrated.peft_lora_target_modules and "speaker_embedder" in said
    assert not reader.left, "a command of the page was not run"


def test_each_row_of_the_table_is_what_migrate_does(home_with_model: Path) -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `--")]
    assert len(rows) == 8 and all(line in TWIN for line in PAGE.splitlines() if line.startswith("| `--"))
    for number, (there, here) in enumerate(rows):
        key, *values = re.findall(r"`([^`]+)`", here)
        option, *others = re.findall(r"`([^`]+)`", there)
        flag, first = option.split()
        wanted = values or [here.rpartition(" ")[2]]
        for index, (given, value) in enumerate(zip([first, *others], wanted, strict=True)):
            name = f"row_{number}_{index}"
            assert run_command_line(["migrate", f"python trainer.py {flag} {given} --exp_name {name}"]) == 0
            got = resolve(f"env={name}", [], cwd=home_with_model).config[key]
            assert str(got) == value or float(got) == float(value), (there, here, got)


def test_the_other_json_is_accepted_where_the_page_puts_it(reader: Reader) -> None:
    reader.writes(num_train_epochs=1)
    for song_list, name in (
        (json.loads(HUB_SET), "Yi3852/ACEStep-Songs"),
        ([json.loads(CONVERTED)], "path/to/converted/dataset"),
    ):
        (reader.folder / "multidatabackend.json").write_text(json.dumps(song_list), encoding="utf-8")
        (reader.home / "path" / "to" / "converted" / "dataset").mkdir(parents=True, exist_ok=True)
        resolved = resolve(f"env={NAME}", [], cwd=reader.home)
        (backend,) = load_backends(resolved.config, base_dir=reader.home).training
        assert backend.rows is not None and backend.rows.name == name
    local = json.loads(LOCAL_SET)
    local[0].update(json.loads(f"{{{PATTERN}}}"))
    (reader.folder / "multidatabackend.json").write_text(json.dumps(local), encoding="utf-8")
    (backend,) = load_backends(resolve(f"env={NAME}", [], cwd=reader.home).config, base_dir=reader.home).training
    assert backend.audio.lyrics_filename_format == "{filename}_lyrics.txt"
