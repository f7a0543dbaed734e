"""A run's state as glyph and word (design: screens.md, "State glyphs"): one place for tables, headers and lists."""

from __future__ import annotations

from typing import NamedTuple

from acestep_tui.runs.liveness import SILENT_SHOWN_S, Life, Verdict
from acestep_tui.runs.log import Severity
from acestep_tui.runs.state import RunState

_WORDS = {
    "scan": "preparing",
    "cache": "preparing",
    "load": "loading",
    "warmup": "warming up",
    "train": "training",
    "finish": "finishing",
}
_SPAN_WORDS = {"validate": "sampling", "save": "saving"}


class Status(NamedTuple):
    """Glyph, word, and the kind of colour they have."""

    glyph: str
    word: str
    severity: Severity


_ENDS = {
    Life.NEW: Status("○", "new", "plain"),
    Life.FINISHED: Status("✓", "finished", "good"),
    Life.STOPPED: Status("■", "stopped", "plain"),
    Life.FAILED: Status("✗", "failed", "error"),
    Life.CRASHED: Status("✗", "crashed", "error"),
    Life.UNHEARD: Status("◌", "silent", "warning"),
}
GONE = Status("✗", "folder is gone", "error")
DRAFT = Status("○", "draft", "plain")
UNREADABLE = Status("✗", "unreadable", "error")


def status(state: RunState, verdict: Verdict, *, now: float | None = None) -> Status:
    """What a run is doing.

    Args:
        state: Its events, folded.
        verdict: The judgement on its worker.
        now: For how long it is silent by; None takes the moment of the judgement.
    """
    if state.is_gone:
        return GONE
    if not verdict.is_running:
        return _ENDS[verdict.life]
    silent_s = verdict.silent_s if now is None else state.silent_s(now)
    if silent_s is not None and silent_s > SILENT_SHOWN_S:
        return Status("◌", "silent", "warning")
    if state.paused:
        return Status("‖", "paused", "paused")
    if state.span:
        return Status("◐", _SPAN_WORDS[state.span], "busy")
    word = "compiling" if state.is_compiling else _WORDS.get(state.phase, "starting")
    return Status("●" if word == "training" else "◐", word, "busy")
