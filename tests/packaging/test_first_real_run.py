"""docs/first-real-run.md as it stands there: every `$` line is run, on tiny weights in place of the released ones."""

from __future__ import annotations

import functools
import json
import shlex
from pathlib import Path

import pytest

from acestep_tui.cli import run_command_line
from acestep_tui.headless import model_verify
from acestep_tui.runs import launch
from acestep_tui.runs.caches import known_uses, preparations_folder
from engine.contract.model_checks import CHECKS
from engine.contract.run_dir import RunDir
from engine.verify import sound, training
from tests.packaging.test_readme import blocks, typed
from tests.worker import forked
from tests.worker.conftest import write_song
from tests.worker.front_end import ROOT
from tests.worker.real_front_end import events

PAGE = (ROOT / "docs" / "first-real-run.md").read_text(encoding="utf-8")


@pytest.fixture
def place(home_with_model: Path) -> Path:
    """A home with the model, and two songs."""
    (home_with_model / "songs").mkdir()
    for seed in range(2):
        write_song(home_with_model / "songs" / f"song_{seed}.wav", seed=seed)
    return home_with_model


def test_the_page_works_as_it_stands(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    # A tiny processor's share of the ten-second clip; everything else as typed.
    quick = functools.partial(model_verify.verify, clip_s=1.0, num_steps=2)
    monkeypatch.setattr(model_verify, "verify", quick)
    monkeypatch.setattr(launch, "subprocess", forked.starting_forks(launch))
    [preset] = blocks(PAGE, "json")
    short = {"max_train_steps": 2, "validation_step_interval": 2, "validation_audio_duration": 1}
    more = {"validation_num_inference_steps": 2, "mixed_precision": "no", "lora_rank": 2}
    (place / "first.json").write_text(json.dumps({**json.loads(preset), **short, **more}), encoding="utf-8")
    commands = typed(PAGE)
    assert len(commands) == len(set(commands)) == 10
    out = {}
    for command in commands:
        if command.endswith("> verified.json"):
            continue  # the same checks again, as data: see test_model_command
        code = run_command_line(shlex.split(command)[1:])
        captured = capfd.readouterr()
        out[command] = captured.out
        assert code == 0, (command, captured.out, captured.err)
    rows = out["acestep-tui model verify"].splitlines()
    assert [name for name in CHECKS.values() if not any(row[2:].startswith(name) for row in rows)] == []
    assert not any(row.startswith(("✗", "○")) for row in rows)
    assert "is whole" in out["acestep-tui model fetch"] and "MERT" in out["acestep-tui model status"]
    assert "everything is prepared" in out["acestep-tui cache build first.json"]
    assert "first (cache build)" in out["acestep-tui cache status"]
    assert "all whole, every number finite" in out["acestep-tui cache verify"]
    assert "finished" in out["acestep-tui runs"] and "nothing to remove" in out["acestep-tui cache prune"]
    run = RunDir(place / "runs" / "first")
    assert (run.path / "validation" / "step_2_validation.wav").exists()
    # The run found everything prepared, and both are remembered.
    begun = events(run, "cache_progress")[0]
    assert begun["total"] - begun["done"] <= 1  # the test clip's caption alone is the run's own
    assert {known.run.path.parent for known in known_uses()} == {preparations_folder(), place / "runs"}


def test_the_page_names_every_check_and_the_numbers_are_those_of_the_code():
    rows = [line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("| ")]
    assert rows[1:] == list(CHECKS.values())
    kept = f"within {100 * sound.GOOD_PITCH_SHARE:g} %, a beat {100 * sound.GOOD_BEAT:g} % alike"
    assert f"{kept} and less than {sound.GOOD_ERROR_DB:g} dB" in " ".join(PAGE.split())
    low, high = training.PLAUSIBLE_LOSS
    assert f"between {low:g} and {high:g}" in PAGE
    assert str(training.Effort().clip_s) == "10.0" and "ten seconds" in PAGE
