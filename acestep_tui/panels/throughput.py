"""Panel 2, Speed: where the time of a step goes, how much music that is, whether steps are compiled; before that the
pace of preparing and of compiling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Panel
from acestep_tui.panels.pieces import BLOCK, LABEL, TWO_BLOCKS, beside, fact, figure
from acestep_tui.panels.view import known_until
from acestep_tui.runs.measures import Split, median
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, WARNING, Part, fit, join, text, wrap
from engine.contract.events import PHASES

_NAMES = ("data", "forward", "backward", "optimizer", "other")
_NAME = 10
_LONGEST_BAR = 10
# Parts of a step that is quicker than this are told in milliseconds.
_QUICK_S = 0.5
_WAITING = "waiting for data"
# The work that songs are prepared by: part of the events, how it is called.
_WORK = (("sound", "sound encoder"), ("captions", "caption encoder"), ("features", "musical features"))


def is_preparing(state: RunState) -> bool:
    """Whether songs are looked at or prepared just now."""
    return state.phase in ("scan", "cache")


def live(state: RunState) -> Part:
    """The one number of the title: music a second; a warning where steps wait for songs."""
    if is_preparing(state):
        pace = state.prepared.pace()
        return (f"{pace:,.0f} × real time", MUTED) if pace is not None else ""
    split = state.split
    if split is None and state.is_compiling:
        return ("compiling", MUTED)
    if split is None:
        return ("after the first step", MUTED) if state.ended is None else ""
    if split.waits_for_data:
        return (f"▲ {_WAITING}", WARNING)
    return (f"{_music(split)} of music a second", MUTED) if split.audio_per_s is not None else ""


def body(state: RunState, width: int, height: int, now: float) -> list[Content]:
    """The rows under the title, for one block or two."""
    if is_preparing(state):
        left, right = _preparing(state, min(width, BLOCK)), _prepared(state, now)
    elif state.is_compiling:
        left, right = _compiling(state, min(width, BLOCK), now), _rates(state)
    else:
        left, right = split_rows(state.split, min(width, BLOCK)), _rates(state)
    lines = beside(left, right, width) if width >= TWO_BLOCKS else left
    return lines[:height]


def page(state: RunState, width: int, height: int, now: float) -> list[Content]:
    """The zoomed panel: the split, the rates, and how long each phase took."""
    lines = body(state, width, height, now)
    if width < TWO_BLOCKS:
        lines += [Content(""), *(_prepared(state, now) if is_preparing(state) else _rates(state))]
    lines += [Content(""), *_compiled(state, width), join(("How long each part took", BOLD))]
    for phase, word in PHASES.items():
        took_s = state.phase_s(phase, now)
        ended = state.phases.get(phase)
        told = ended.summary if ended is not None else ""
        shown = fmt.duration(took_s) if took_s is not None else fmt.UNKNOWN
        lines.append(fact(word, join((f"{shown:<14}", BOLD if took_s is not None else MUTED), (told, MUTED)), width))
    return lines[:height]


def split_rows(split: Split | None, width: int) -> list[Content]:
    """One row a part of a step: name, bar, share, seconds; – for what is not measured."""
    seconds = [value for _, value in split.parts] if split is not None else [None] * len(_NAMES)
    percents = split.percents() if split is not None else (None,) * len(_NAMES)
    longest = max((value for value in seconds if value is not None), default=0.0)
    rows = []
    for name, part_s, percent in zip(_NAMES, seconds, percents, strict=True):
        is_late = name == "data" and split is not None and split.waits_for_data
        share = part_s / longest if part_s and longest > 0 else 0.0
        cells = max(round(share * _LONGEST_BAR), 1) if share > 0 else 0
        number = join((f"{percent} %" if percent is not None else fmt.UNKNOWN, WARNING if is_late else ""))
        row = join(
            (name.ljust(_NAME), WARNING if is_late else MUTED),
            fit(("━" * cells, WARNING if is_late else ACCENT), _LONGEST_BAR),
            fit(number, width - _NAME - _LONGEST_BAR - 8, align="right"),
            fit(_seconds(part_s, is_quick=split is not None and split.total_s < _QUICK_S), 8, align="right"),
        )
        rows.append(fit(row, width))
    return rows


def _seconds(value: float | None, *, is_quick: bool = False) -> str:
    if value is None:
        return fmt.UNKNOWN
    if is_quick:
        return f"{1000 * value:.0f} ms" if value >= 0.001 or not value else "< 1 ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"


def _music(split: Split) -> str:
    per_s = split.audio_per_s
    return fmt.UNKNOWN if per_s is None else f"{per_s:,.0f} s" if per_s >= 10 else f"{per_s:.1f} s"


def _rates(state: RunState) -> list[Content]:
    """What belongs to the speed and to the size of a step."""
    split, pace_s = state.split, state.pace_s
    steps = f"{1 / pace_s:.2f} a second" if pace_s else fmt.UNKNOWN
    music = f"{_music(split)} a second" if split is not None and split.audio_per_s is not None else fmt.UNKNOWN
    rows = [
        fact("Steps", (steps, BOLD), BLOCK),
        fact("Music", (music, BOLD), BLOCK),
        fact("A step", (_seconds(pace_s, is_quick=bool(pace_s and pace_s < _QUICK_S)), BOLD), BLOCK),
        fact("Learning rate", (_small(state.lr.last), BOLD), BLOCK),
        fact("Gradient size", (_small(state.grad_norm.last), BOLD), BLOCK),
    ]
    if split is not None and split.waits_for_data:
        rows[0] = join((f"▲ {_WAITING}: ", WARNING), (f"{split.percents()[0]} % of a step", WARNING))
    usual = median(state.step_s.tail(1000))
    if usual:
        rows.append(
            fact(
                "Usual step",
                join((_seconds(usual, is_quick=usual < _QUICK_S), BOLD), ("  median", MUTED)),
                BLOCK,
            )
        )
    return rows


def _small(value: float | None) -> str:
    if value is None:
        return fmt.UNKNOWN
    if not math.isfinite(value):
        return "not a number"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+") if 0 < abs(value) < 0.01 else f"{value:.2f}"


def _preparing(state: RunState, width: int) -> list[Content]:
    rows = []
    for part, name in _WORK:
        pace, num = state.prepared.pace(part), sum(part in song.parts for song in state.prepared.songs.values())
        if pace is not None:
            value: Part = join((f"{pace:,.0f}", BOLD), (" × real time", MUTED))
        elif part == "features" and not num:
            value = ("none", MUTED)
        else:
            value = join((f"{num}", BOLD), (" ready", MUTED)) if num else (fmt.UNKNOWN, MUTED)
        rows.append(figure((name, ""), value, width))
    return rows


def _prepared(state: RunState, now: float) -> list[Content]:
    prepared = state.prepared
    left_s = prepared.eta_s(now)
    return [
        fact("Entries", join((fmt.count(prepared.done), BOLD), (f" of {fmt.count(prepared.total)}", MUTED)), BLOCK)
        if prepared.total
        else fact("Entries", text(fmt.UNKNOWN), BLOCK),
        fact("Written", (fmt.size(prepared.bytes) if prepared.bytes else fmt.UNKNOWN, BOLD), BLOCK),
        fact("Left", (fmt.duration(left_s), BOLD), BLOCK),
    ]


def _compiling(state: RunState, width: int, now: float) -> list[Content]:
    """How far compiling is, and what for."""
    found, known_t = state.compilation, known_until(state, now)
    left_s = found.left_s(known_t)
    left: Part = (fmt.duration(left_s), BOLD) if left_s >= 1 else ("longer than expected", MUTED)
    how = "all at once" if found.is_dynamic else "one after another"
    lengths: Part = (fmt.UNKNOWN, MUTED)
    if found.num_lengths is not None:
        lengths = join((fmt.count(found.num_lengths), BOLD), (f", {how}" if found.num_lengths > 1 else "", MUTED))
    return [
        fact("Compiling", (found.progress(known_t), BOLD), width),
        fact("Left", left, width),
        fact("Lengths", lengths, width),
        *wrap(text("Steps are faster then. The code stays on disk for the next start.", MUTED), width),
    ]


def _compiled(state: RunState, width: int) -> list[Content]:
    """What became of compiling, or why steps run as they are; nothing where that is not known."""
    found = state.compilation
    result = found.result
    if result is None:
        return []
    took = f", in {fmt.duration(found.took_s)}" if found.took_s is not None else ""
    lines = [fact("Compiled", join(("no", BOLD)), width)]
    if result.is_compiled:
        lengths = f", {fmt.plural(found.num_lengths, 'length')} of pieces" if found.num_lengths else ""
        lines = [
            fact("Compiled", join(("yes", BOLD), (took, MUTED)), width),
            fact("Shapes", join((found.shapes or fmt.UNKNOWN, BOLD), (lengths, MUTED)), width),
            fact("CUDA graphs", join(("yes" if result.has_graphs else "no", BOLD)), width),
        ]
    if found.reason:
        why = wrap(found.reason, width - LABEL)
        lines += [fact("" if row else "Why not", line, width) for row, line in enumerate(why)]
    return [*lines, Content("")]


class SpeedPanel(Panel):
    """Panel 2."""

    number = "2"
    name = "Speed"

    def live(self, state: RunState, width: int, now: float) -> Part:
        """Music a second."""
        del width, now
        return live(state)

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """The split of a step; more of it when zoomed."""
        return (page if self.is_zoomed else body)(state, width, height, now)
