"""The header's right end: how the run is, and when it was last heard of. Pure functions."""

from __future__ import annotations

from datetime import datetime

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.view import View, is_silent, known_until, view_of
from acestep_tui.runs.state import RunState
from acestep_tui.runs.status import status
from acestep_tui.widgets.paint import ACCENT, ERROR, MUTED, SUCCESS, WARNING, Part, is_ascii, join

STYLES = {
    "plain": MUTED, "good": SUCCESS, "busy": ACCENT, "paused": WARNING, "warning": WARNING, "error": ERROR,
}  # fmt: skip
# The glyph of what is under way turns, where anything may move at all.
TURNING = "◐◓◑◒"
_MINUTE_S = 60.0
_HOUR_S = 3600.0
_SLOW_TICK_S = 10.0
# Beyond this a day's name could mean two days.
_WEEKDAY_KNOWN_S = 6 * 24 * _HOUR_S
# strftime follows the locale; the screens speak one language.
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Ticker:
    """Seconds since the last event as they are shown: each second up to 60, then every ten, so that little repaints."""

    def __init__(self) -> None:
        self._told: float | None = None

    def told(self, passed_s: float) -> float:
        """The seconds to show now."""
        told = self._told
        if told is None or min(passed_s, told) < _MINUTE_S or not 0 <= passed_s - told < _SLOW_TICK_S:
            self._told = passed_s
            return passed_s
        return told


def passed(seconds: float) -> str:
    """A time that has passed, as coarse as it matters: ``14 s``, ``1 min 14 s``, ``3 h``, ``2 days``."""
    if seconds < _HOUR_S:
        # Whole seconds, so that 0.4 s is not "< 0.1 s" nor a tenth.
        return f"{max(seconds, 0.0):.0f} s" if seconds < _MINUTE_S - 0.5 else fmt.duration(seconds)
    if seconds < 48 * _HOUR_S:
        return f"{int(seconds / _HOUR_S)} h"
    return f"{fmt.count(int(seconds / (24 * _HOUR_S)))} days"


def moment(t: float, now: float) -> str:
    """A time of day, with its day where that is not today: ``14:42``, ``Tue 02:10``, ``12 Nov``."""
    try:
        then, today = datetime.fromtimestamp(t), datetime.fromtimestamp(now)
    except (ValueError, OverflowError, OSError):  # no calendar holds it
        return fmt.UNKNOWN
    if then.date() == today.date():
        return fmt.time_of_day(t)
    if abs(t - now) < _WEEKDAY_KNOWN_S:
        return f"{_WEEKDAYS[then.weekday()]} {fmt.time_of_day(t)}"
    return f"{then.day} {_MONTHS[then.month - 1]}"


def state_word(state: RunState, now: float) -> tuple[str, str, str]:
    """Glyph, word and style of how the run is."""
    if state.reading_problem and not state.is_gone:
        return "✗", "cannot be read", ERROR
    if state.verdict is None:
        return "◐", "reading", ACCENT
    glyph, word, severity = status(state, state.verdict, now=now)
    return glyph, word, STYLES[severity]


def header_right(state: RunState, now: float, silent_s: float | None, *, is_readonly: bool, turn: int = 0) -> Content:
    """``● training   last event 1 s ago``.

    Args:
        state: The run.
        now: The moment.
        silent_s: Seconds since the last event, as `Ticker` wants them shown.
        is_readonly: Whether no command can be given.
        turn: How far the glyph of what is under way has turned.
    """
    glyph, word, style = state_word(state, now)
    if glyph == "◐" and not is_ascii():
        glyph = TURNING[turn % len(TURNING)]
    parts: list[Part] = [("read-only   ", MUTED)] if is_readonly else []
    parts += [(f"{glyph} ", style), (word, style)]
    if silent_s is not None and not state.is_gone:
        is_over = view_of(state) in (View.FINISHED, View.STOPPED, View.FAILED)
        parts.append((f"   {'' if is_over else 'last event '}{passed(silent_s)} ago", MUTED))
    return join(*parts)


def tiny_line(state: RunState, now: float) -> Content:
    """All that fits a very small terminal: ``● training 62 %  21 min left  loss 0.4128``."""
    glyph, word, style = state_word(state, now)
    parts: list[Part] = [(f"{glyph} {word}", style)]
    view = view_of(state)
    is_preparing = view is View.PREPARING
    done, total = (state.phase_done, state.phase_total) if is_preparing else (state.step_now, state.steps_total)
    if state.is_compiling:
        parts.append(f" {state.compilation.progress(known_until(state, now))}")
    elif done is not None and total:
        parts.append(f" {100 * done // total} %")
    left_s = state.prepared.eta_s(now) if is_preparing else state.eta_s(now)
    if left_s is not None and not view.has_ended and not is_silent(state):
        parts.append((f"  {fmt.duration(left_s)} left", MUTED))
    if state.loss.last is not None:
        parts.append((f"  loss {fmt.loss(state.loss.last)}", MUTED))
    return join(*parts)
