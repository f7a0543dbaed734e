"""Messages that cross the whole app, named for what happened."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from acestep_tui.runs.state import RunState
from acestep_tui.runs.watch import Update


@dataclass
class RunLoaded(Message):
    """A run's events so far are folded; from now on its updates come one by one.

    `last_seen_t` is when somebody last looked at it; None when that is not known. `handle` is what one types in a shell
    to mean this run.
    """

    state: RunState
    last_seen_t: float | None = None
    handle: str = ""


@dataclass
class RunUpdated(Message):
    """News of a watched run, to be folded into its state."""

    update: Update
