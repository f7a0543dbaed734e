from __future__ import annotations

import pytest

from acestep_tui.runs.facts import FolderFacts
from acestep_tui.runs.liveness import Life, Verdict
from acestep_tui.runs.state import RunState
from acestep_tui.runs.status import status

RUNNING = Verdict(Life.RUNNING, silent_s=1.0)


@pytest.mark.parametrize(
    ("state", "verdict", "expected"),
    [
        (RunState(phase="train"), RUNNING, ("●", "training")),
        (RunState(phase="cache"), RUNNING, ("◐", "preparing")),
        (RunState(phase="load"), RUNNING, ("◐", "loading")),
        (RunState(phase="warmup"), RUNNING, ("◐", "warming up")),
        (RunState(phase="finish"), RUNNING, ("◐", "finishing")),
        (RunState(), RUNNING, ("◐", "starting")),
        (RunState(phase="train", span="save"), RUNNING, ("◐", "saving")),
        (RunState(phase="train", span="validate"), RUNNING, ("◐", "sampling")),
        (RunState(phase="train", paused=True), RUNNING, ("‖", "paused")),
        (RunState(phase="train"), Verdict(Life.RUNNING, silent_s=61.0), ("◌", "silent")),
        (RunState(), Verdict(Life.FINISHED), ("✓", "finished")),
        (RunState(), Verdict(Life.STOPPED), ("■", "stopped")),
        (RunState(), Verdict(Life.FAILED), ("✗", "failed")),
        (RunState(), Verdict(Life.CRASHED), ("✗", "crashed")),
        (RunState(), Verdict(Life.UNHEARD), ("◌", "silent")),
        (RunState(), Verdict(Life.NEW), ("○", "new")),
        (RunState(folder_facts=FolderFacts(is_gone=True)), RUNNING, ("✗", "folder is gone")),
    ],
)
def test_glyph_and_word(state: RunState, verdict: Verdict, expected: tuple[str, str]) -> None:
    assert status(state, verdict)[:2] == expected


def test_silence_grows_between_two_judgements() -> None:
    state = RunState(phase="train", last_t=1000.0)
    assert status(state, RUNNING, now=1060.0).word == "training"
    assert status(state, RUNNING, now=1061.0).word == "silent"
