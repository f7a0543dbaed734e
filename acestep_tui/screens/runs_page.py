"""The lines of Runs, from facts alone: the table, what is good to know, the preview of one run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.header import moment
from acestep_tui.panels.pieces import of_gigabytes
from acestep_tui.panels.stats import highest_memory
from acestep_tui.paths import shown
from acestep_tui.runs.measures import Trend
from acestep_tui.runs.state import RunState
from acestep_tui.runs.status import UNREADABLE
from acestep_tui.runs.summary import RunSummary, past
from acestep_tui.screens.run_actions import shown_name, style_of
from acestep_tui.widgets.chart import Plot, Trace, chart_lines, draw_chart
from acestep_tui.widgets.paint import (
    ACCENT,
    BOLD,
    ERROR,
    MUTED,
    Part,
    columns,
    fit,
    is_ascii,
    join,
    spread,
    text,
    title,
    wrap,
)
from acestep_tui.widgets.plots import SMOOTHINGS

MOST_MARKED = 3
NO_RUNS = "No runs yet. n sets one up, 2 on Home shows the demo."

_STATE, _STEPS, _LOSS = 13, 16, 6
# Names take what is left over; below this the loss gives way.
_LEAST_NAME = 15
_LOSS_FROM = 68
_NEWS = 18
_KNOW_NAME = 13
_LABEL = 14
_SELECTED = "on $block-cursor-background"
_TRENDS: dict[Trend, str] = {"down": "falling", "up": "rising", "flat": "level"}
_CHART_NOTE = "the curve begins with the first step"


def _row(mark: Part, cells: Sequence[Part], width: int) -> Content:
    """Mark, state, name, steps, loss, last news; the news have the rest of the row."""
    has_loss = width >= _LOSS_FROM
    fixed = 2 + _STATE + 1 + 1 + _STEPS + (3 + _LOSS if has_loss else 0) + 3 + _NEWS
    head = columns(cells[:3], [_STATE, max(width - fixed, _LEAST_NAME), -_STEPS], gap=1)
    rest = [join("   ", fit(cells[3], _LOSS, align="right"))] if has_loss else []
    return fit(join(fit(mark, 2), head, *rest, "   ", cells[4]), width)


def head_line(width: int) -> Content:
    """The heads of the columns, each above its column."""
    return _row(
        "", [("  State", MUTED), ("Name", MUTED), ("Steps", MUTED), ("Loss", MUTED), ("Last news", MUTED)], width
    )


def run_row(run: RunSummary, width: int, now: float, *, is_selected: bool, is_marked: bool) -> Content:
    """One run: mark, state, name, steps, loss, last news."""
    cursor = ("❯", f"bold {ACCENT}") if is_selected else ""
    diamond = ("◆", ACCENT) if is_marked else ""
    news = run.news(now) + (", read-only" if run.is_readonly else "")
    loss = "" if run.is_draft else fmt.loss(run.loss)
    style = BOLD if is_selected else ""
    state = join((run.status.glyph, style_of(run)), " ", run.status.word)
    # A cursor on a marked run stands before its mark.
    steps = fmt.UNKNOWN if run.status is UNREADABLE else run.steps_text
    cells: list[Part] = [state, (shown_name(run), style), steps, loss, (news, MUTED)]
    row = _row(join(cursor, diamond), cells, width)
    return row.stylize(_SELECTED) if is_selected else row


def count_line(runs: Sequence[RunSummary], num_shown: int) -> str:
    """``9 runs, 14.2 GB``; while a filter is on, ``3 of 9 runs``."""
    if num_shown != len(runs):
        return f"{num_shown} of {fmt.plural(len(runs), 'run')}"
    sizes = [run.size_bytes for run in runs if run.size_bytes is not None]
    return fmt.plural(len(runs), "run") + (f", {fmt.size(sum(sizes))}" if sizes else "")


def under_line(num_marked: int, num_runs: int, seen: range, num_shown: int, width: int, *, wanted: str) -> Content:
    """The row under the table: that nothing is there, that nothing matches, what the marks are for, that there is more.

    Args:
        num_marked: Runs with a mark.
        num_runs: All runs.
        seen: The rows of the table that are on the screen.
        num_shown: The rows it has.
        width: In cells.
        wanted: What is filtered by.
    """
    if not num_runs:
        return join((NO_RUNS, MUTED))
    if not num_shown:
        return join((f"Nothing matches “{wanted}”. esc clears.", MUTED))
    place = join((_place(seen, num_shown), MUTED))
    if not num_marked:
        return place
    use = "c compares them" if num_marked > 1 else "c compares it with the selected one"
    return spread(join(("◆", ACCENT), f" {num_marked} marked: {use}"), place, width)


def _place(seen: range, num_shown: int) -> str:
    """``1–9 of 14   ↓ more``; empty while all rows are on the screen."""
    if not seen or len(seen) >= num_shown:
        return ""
    arrows = [arrow for arrow, is_there in (("↑ more", seen[0] > 0), ("↓ more", seen[-1] + 1 < num_shown)) if is_there]
    return f"{seen[0] + 1:,}–{seen[-1] + 1:,} of {num_shown:,}   {'   '.join(arrows)}"


def matches(run: RunSummary, wanted: str) -> bool:
    """Whether a run has the text (case folded) in its name, state, goal, method or host."""
    return wanted in f"{run.name} {run.status.word} {run.about} {run.host}".casefold()


def compared(runs: Sequence[RunSummary], marked: Collection[Path], selected: RunSummary | None) -> list[RunSummary]:
    """The runs that `c` puts side by side: those marked, in the table's order; one mark goes with the selected run."""
    chosen = [run for run in runs if run.path in marked]
    if len(chosen) == 1 and selected is not None and not selected.is_draft and selected.path not in marked:
        chosen = [run for run in runs if run.path in (chosen[0].path, selected.path)]
    return chosen if len(chosen) > 1 else []


def know_lines(runs: Sequence[RunSummary], width: int) -> list[Content]:
    """One sentence for each run that needs something, under a title; nothing when none does."""
    needing = [run for run in runs if run.cause]
    if not needing:
        return []
    lines = [title(width, "Good to know")]
    for run in needing:
        head = join((run.status.glyph, style_of(run)), " ", (fit(shown_name(run), _KNOW_NAME).plain, BOLD), " ")
        sentence = wrap(run.good_to_know, width - head.cell_length)
        lines.append(head + sentence[0])
        lines += [line.pad_left(head.cell_length) for line in sentence[1:]]
    return lines


# -- the preview of one run --


def preview_lines(
    run: RunSummary | None, state: RunState | None, width: int, height: int, now: float, *, is_beside: bool
) -> list[Content]:
    """What is known of the selected run; ``state`` is None while its events are being read.

    Args:
        run: The selected run.
        state: Its events, folded.
        width, height: Room in cells.
        now: Unix seconds.
        is_beside: Whether it stands beside the table (a column of facts) or below it (one line of facts).
    """
    if run is None:
        return []
    if run.is_draft:
        return _draft_lines(run, width, now)
    return _beside(run, state, width, height, now) if is_beside else _below(run, state, width, height)


def _draft_lines(run: RunSummary, width: int, now: float) -> list[Content]:
    sentence = f"Not started. {run.steps_text[:1].upper()}{run.steps_text[1:]}, saved {past(run.last_t, now)}."
    said = f"{run.cause}. {run.cure}" if run.cause and run.status.severity == "error" else sentence
    lines = [title(width, run.name, live=("draft", MUTED)), *wrap(said, width)]
    return [*lines, fit((shown(run.path), MUTED), width)]


def _below(run: RunSummary, state: RunState | None, width: int, height: int) -> list[Content]:
    about = ", ".join(part for part in (run.about, _songs(state)) if part)
    lines = [title(width, shown_name(run), live=(about, MUTED))]
    sentence = (
        wrap(join((run.status.glyph, style_of(run)), f" {run.good_to_know}"), width, indent=2) if run.cause else []
    )
    # The last row stays free unless something is to be said.
    num_chart = height - 2 - max(len(sentence), 1)
    lines += _chart(run, state, width, num_chart)
    best = state.best if state is not None else None
    facts = [text(fmt.size(run.size_bytes))] if run.size_bytes is not None else []
    facts += [text(f"held-out {fmt.loss(best.loss)}")] if best is not None else []
    where = [f"on {run.host}" if run.host else "", "read-only" if run.is_readonly else ""]
    facts += [text(word) for word in where if word]
    tail = Content("   ").join([Content(""), *facts])
    path = shown(run.path)
    room = width - tail.cell_length
    path = path if len(path) <= room else f"…{path[len(path) - room + 1 :]}"
    return [*lines, join((path, MUTED), tail), *sentence]


def _beside(run: RunSummary, state: RunState | None, width: int, height: int, now: float) -> list[Content]:
    live = (f"{run.status.glyph} {run.status.word}", style_of(run))
    lines = [
        title(width, shown_name(run), live=live),
        *_chart(run, state, width, 10 if height >= 26 else 7),
        Content(""),
    ]
    lines += [fit(join((label.ljust(_LABEL), MUTED), "  ", value), width) for label, value in _facts(run, state, now)]
    folder = shown(run.path.parent)
    lines += [Content("")] * (2 if height >= 26 else 1)
    lines += [title(width, "Folder", live=join(("y", f"bold {ACCENT}"), (" copy", MUTED)))]
    lines += [fit(f"{folder}/", width), *[line.pad_left(2) for line in wrap(run.path.name, width - 2)]]
    return lines[:height]


def _chart(run: RunSummary, state: RunState | None, width: int, height: int) -> list[Content]:
    if height < 2:
        return []
    if state is None:
        return [join(("reading …", MUTED)), *[Content("")] * (height - 1)]
    if state.reading_problem:
        return [*wrap((state.reading_problem, ERROR), width), *[Content("")] * height][:height]
    marks = tuple((point.step, point.loss) for point in sorted(state.heldout, key=lambda point: point.step))
    plot = Plot("Loss", (Trace(state.loss),), marks=marks, has_dots=False)
    last = max(run.total or 0, plot.newest, 1)
    rows = draw_chart(
        plot.curves(SMOOTHINGS[0]), width=width, height=height, x_range=(0, last), marks=marks, note=_CHART_NOTE,
        num_grid_lines=3 if height >= 9 else 2, max_x_intervals=2, is_ascii=is_ascii(),
    )  # fmt: skip
    return chart_lines(rows)


def _songs(state: RunState | None) -> str:
    if state is None or state.data is None:
        return ""
    return fmt.plural(_num_songs(state), "song")


def _num_songs(state: RunState) -> int:
    data = state.data
    return data.num_train + data.num_held_out if data is not None else 0


def _facts(run: RunSummary, state: RunState | None, now: float) -> list[tuple[str, Part]]:
    goal = ", ".join(part for part in (run.goal, _method(run)) if part)
    songs = fmt.UNKNOWN
    if state is not None and state.data is not None:
        songs = f"{fmt.count(_num_songs(state))}, {fmt.duration(state.data.total_s)}"
    newest = f", newest {fmt.count(run.saves[-1])}" if run.saves else ""
    began = _began(run.started_t, now)
    rows: list[tuple[str, Part]] = [
        ("Goal", goal or fmt.UNKNOWN),
        ("Songs", songs),
        _time(run, state, now),
        ("Held-out loss", _heldout(state)),
        _memory(run, state),
        ("Save points", f"{len(run.saves)}{newest}"),
        ("Size", fmt.size(run.size_bytes)),
        ("Started by", ", ".join(part for part in (run.owner, began) if part) or fmt.UNKNOWN),
    ]
    where = ", ".join(part for part in (run.host, "read-only" if run.is_readonly else "") if part)
    return [*rows, ("Runs on", where)] if where else rows


def _began(t: float | None, now: float) -> str:
    """When it was started, as a time even if that is a minute ago: ``today 13:49``."""
    if t is None or past(t, now) == fmt.UNKNOWN:
        return ""
    is_today = datetime.fromtimestamp(t).date() == datetime.fromtimestamp(now).date()
    return f"today {fmt.time_of_day(t)}" if is_today else past(t, now)


def _time(run: RunSummary, state: RunState | None, now: float) -> tuple[str, Part]:
    if run.eta_s is not None:
        return "Left", f"{fmt.duration(run.eta_s)}, ends {moment(now + run.eta_s, now)}"
    if run.is_alive:
        return "Left", "paused" if run.status.word == "paused" else "measuring"
    return "Took", fmt.duration(state.ran_s(now) if state is not None else None)


def _method(run: RunSummary) -> str:
    return f"LoRA {run.method}" if run.method.startswith("rank") else run.method


def _heldout(state: RunState | None) -> Part:
    if state is None or not state.heldout:
        return fmt.UNKNOWN
    newest = state.heldout[-1]
    trend = state.heldout_trend
    return fmt.loss(newest.loss) + (f", {_TRENDS[trend]}" if trend is not None else "")


def _memory(run: RunSummary, state: RunState | None) -> tuple[str, Part]:
    """What it takes now; of a run that has ended, the most it took."""
    if state is None:
        return "Memory", fmt.UNKNOWN
    reading = state.hardware
    if not run.is_alive:
        return "Most memory", of_gigabytes(highest_memory(state)[0], None).plain
    if reading is None:
        return "Memory", fmt.UNKNOWN
    if reading.vram_total_bytes is None:
        return "Memory", of_gigabytes(reading.ram_bytes, reading.ram_total_bytes).plain
    return "GPU memory", of_gigabytes(reading.vram_used_bytes, reading.vram_total_bytes).plain
