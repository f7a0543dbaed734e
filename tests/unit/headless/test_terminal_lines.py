"""The lines of the terminal output as pure functions; the terminal itself is in tests/worker/test_terminal.py."""

from __future__ import annotations

import pytest

from acestep_tui.headless.terminal import (
    bar,
    bar_line,
    compiled_line,
    phase_row,
    plan_line,
    problem_rows,
    summary_rows,
)
from acestep_tui.runs.state import RunState, fold_all
from engine.contract import events
from tests.unit.runs.build import T0, records, started

NOW = T0 + 100.0


def training(done: int = 86, **changes: object) -> RunState:
    step = events.Step(step=done, total=120, loss=0.7312, lr=1e-4, step_s=0.625, eta_s=21.0)
    return RunState(phase="train", phase_done=done, phase_total=120, step=step, **changes)  # type: ignore[arg-type]


def test_training_bar_as_in_the_design() -> None:
    text = bar_line(training(), 120, NOW)
    assert text == f"◐ train     {bar(86 / 120, 40)}    86 of 120  loss 0.7312  1.6 steps/s  21 s left"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_bar_line_fits_and_keeps_its_positions(width: int) -> None:
    lines = [bar_line(training(done), width, NOW) for done in (1, 9, 10, 99, 120)]
    assert all(len(line) < width for line in lines)
    assert len({line.find("of 120") for line in lines}) == 1


@pytest.mark.parametrize("width", [80, 100, 120])
def test_bar_keeps_its_length_while_the_words_after_it_change(width: int) -> None:
    lines = [bar_line(training(span=span), width, NOW) for span in ("", "save", "validate")]
    hurried = training()
    hurried.step = events.Step(step=86, total=120, loss=0.7312, lr=1e-4, step_s=0.0625, eta_s=0.2)
    lines.append(bar_line(hurried, width, NOW))
    assert len({line.count("━") + line.count("─") + line.count("╸") for line in lines}) == 1
    assert all("━" in line for line in lines)
    assert lines[-1].endswith("1 s left")


def test_paused_and_saving_are_said() -> None:
    assert bar_line(training(paused=True), 100, NOW).startswith("‖ train")
    assert bar_line(training(paused=True), 100, NOW).endswith("paused")
    assert bar_line(training(span="save"), 100, NOW).endswith("saving")
    assert bar_line(RunState(), 100, NOW) == ""
    assert bar_line(RunState(phase="load"), 100, NOW) == "◐ load      …"


def test_bar_shapes() -> None:
    assert bar(0.0, 4) == "────"
    assert bar(0.5, 4) == "━━──"
    assert bar(0.6, 4) == "━━╸─"
    assert bar(1.0, 4) == "━━━━"
    assert bar(7.0, 4) == "━━━━"


def test_phase_rows() -> None:
    ended = events.PhaseEnded(phase="cache", done=11, total=11, seconds=9.1)
    (row,) = phase_row(ended, 120)
    assert row == "✓ prepare   11 of 11".ljust(79) + "9 s"
    assert len(phase_row(ended, 80)[0]) == 79
    summary = "12 songs, 1 min 34 s: 10 ready, 1 without lyrics, 1 unreadable, and a good deal more"
    long = events.PhaseEnded(phase="scan", seconds=0.2, summary=summary)
    rows = phase_row(long, 80)
    assert all(len(row) < 80 for row in rows)
    assert rows[1].startswith(" " * 12)
    assert rows[0].endswith("   0.2 s") and len(rows[0]) == 79, "times stand in one column"


def test_time_moves_out_a_little_where_the_terminal_is_wide() -> None:
    ended = events.PhaseEnded(phase="load", seconds=0.5, summary="demo:tiny-model, " + "x" * 54)
    assert phase_row(ended, 120) == [f"✓ load      {ended.summary}   0.5 s"]
    assert len(phase_row(ended, 80)) == 2


def test_plan_line() -> None:
    plan = events.Plan(
        vram_bytes=0, ram_bytes=429_496_730, disk_bytes=6_291_456, seconds=100.0, num_steps=120, num_epochs=1
    )
    started = events.RunStarted(name="demo", dir="x", version="1", pid=1, host="x", device="processor, 2 threads")
    text = "✓ plan      0.4 GB memory, 6 MB disk, 120 steps, about 1 min 40 s on this processor"
    assert plan_line(plan, RunState(started=started)) == text


def test_problem_rows_stand_in_columns() -> None:
    problems = [
        events.FileProblem(severity="warning", file="07_tide_no_words.flac", code="x", reason="no lyrics"),
        events.FileProblem(severity="error", file="11_broken.mp3", code="x", reason="left out: not audio"),
    ]
    assert problem_rows(problems, 80) == [
        "  ▲ 07_tide_no_words.flac   no lyrics",
        "  ✗ 11_broken.mp3           left out: not audio",
    ]


def test_summary_wraps_sentences_and_keeps_commands_whole() -> None:
    proofs = "  proofs          works ✓   loads ✓   can go on ✓   is yours – (no musical features)"
    assert summary_rows(proofs, 100) == [proofs]
    first, second = summary_rows(proofs, 80)
    assert first.startswith("  proofs          works ✓") and second.startswith(" " * 18) and len(first) < 80
    again = f"  again           acestep-tui --run {'x' * 40}.json     look: acestep-tui attach demo"
    assert summary_rows(again, 80) == [again.partition("     look")[0], "  look            acestep-tui attach demo"]
    path = f"  LoRA            {'My Music/' * 10}   88 KB"
    assert summary_rows(path, 80) == [path]


def test_a_download_in_the_scan_has_its_own_words() -> None:
    state = RunState(phase="scan")
    state.download = events.DownloadProgress(model="a/b", done_bytes=3 * 2**30, total_bytes=8 * 2**30)
    assert bar_line(state, 100, NOW) == "◐ scan      downloading the data set: 3.0 GB of 8.0 GB"
    state.download = events.DownloadProgress(model="a/b", done_bytes=8, total_bytes=8)
    assert bar_line(state, 100, NOW) == "◐ scan      …"


def test_compiling_moves_a_bar_of_its_own_and_leaves_a_line() -> None:
    begun = [started(), events.PhaseStarted(phase="warmup"), events.StepsCompiled(expected_s=60.0, num_lengths=3)]
    state = fold_all(records(*begun))  # the third of them, two seconds after the first
    assert bar_line(state, 120, T0 + 32.0) == f"◐ compile   {bar(0.5, 40)}   30 of about 60 s"
    late = bar_line(state, 120, T0 + 92.0)
    assert late.endswith("╸   90 of about 60 s"), "it is full only when it is done"
    assert bar_line(state, 40, T0 + 32.0) == "◐ compile   30 of about 60 s"
    done = events.StepsCompiled(is_compiled=True, has_graphs=True, took_s=25.3, num_shapes=1)
    state = fold_all(records(*begun, done))
    assert bar_line(state, 120, T0 + 32.0) == "◐ warm up   …"
    assert compiled_line(state) == "✓ compile   steps compiled in 25 s: 1 shape so far, CUDA graphs"
    state = fold_all(records(started(), events.StepsCompiled(is_compiled=False, reasons=("compile is off",))))
    assert compiled_line(state) == "  compile   steps are not compiled: compile is off"
