"""A followed run in a pipe: what is said, and that it is said once."""

from __future__ import annotations

from pathlib import Path

import pytest

from acestep_tui.headless.output import JsonOutput, PlainOutput, QuietOutput
from acestep_tui.headless.summary import Ending
from acestep_tui.headless.terminal import TerminalOutput
from acestep_tui.runs.state import RunState
from acestep_tui.runs.tail import EventTail
from engine.contract import event_lines, events
from engine.contract.memory_events import StepsCompiled
from engine.contract.run_dir import RunDir

NOTES = ["▲ lora_rank 999 is very high", "▲ the list of runs cannot be written", "The old run is now x.1."]
EVENTS = (
    events.RunStarted(name="x", dir="/x", version="1", pid=1, host="here", device="cpu", resumed_step=None),
    events.RunWarning(code="unusual_value", message="lora_rank 999 is very high"),
    events.PhaseStarted(phase="scan"),
)


@pytest.fixture
def lines(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    path.write_text("".join(event_lines.encode(one, seq=seq, t=float(seq)) + "\n" for seq, one in enumerate(EVENTS)))
    return list(EventTail(path).poll())


def test_a_warning_that_is_an_event_as_well_is_said_once(tmp_path, lines, capsys):
    output = PlainOutput()
    output.begin(RunDir(tmp_path), NOTES)
    for line in lines:
        output.event(line, RunState())
    out, err = capsys.readouterr()
    assert out.count("lora_rank 999") == 1
    # What no event says is not lost.
    assert err.splitlines() == [NOTES[2], NOTES[1]]


def test_a_warning_is_not_lost_when_the_worker_says_nothing(tmp_path, capsys):
    output = PlainOutput()
    output.begin(RunDir(tmp_path), NOTES)
    output.end(RunState(), RunDir(tmp_path), Ending("died", 1, reason="it died"), [])
    assert capsys.readouterr().err.splitlines()[:3] == [NOTES[2], NOTES[0], NOTES[1]]


@pytest.mark.parametrize("kind", [JsonOutput, QuietOutput])
def test_where_events_are_not_for_people_all_notes_are(tmp_path, lines, capsys, kind):
    output = kind()
    output.begin(RunDir(tmp_path), NOTES)
    for line in lines:
        output.event(line, RunState())
    assert capsys.readouterr().err.splitlines() == NOTES


def test_on_a_terminal_what_became_of_compiling_is_one_line(tmp_path, capsys):
    said = (
        events.PhaseStarted(phase="warmup"),
        StepsCompiled(expected_s=60.0),
        StepsCompiled(is_compiled=True, has_graphs=True, took_s=25.0, num_shapes=1),
        StepsCompiled(is_compiled=True, has_graphs=True, took_s=8.0, num_shapes=2),
    )
    path = tmp_path / "events.jsonl"
    path.write_text("".join(event_lines.encode(one, seq=seq, t=float(seq)) for seq, one in enumerate(said)))
    output, state = TerminalOutput(), RunState()
    for line in EventTail(path).poll():
        state.fold(line.record)
        output.event(line, state)
    assert capsys.readouterr().err.splitlines() == ["✓ compile   steps compiled in 25 s: 1 shape so far, CUDA graphs"]
