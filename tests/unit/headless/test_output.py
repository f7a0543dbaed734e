"""A followed run in a pipe: what is said, and that it is said once."""

from __future__ import annotations

from pathlib import Path

import pytest

from acestep_tui.headless.output import JsonOutput, PlainOutput, QuietOutput
from acestep_tui.headless.summary import Ending
from acestep_tui.runs.state import RunState
from acestep_tui.runs.tail import EventTail
from engine.contract import event_lines, events
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
