"""What the monitor is about just now: which main page, which numbers, which panel first. Pure functions."""

from __future__ import annotations

from enum import Enum

from acestep_tui.runs.liveness import Life
from acestep_tui.runs.state import RunState


class View(Enum):
    """The monitor's faces. Positions stay, words change."""

    PREPARING = "preparing"  # songs are looked at or prepared
    TRAINING = "training"  # and loading, warming up, finishing, paused, silent
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"  # the worker said why
    CRASHED = "crashed"  # it could not
    UNHEARD = "silent"  # no news for long, and whether it lives cannot be seen from here

    @property
    def is_broken(self) -> bool:
        """Whether the main page says what happened."""
        return self in (View.FAILED, View.CRASHED, View.UNHEARD)

    @property
    def has_ended(self) -> bool:
        """Whether no worker is at work, as far as can be seen from here."""
        return self not in (View.PREPARING, View.TRAINING)


_OUTCOMES = {"finished": View.FINISHED, "stopped": View.STOPPED}
_LIVES = {Life.CRASHED: View.CRASHED, Life.UNHEARD: View.UNHEARD}


def view_of(state: RunState) -> View:
    """The face for a state; what the events say decides, then what the watcher found."""
    if state.ended is not None:
        return _OUTCOMES.get(state.ended.outcome, View.FAILED)
    if state.verdict is not None and state.verdict.life in _LIVES:
        return _LIVES[state.verdict.life]
    return View.PREPARING if state.phase in ("scan", "cache") else View.TRAINING


def is_silent(state: RunState) -> bool:
    """Whether a living worker has said nothing for so long that it is shown."""
    return state.silent is not None and state.ended is None


def safe_step(state: RunState) -> int | None:
    """The newest step that can be gone on from: checked, else whole on disk, else said to be saved; None = none."""
    if state.crash is not None and state.crash.checks:
        return state.crash.safe.step if state.crash.safe is not None else None
    if state.folder_facts is not None and state.folder_facts.whole:
        return state.folder_facts.whole[-1].step
    if state.folder_facts is not None and state.folder_facts.checkpoints:
        return None
    return state.checkpoints[-1].step if state.checkpoints else None


def known_until(state: RunState, now: float) -> float:
    """Up to when what the run does is known: now, or its last word where it is silent or gone."""
    is_unknown = view_of(state).has_ended or is_silent(state)
    return state.last_t if is_unknown and state.last_t is not None else now


def default_panel(state: RunState) -> str:
    """The panel shown under the tab strip until another one is chosen."""
    view = view_of(state)
    if view is View.PREPARING or (view is View.TRAINING and state.is_compiling and not is_silent(state)):
        return "speed"
    if view.is_broken or is_silent(state):
        return "log"
    return "samples"
