"""The demo as a newcomer runs it: the shipped preset, through the whole command, for three seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file

from engine.contract.backends import load_backends
from engine.contract.config import resolve
from engine.contract.run_dir import RunDir
from tests.worker.real_front_end import Desk, events

# screens.md section 5, line by line; NUMBER stands for what a run measures.
SUMMARY = r"""✓ finished in TIME \(planned TIME\)
  held-out loss   LOSS → LOSS   \(2 songs kept aside, same noise, before and after\)
  LoRA            output/demo/export/demo/   SIZE
  test clip       output/demo/validation/step_120_validation.wav   4\.0 s
  proofs          works ✓   loads ✓   can go on ✓   is yours – \(no musical features\)
  left out        1 of 12 songs: 11_broken\.mp3
  again           acestep-tui COMMAND     look: acestep-tui attach demo
"""
TIME, LOSS, SIZE = r"(\d+ min( \d+ s)?|\d+ s)", r"\d\.\d{4}", r"\d+(\.\d)? [KM]B"


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Songs, model and prepared songs are made by the first run and found by the others, as a user's are."""
    return tmp_path_factory.mktemp("demo-cache")


@pytest.fixture
def desk(tmp_path: Path, caches: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, caches, tmp_path / "state")
    yield desk
    desk.clear_up()


def require_summary(out: str, command: str) -> None:
    pattern = SUMMARY.replace("TIME", TIME).replace("LOSS", LOSS).replace("SIZE", SIZE)
    summary = out[out.index("✓ ") :]
    assert re.fullmatch(pattern.replace("COMMAND", re.escape(command)), summary), summary


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_demo_learns_and_leaves_everything_it_promises(desk: Desk, seed: int) -> None:
    # The first seed as shipped; the others without recomputing, which changes no number (test_equalities) and takes a
    # fifth of the time.
    desk.is_real = seed == 1
    typed = ["--run", "demo", f"--seed={seed}", *(["--gradient_checkpointing=false"] if seed > 1 else [])]
    done = desk.call(*typed)
    assert done.code == 0, done.err
    run = RunDir(desk.cwd / "output" / "demo")

    # It learned, and what was learned is in the adapter: with it switched off the loss is what it was.
    measured = events(run, "validation_loss")
    first, last = measured[0], measured[-1]
    assert [event["step"] for event in measured] == [0, 60, 120, 120]
    assert all(event["num_songs"] == 2 for event in measured)
    assert last["loss"] <= 0.9 * first["loss"]
    assert last["base_loss"] > 0.95 * first["loss"]

    require_summary(done.out, " ".join(typed))
    assert done.err == "", "nothing to talk about in a pipe"
    problems = [line.partition(" ")[2] for line in done.out.splitlines() if " file_problem " in line]
    assert problems == [
        'file_problem severity=warning file="07_tide_no_words.flac" reason="no lyrics: trains as an instrumental"',
        'file_problem severity=error file="11_broken.mp3" reason="left out: not audio (0 of 4,096 bytes can be read)"',
    ]

    clip = run.path / "validation" / "step_120_validation.wav"
    audio, rate = soundfile.read(clip)
    assert rate == 48_000 and audio.shape == (4 * 48_000, 2)
    assert np.sqrt(np.mean(audio**2)) > 1e-3, "silence"
    assert json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))["step"] == 120

    adapter = load_file(run.path / "export" / "demo" / "pytorch_lora_weights.safetensors")
    assert any("lora" in name for name in adapter) and all(tensor.isfinite().all() for tensor in adapter.values())

    again = resolve(str(run.config_json), [], cwd=desk.cwd)
    assert (again.config.seed, again.config.max_train_steps) == (seed, 120)
    load_backends(again.config, base_dir=again.base_dir)
    origins = json.loads(run.origins_json.read_text(encoding="utf-8"))
    assert origins["command"] == ["acestep-tui", *typed]
    assert (origins["origins"]["seed"], origins["origins"]["lora_rank"]) == ("flag", "preset")

    if seed == 1:
        run_again_does_nothing(desk, run)


def run_again_does_nothing(desk: Desk, run: RunDir) -> None:
    """The run's own config.json on its own folder: it resumes at the end, proves the same and trains no step."""
    desk.is_real = False
    before = {path: path.read_bytes() for path in run.path.rglob("*.safetensors")}
    num_steps = len(events(run, "step"))
    done = desk.call("--run", "output/demo/config.json")
    assert done.code == 0, done.err
    assert events(run, "run_started")[-1]["resumed_step"] == 120
    assert len(events(run, "step")) == num_steps == 120
    assert {path: path.read_bytes() for path in run.path.rglob("*.safetensors")} == before
    require_summary(done.out, "--run output/demo/config.json")
