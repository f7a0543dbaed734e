from __future__ import annotations

from pathlib import Path

import pytest

from acestep_tui.headless.summary import Ending, summary_lines
from acestep_tui.runs import registry
from acestep_tui.runs.state import RunState
from engine.contract import events
from engine.contract.memory_events import MemoryMeasured, StepsCompiled
from engine.contract.run_dir import GUARD_FILE, RunDir

AGAIN = ["acestep-tui", "--run", "presets/demo.json"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run = RunDir(tmp_path / "output" / "demo")
    run.path.mkdir(parents=True)
    return run


def save(run: RunDir, step: int, *, is_whole: bool = True) -> None:
    run.checkpoint(step).mkdir()
    if is_whole:
        (run.checkpoint(step) / GUARD_FILE).touch()


def finished() -> RunState:
    return RunState(
        num_files=12,
        plan=events.Plan(vram_bytes=0, ram_bytes=1, disk_bytes=1, seconds=100.0, num_steps=120, num_epochs=1),
        problems=[
            events.FileProblem(severity="warning", file="07.flac", code="no_lyrics", reason="no lyrics"),
            events.FileProblem(severity="error", file="11_broken.mp3", code="unreadable", reason="left out"),
        ],
        heldout=[
            events.ValidationLoss(step=0, loss=1.0214, num_songs=2),
            events.ValidationLoss(step=120, loss=0.6127, num_songs=2),
        ],
        samples=[
            events.SampleSaved(step=120, name="v", path="validation/step_120_validation.wav", seconds=4.0, took_s=1.0)
        ],
        exported=events.AdapterExported(
            path="export/demo/pytorch_lora_weights.safetensors",
            format="universal",
            bytes=209_715,
            max_relative_error=0.0,
            verified=True,
        ),
        proofs=events.Proofs(works=True, loads=True, resumes=True, notes={"is_yours": "no musical features"}),
        ended=events.RunEnded(outcome="finished", exit_code=0, steps=120, seconds=92.0),
    )


def test_finished_as_in_the_design(run: RunDir) -> None:
    assert summary_lines(finished(), run, Ending("ended", 0), again=AGAIN) == [
        "✓ finished in 1 min 32 s (planned 1 min 40 s)",
        "  held-out loss   1.0214 → 0.6127   (2 songs kept aside, same noise, before and after)",
        "  LoRA            output/demo/export/demo/   0.2 MB",
        "  test clip       output/demo/validation/step_120_validation.wav   4.0 s",
        "  proofs          works ✓   loads ✓   can go on ✓   is yours – (no musical features)",
        "  left out        1 of 12 songs: 11_broken.mp3",
        "  again           acestep-tui --run presets/demo.json     look: acestep-tui attach demo",
    ]


def test_finished_without_what_was_not_measured(run: RunDir) -> None:
    state = RunState(ended=events.RunEnded(outcome="finished", exit_code=0, seconds=92.0))
    save(run, 120)
    assert summary_lines(state, run, Ending("ended", 0)) == [
        "✓ finished in 1 min 32 s",
        "  save point      output/demo/checkpoint-120/",
        "  look            acestep-tui attach demo",
    ]


def test_a_proof_that_failed_is_shown_as_failed(run: RunDir) -> None:
    state = finished()
    state.proofs = events.Proofs(works=False, notes={"works": "0 of 420 parts changed"})
    lines = summary_lines(state, run, Ending("ended", 0))
    assert "  proofs          works ✗ (0 of 420 parts changed)   loads –   can go on –   is yours –" in lines


def test_stopped(run: RunDir) -> None:
    save(run, 86)
    state = RunState(
        step=events.Step(step=86, total=120, loss=0.7, lr=1e-4),
        ended=events.RunEnded(outcome="stopped", exit_code=130, steps=86),
    )
    assert summary_lines(state, run, Ending("ended", 130), again=AGAIN) == [
        "■ stopped at step 86 of 120",
        "  save point      output/demo/checkpoint-86/",
        "  go on           acestep-tui --run presets/demo.json     look: acestep-tui attach demo",
    ]


def test_failed_names_cause_cure_what_is_safe_and_the_code(run: RunDir) -> None:
    save(run, 60)
    save(run, 80, is_whole=False)
    state = RunState(
        ended=events.RunEnded(outcome="failed", exit_code=7, error="the loss is no longer a number", hint="Halve it.")
    )
    ending = Ending("ended", 7)
    assert ending.is_failure
    assert summary_lines(state, run, ending, again=AGAIN) == [
        "✗ the loss is no longer a number",
        "  Halve it.",
        "  save point      output/demo/checkpoint-60/",
        "  exit code       7",
        "  go on           acestep-tui --run presets/demo.json     look: acestep-tui attach demo",
    ]


def test_many_left_out_are_counted(run: RunDir) -> None:
    state = finished()
    state.problems = [
        events.FileProblem(severity="error", file=f"a/{number}.mp3", code="x", reason="y") for number in range(8)
    ]
    lines = summary_lines(state, run, Ending("ended", 0))
    assert "  left out        8 of 12 songs: 0.mp3, 1.mp3, 2.mp3, 3.mp3, 4.mp3 and 3 more" in lines


def test_leaving_says_how_to_come_back(run: RunDir) -> None:
    state = RunState(step=events.Step(step=1240, total=2000, loss=0.7, lr=1e-4, eta_s=1260.0))
    assert summary_lines(state, run, Ending("left", 0)) == [
        "Training goes on: demo, step 1,240 of 2,000, about 21 min left.",
        "Come back from any terminal:  acestep-tui attach demo",
        "Stop it:  acestep-tui stop demo",
    ]


def test_a_name_that_two_runs_share_is_not_given_as_the_way_back(run: RunDir, tmp_path: Path) -> None:
    other = RunDir(tmp_path / "elsewhere" / "demo")
    other.path.mkdir(parents=True)
    for one in (run, other):
        registry.remember(one)
    lines = summary_lines(finished(), run, Ending("ended", 0), again=AGAIN)
    assert lines[-1].endswith(f"look: acestep-tui attach {run.path}")
    assert f"acestep-tui attach {other.path}" in summary_lines(finished(), other, Ending("left", 0))[1]


def test_the_clip_named_is_that_of_the_caption_by_the_trained_weights(run: RunDir) -> None:
    state = finished()
    names = ["validation_base", "validation", "validation_ema", "jazz", "unconditional", "unconditional_ema"]
    state.samples = [
        events.SampleSaved(step=at, name=name, path=f"validation/step_{at}_{name}.wav", seconds=4.0, took_s=1.0)
        for at in (60, 120)
        for name in names
    ]
    (line,) = [one for one in summary_lines(state, run, Ending("ended", 0)) if "test clip" in one]
    assert line.endswith("/validation/step_120_validation.wav   4.0 s")
    state.samples = [one for one in state.samples if one.name in ("unconditional", "unconditional_ema")]
    (line,) = [one for one in summary_lines(state, run, Ending("ended", 0)) if "test clip" in one]
    assert line.endswith("/validation/step_120_unconditional.wav   4.0 s")


def test_a_card_that_trained_slower_than_it_can_is_told_with_the_reason(run: RunDir) -> None:
    state = finished()
    state.compilation.take(StepsCompiled(is_compiled=False, reasons=("no C compiler is installed",)), 0.0)
    row = "  steps           not compiled: no C compiler is installed"
    assert row not in summary_lines(state, run, Ending("ended", 0)), "a processor is slow either way"
    measured = MemoryMeasured(peak_bytes=1, used_bytes=2, total_bytes=3, step_s=0.2, bucket="60 s", batch_size=1)
    state.measured = measured
    assert row in summary_lines(state, run, Ending("ended", 0))
    state.compilation.take(StepsCompiled(is_compiled=True, has_graphs=False, reasons=("a loss scaler",)), 0.0)
    assert "  steps           no CUDA graphs: a loss scaler" in summary_lines(state, run, Ending("ended", 0))
    state.compilation.take(StepsCompiled(is_compiled=True, has_graphs=True), 0.0)
    assert not any("steps  " in line for line in summary_lines(state, run, Ending("ended", 0)))
