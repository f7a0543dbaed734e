"""What stopping costs, in the words of the dialog that asks. Pure functions of the state."""

from __future__ import annotations

import math

from acestep_tui import format as fmt
from acestep_tui.panels.stats import lost_since_save, num_songs_ready
from acestep_tui.panels.view import View, view_of
from acestep_tui.runs.state import RunState
from acestep_tui.screens.dialog import Choice

_CLOSING = "Closing this window does not stop it. Stopping does."


def stop_question(state: RunState, now: float) -> tuple[list[str], list[Choice]]:
    """Text and answers; the answers' values are kinds of commands, empty for the safe one."""
    if view_of(state) is View.PREPARING or state.step_now == 0:
        return [_before_training(state), _CLOSING], [
            Choice("escape", "Keep it going", value=""),
            Choice("s", "Stop", cost="loses nothing", value="stop_now"),
        ]
    keep = Choice("escape", "Stay paused" if state.paused else "Keep training", value="")
    answers = [keep, Choice("s", "Save and stop", cost=_save_cost(state), value="stop_now")]
    lost, lost_s = lost_since_save(state)
    if lost:
        time_lost = f", {about(lost_s)}" if lost_s is not None else ""
        answers.append(Choice("n", "Stop now", cost=f"loses {fmt.plural(lost, 'step')}{time_lost}", value="abort"))
    return [_progress(state, now), _CLOSING], answers


def _before_training(state: RunState) -> str:
    if state.phase == "cache":
        ready, total = num_songs_ready(state)
        return f"{fmt.part_of(ready, total)} songs are prepared, and stay so."
    return "Training has not begun; what is prepared stays."


def _progress(state: RunState, now: float) -> str:
    where = f"Training is at step {fmt.part_of(state.step_now, state.steps_total)}"
    left_s = state.eta_s(now)
    return f"{where}; {left_words(left_s)} left." if left_s is not None else f"{where}."


def left_words(seconds: float) -> str:
    """A time as a sentence says it: ``21 minutes are``, ``1 minute is``, ``1 h 05 min are``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute is"
    if minutes < 60:
        return "1 minute is" if minutes == 1 else f"{minutes} minutes are"
    return f"{fmt.duration(seconds)} are"


def about(seconds: float) -> str:
    """A duration in whole minutes, once it has some: what is lost is never known to the second."""
    return fmt.duration(60 * math.ceil(seconds / 60 - 0.5)) if seconds >= 120 else fmt.duration(seconds)


def _save_cost(state: RunState) -> str:
    took = [saved.took_s for saved in state.checkpoints if saved.took_s > 0]
    seconds = took[-1] if took else state.usual_s("save")
    return f"{fmt.duration(seconds)}, loses nothing" if seconds is not None else "loses nothing"
