"""What is known of compiling: folded from events, counted down, told in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from acestep_tui.headless.attach import status_lines
from acestep_tui.runs.liveness import Life, Verdict
from acestep_tui.runs.state import RunState, fold_all
from acestep_tui.runs.status import status
from engine.contract import events
from engine.contract.run_dir import RunDir
from tests.unit.runs.build import T0, records, started, step

BEGUN = events.StepsCompiled(expected_s=60.0, num_lengths=3)
DONE = events.StepsCompiled(is_compiled=True, has_graphs=True, took_s=25.3, num_shapes=1, num_lengths=3)
WARMING_UP = events.PhaseStarted(phase="warmup")


def told(*said: events.Event) -> RunState:
    """A run whose second event comes at T0 + 1, its third at T0 + 2."""
    return fold_all(records(started(), *said))


def log_of(state: RunState) -> list[tuple[str, str]]:
    return [(entry.glyph, entry.text) for entry in state.log.oldest_first()][1:]


def test_it_is_counted_from_where_it_began() -> None:
    state = told(WARMING_UP, BEGUN)
    found = state.compilation
    assert state.is_compiling and found.is_under_way and found.num_lengths == 3
    assert (found.elapsed_s(T0 + 16), found.left_s(T0 + 16)) == (14.0, 46.0)
    assert found.share(T0 + 32) == 0.5 and found.progress(T0 + 16) == "14 of about 60 s"
    assert found.left_s(T0 + 300) == 0.0 and found.share(T0 + 300) == 0.99
    assert found.elapsed_s(T0) == 0.0, "a clock that is behind the worker's"
    assert status(state, Verdict(Life.RUNNING), now=T0 + 3).word == "compiling"
    assert state.doing() == "compiling the steps"
    assert log_of(state) == [("◐", "compiling the steps, about 1 min …")]


def test_its_result_ends_it() -> None:
    state = told(WARMING_UP, BEGUN, DONE)
    found = state.compilation
    assert not state.is_compiling and found.result == DONE and found.took_s == 25.3
    assert status(state, Verdict(Life.RUNNING), now=T0 + 4).word == "warming up"
    assert (found.reason, found.slower_because) == ("", "")
    assert log_of(state) == [("✓", "steps compiled in 25 s: 1 shape so far, CUDA graphs")]


def test_further_shapes_are_counted_and_leave_the_warm_up_as_it_was() -> None:
    more = events.StepsCompiled(is_compiled=True, has_graphs=True, took_s=8.0, num_shapes=2, num_lengths=3)
    state = told(WARMING_UP, BEGUN, DONE, step(1), more)
    assert state.compilation.took_s == 25.3 and state.compilation.shapes == "2 shapes so far"
    assert log_of(state)[-1] == (" ", "a further shape compiled in 8 s, 2 shapes so far")


@pytest.mark.parametrize(
    ("result", "slower", "outcome"),
    [
        (
            events.StepsCompiled(is_compiled=False, has_graphs=False, reasons=("no C compiler is installed",)),
            "not compiled: no C compiler is installed",
            "steps are not compiled: no C compiler is installed",
        ),
        (
            events.StepsCompiled(is_compiled=False, reasons=("capturing failed: a", "the compiler failed: b")),
            "not compiled: capturing failed: a; the compiler failed: b",
            "steps are not compiled: capturing failed: a; the compiler failed: b",
        ),
        (
            events.StepsCompiled(is_compiled=True, has_graphs=False, took_s=9, is_dynamic=True, reasons=("no card",)),
            "no CUDA graphs: no card",
            "steps compiled in 9 s: any length, no CUDA graphs: no card",
        ),
        (events.StepsCompiled(is_compiled=False), "", "steps are not compiled"),
    ],
)
def test_what_is_left_out_has_its_reason(result: events.StepsCompiled, slower: str, outcome: str) -> None:
    state = told(result)
    assert (state.compilation.slower_because, state.compilation.outcome) == (slower, outcome)
    assert log_of(state)[-1][1] == outcome


def test_a_failure_later_on_is_the_newest_word() -> None:
    failed = events.StepsCompiled(is_compiled=False, took_s=3.0, reasons=("the compiler failed: x",))
    state = told(WARMING_UP, BEGUN, DONE, step(1), failed)
    assert state.compilation.slower_because == "not compiled: the compiler failed: x"
    assert log_of(state)[-1] == (" ", "steps are not compiled: the compiler failed: x")


def test_what_a_warning_has_said_is_not_said_again() -> None:
    warned = events.RunWarning(code="not_compiled", message="the model is not compiled: x")
    failed = events.StepsCompiled(is_compiled=False, took_s=3.0, reasons=("the compiler failed: x",))
    state = told(WARMING_UP, BEGUN, warned, failed)
    assert state.has_warned_of_speed and log_of(state) == [("▲", "the model is not compiled: x")]
    without_graphs = events.StepsCompiled(is_compiled=True, num_shapes=1, took_s=9.0, reasons=("capturing failed: x",))
    state = told(WARMING_UP, BEGUN, DONE, step(1), warned, without_graphs)
    assert log_of(state)[-1] == ("✓", "steps compiled in 25 s: 1 shape so far, no CUDA graphs: capturing failed: x")


def test_one_look_says_how_far_it_is_and_why_it_is_slower(tmp_path: Path) -> None:
    run, verdict = RunDir(tmp_path / "x"), Verdict(Life.RUNNING)
    first, *rest = status_lines(told(WARMING_UP, BEGUN), run, verdict, now=T0 + 16)
    assert first.startswith("◐ compiling   x   14 of about 60 s   step 0") and rest == []
    slower = events.StepsCompiled(is_compiled=False, reasons=("no C compiler is installed",))
    _, line = status_lines(told(WARMING_UP, slower), run, verdict, now=T0 + 16)
    assert line == "    not compiled: no C compiler is installed"
    warned = events.RunWarning(code="not_compiled", message="the model is not compiled: x")
    assert status_lines(told(warned, slower), run, verdict, now=T0 + 16)[1:] == ["  ▲ the model is not compiled: x"]
    assert len(status_lines(told(WARMING_UP, BEGUN, DONE), run, verdict, now=T0 + 16)) == 1


def test_nothing_is_under_way_in_a_run_that_ended_or_began_again() -> None:
    assert not told(WARMING_UP, BEGUN, events.RunEnded(outcome="failed", exit_code=3)).is_compiling
    again = told(WARMING_UP, BEGUN, DONE, started())
    assert again.compilation.result is None and not again.compilation.is_under_way
    assert told().compilation.outcome == ""
