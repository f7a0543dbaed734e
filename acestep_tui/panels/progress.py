"""The four rows that answer first: done, left, loss and speed; the bar; the phases. Pure functions, one widget."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.stats import Stat, num_songs_ready, percent, stats
from acestep_tui.panels.view import View, is_silent, known_until, view_of
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, ERROR, MUTED, SUCCESS, WARNING, Part, bar, fit, join
from engine.contract.events import PHASES

# The phases a run goes through, in order; saving and listening are spans inside training.
RUN_PHASES = ("scan", "cache", "load", "warmup", "train", "finish")
_GAP_LEAST, _GAP_MOST = 5, 8
# Where not even the least gap fits, before a number is cut.
_GAP_TIGHT = 2


# -- bar and phases --


def bar_share(state: RunState, now: float) -> tuple[float | None, str]:
    """How full the bar is, and its style. It shows whole percents, as the number above it does."""
    view = view_of(state)
    if view is View.FINISHED:
        return 1.0, SUCCESS
    style = {View.STOPPED: MUTED, View.FAILED: ERROR, View.CRASHED: ERROR, View.UNHEARD: WARNING}.get(view, ACCENT)
    if view in (View.TRAINING, View.PREPARING) and (state.paused or is_silent(state)):
        style = WARNING
    if state.is_compiling:
        return state.compilation.share(known_until(state, now)), style
    done, total = state.phase_done, state.phase_total
    if view is View.PREPARING and state.phase == "cache":
        done, total = num_songs_ready(state)
    elif view is not View.PREPARING and state.phase not in ("load", "warmup", "finish"):
        done, total = state.step_now, state.steps_total
    share = None if done is None or not total else percent(done, total) / 100
    return share, style


def phase_row(state: RunState, now: float, width: int, *, has_times: bool) -> Content:
    """``✓ scan   ✓ prepare   ● train   ○ finish``; with their times where there is room, closer where there is none."""
    forms = [(4, True, True)] if has_times else []
    forms += [(gap, False, has_progress) for has_progress in (True, False) for gap in (3, 2, 1)]
    rows = [
        _phases(state, now, gap, has_times=has_times, has_progress=has_progress)
        for gap, has_times, has_progress in forms
    ]
    return fit(next((row for row in rows if row.cell_length <= width), rows[-1]), width)


def _phases(state: RunState, now: float, gap: int, *, has_times: bool, has_progress: bool) -> Content:
    pieces = [_phase(state, phase, now, has_time=has_times, has_progress=has_progress) for phase in RUN_PHASES]
    return join(*[part for piece in pieces for part in (piece, " " * gap)][:-1])


def _phase(state: RunState, phase: str, now: float, *, has_time: bool, has_progress: bool) -> Content:
    """A phase; the one that compiles says how far it is, wherever there is room."""
    is_compiling = phase == "warmup" and state.is_compiling
    word = "compile" if is_compiling else PHASES[phase]
    current = state.phase or state.ended_in
    is_over = phase in state.phases
    place = RUN_PHASES.index(phase)
    is_behind = view_of(state) is View.FINISHED or (current in RUN_PHASES and place < RUN_PHASES.index(current))
    if is_over:
        glyph, style = "✓", SUCCESS
    elif is_behind:
        glyph, style = fmt.UNKNOWN, MUTED  # there was nothing to do: a processor that compiles nothing has no warm-up
    elif phase == current and view_of(state) is View.UNHEARD:
        glyph, style = "◌", WARNING
    elif phase == current and view_of(state).is_broken:
        glyph, style = "✗", ERROR
    elif phase == current and view_of(state) is View.STOPPED:
        glyph, style = "■", MUTED
    elif phase == current:
        glyph, style = "●", ACCENT
    else:
        glyph, style = "○", MUTED
    is_current = phase == current and not is_over
    took_s = state.phase_s(phase, known_until(state, now)) if has_time else None
    took = f" {fmt.duration(took_s)}" if took_s is not None else ""
    if is_compiling:
        took = f" {state.compilation.progress(known_until(state, now))}" if has_progress else ""
    return join(
        (f"{glyph} ", style),
        (word, f"bold {style}" if is_current else MUTED),
        (took, MUTED),
    )


# -- together --


def strip_lines(
    found: Sequence[Stat], width: int, *, is_wide: bool, least: dict[str, int] | None = None
) -> list[Content]:
    """Labels and values in columns; the last ones are left out where they do not fit."""
    kept = list(found)
    while kept:
        widths = [max(stat.width, (least or {}).get(stat.label, 0)) for stat in kept]
        widths[-1] = kept[-1].width
        gaps = max(len(kept) - 1, 1)
        gap = min((width - sum(widths)) // gaps, _GAP_MOST if is_wide else _GAP_LEAST)
        if gap >= _GAP_LEAST:
            break
        if least:
            least = None
        elif gap >= _GAP_TIGHT or len(kept) == 1:
            gap = max(gap, _GAP_TIGHT)
            break
        else:
            kept.pop()
    space = " " * gap
    labels = join(*_between([fit((stat.label, MUTED), cells) for stat, cells in zip(kept, widths, strict=True)], space))
    values = join(*_between([fit(stat.value, cells) for stat, cells in zip(kept, widths, strict=True)], space))
    return [fit(labels.rstrip(), width), fit(values.rstrip(), width)]


def _between(pieces: Sequence[Content], space: str) -> list[Part]:
    return [part for piece in pieces for part in (piece, space)]


class TopStrip(Lines):
    """Stat strip, bar and phase row; the same four rows in every state."""

    DEFAULT_CSS = """
    TopStrip { height: 4; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._state: RunState | None = None
        self._now = 0.0
        self._least: dict[str, int] = {}
        self._view: View | None = None

    def show(self, state: RunState, now: float) -> None:
        """Draw what has changed."""
        self._state, self._now = state, now
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The four rows."""
        del height
        state, now = self._state, self._now
        if state is None:
            return ()
        is_wide = width >= 100
        found = stats(state, now, is_wide=is_wide)
        self._remember(state, found)
        share, style = bar_share(state, now)
        return [
            *strip_lines(found, width, is_wide=is_wide, least=self._least),
            bar(width, share, style=style),
            phase_row(state, now, width, has_times=is_wide),
        ]

    def _remember(self, state: RunState, found: Sequence[Stat]) -> None:
        """Columns never become narrower while the run is in one state, so that no number jumps to and fro."""
        if view_of(state) is not self._view:
            self._view, self._least = view_of(state), {}
        for stat in found:
            self._least[stat.label] = max(stat.width, self._least.get(stat.label, 0))
