"""The runs of the mock-ups home, runs, compare and dialog-delete as rows of a list. Made up; never in code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acestep_tui.runs.liveness import Life
from acestep_tui.runs.state import RunState
from acestep_tui.runs.status import Status
from acestep_tui.runs.summary import RunSummary
from acestep_tui.wizard.draft_files import DraftSummary
from tests.tui import facts
from tests.tui.harness import NOW

MB, GB = 2**20, 2**30
DAY = 86_400.0
RUNS = Path("~/acestep/runs")
DRAFTS = Path("~/drafts")
_FINISHED = Status("✓", "finished", "good")
# 2026-11-21 23:10; three and four days ago; 12, 11 and 9 November.
_YESTERDAY = NOW - DAY + (8 * 60 + 48) * 60 + 52
_DATES = {"12 Nov": NOW - 10 * DAY, "11 Nov": NOW - 11 * DAY, "9 Nov": NOW - 13 * DAY}


def _run(name: str, status: Status, life: Life, **values: Any) -> RunSummary:
    return RunSummary(name=name, path=RUNS / name, status=status, life=life, **values)


def night_ferry(**values: Any) -> RunSummary:
    """The run that trains."""
    known: dict[str, Any] = {
        "step": 1240, "total": 2000, "loss": 0.4128, "eta_s": 1260.0, "last_t": NOW - 1, "started_t": NOW - 32 * 60,
        "goal": "voice", "method": "rank 64", "saves": (250, 500, 750, 1000), "size_bytes": round(1.6 * GB),
        "owner": "mara",
    }  # fmt: skip
    status = Status("●", "training", "busy")
    return RunSummary(facts.FOLDER.name, facts.FOLDER, status, Life.RUNNING, **{**known, **values})


def runs() -> list[RunSummary]:
    """Eight runs as the mock-ups list them."""
    gone = Status("✗", "crashed", "error")
    failed = Status("✗", "failed", "error")
    stopped = Status("■", "stopped", "plain")
    return [
        night_ferry(),
        _run("choir-voices", gone, Life.CRASHED, step=610, total=1500, loss=0.4473, last_t=_YESTERDAY, saves=(500,),
             goal="new language", method="rank 64", size_bytes=2 * GB,
             cause="the machine restarted", cure="step 500 is safe, r resumes"),
        _run("lofi-tapes", _FINISHED, Life.FINISHED, step=1500, total=1500, loss=0.3902, last_t=NOW - 3 * DAY,
             goal="style", method="rank 32", size_bytes=2 * GB),
        _run("lofi-tapes-r16", stopped, Life.STOPPED, step=900, total=1500, loss=0.4017, last_t=NOW - 3 * DAY,
             goal="style", method="rank 16", saves=(225, 450, 675, 900), size_bytes=round(1.3 * GB)),
        _run("demo", _FINISHED, Life.FINISHED, step=120, total=120, loss=0.6128, last_t=NOW - 4 * DAY, goal="demo",
             size_bytes=7 * MB),
        _run("piano-nocturnes", _FINISHED, Life.FINISHED, step=2500, total=2500, loss=0.3655, last_t=_DATES["12 Nov"],
             goal="instrumental", method="rank 64", size_bytes=4 * GB),
        _run("club-edits", failed, Life.FAILED, step=40, total=1500, loss=None, last_t=_DATES["11 Nov"], goal="style",
             method="rank 32", size_bytes=round(0.3 * GB),
             cause="the loss became NaN (not a number) on 2 damaged songs, named in its log",
             cure="Leave them out and start again."),
        _run("mara-voice-1", _FINISHED, Life.FINISHED, step=1000, total=1000, loss=0.4410, last_t=_DATES["9 Nov"],
             goal="voice", method="rank 32", size_bytes=3 * GB),
    ]  # fmt: skip


def drafts() -> list[DraftSummary]:
    """The set-up that was not finished, saved today at 09:12."""
    saved = NOW - (5 * 60 + 9) * 60
    return [DraftSummary(DRAFTS / "kitchen-tapes.json", "kitchen-tapes", 3, saved, goal="style")]


class FakeRunList:
    """Finds the runs it is given."""

    found: list[RunSummary]

    def __init__(self, *, with_size: bool = True) -> None:
        del with_size

    def look(self, now: float) -> list[RunSummary]:
        del now
        return list(self.found)


class FakeWatcher:
    """Reads the mock-ups' night-ferry for every run."""

    def __init__(self, run: Any, *, with_facts: bool = True) -> None:
        del with_facts
        self.run = run

    def load(self, on_progress: Any = None, should_stop: Any = None) -> RunState:
        del on_progress, should_stop
        return facts.training_course(folder=self.run.path).state

    def poll(self, state: RunState) -> None:
        del state
