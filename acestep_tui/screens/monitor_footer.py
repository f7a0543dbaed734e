"""The footer's words for the monitor's keys, by the state of the run and the room there is. Pure functions."""

from __future__ import annotations

from acestep_tui.commands import Command
from acestep_tui.panels.view import View, view_of
from acestep_tui.runs.state import RunState

_BY_ROOM = ("toggle_log", "copy", "zoom", "panel(1)")


def monitor_word(command: Command, state: RunState, *, is_wide: bool) -> str:
    """The word of one command; empty = not in the footer now."""
    view, name = view_of(state), command.name
    if name in _BY_ROOM:
        return _word_by_room(name, view, is_wide=is_wide)
    words = {
        "pause": "Go on" if state.paused else "Pause",
        "panel(5)": "Listen" if (view is View.FINISHED or view.is_broken) and not state.is_gone else "",
        "panel(7)": "Log" if view.is_broken else "",
    }
    if name == "resume" and view is View.UNHEARD:
        return ""  # it would only be refused; the page says what to do
    if name in ("compare", "new_run"):
        return command.word if view in (View.FINISHED, View.STOPPED) else ""
    return words.get(name, command.word)


def _word_by_room(name: str, view: View, *, is_wide: bool) -> str:
    """Words that give way to more important ones where the row is short, and to the state's own ones."""
    is_chart = view in (View.TRAINING, View.STOPPED)
    if name == "copy":
        return "Copy report" if view.is_broken else "Copy" if is_wide and view is View.TRAINING else ""
    if name == "panel(1)":
        return "Panels" if view is View.PREPARING or (is_wide and not view.is_broken) else ""
    if name == "toggle_log":
        return "Log scale" if is_chart and is_wide else ""
    return "Zoom" if is_chart else ""
