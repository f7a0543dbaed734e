"""The lines of Compare, from facts alone: legend, what differs, what came out, the judgement; and all of it as text."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.loss import LOSS, NORM, RATE, small
from acestep_tui.runs.compare import ComparedRow, Comparison
from acestep_tui.runs.series import Series
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import BOLD, ERROR, MUTED, SUCCESS, WARNING, Part, columns, fit, join, title, wrap
from acestep_tui.widgets.plots import Plot, Reading, Trace
from engine.contract.run_dir import short_name

HELD_OUT = "Held-out loss"
LATER = "Clips of the same seed beside each other come with a later version."
_LINES = ("$primary", "$chart-2", "$chart-3")
_SEVERITIES = {"plain": "", "good": SUCCESS, "busy": "", "paused": WARNING, "warning": WARNING, "error": ERROR}
_LABEL = 28
_LEAST_CELL, _NARROW_CELL, _WIDE_CELL = 12, 14, 16


def plots_of(states: Sequence[RunState], letters: Sequence[str]) -> tuple[Plot, ...]:
    """What the chart can show: each with one curve a run."""

    def traces(series: Sequence[Series]) -> tuple[Trace, ...]:
        return tuple(Trace(one, letter) for one, letter in zip(series, letters, strict=True))

    heldout = [Series(sorted((point.step, point.loss) for point in state.heldout)) for state in states]
    return (
        Plot(LOSS, traces([state.loss for state in states]), has_dots=False),
        Plot(HELD_OUT, traces(heldout), is_smoothed=False),
        Plot(RATE, traces([state.lr for state in states]), is_smoothed=False, has_zero=True),
        Plot(NORM, traces([state.grad_norm for state in states]), is_smoothed=False, has_zero=True),
    )


def legend(compared: Comparison) -> Content:
    """``━ A lofi-tapes   ━ B lofi-tapes-r16``."""
    parts = [
        join(("━", style), f" {letter} {short_name(name)}")
        for style, letter, name in zip(_LINES, compared.letters, compared.names, strict=False)
    ]
    return Content("   ").join(parts)


def reading_text(reading: Reading, letters: Sequence[str], *, is_loss: bool) -> Content:
    """The values at the reading line: ``▾ step 760   A 0.4417   B 0.4480``."""
    values = [reading.smoothed, *(smoothed for _, _, smoothed in reading.others)]
    parts = [join(("▾ ", "$foreground"), f"step {fmt.count(reading.step)}")]
    for style, letter, value in zip(_LINES, letters, values, strict=False):
        shown = fmt.loss(value) if is_loss else small(value)
        parts.append(join((letter, f"bold {style}"), f" {shown}"))
    return Content("   ").join(parts)


def chart_title(width: int, name: str, live: Content) -> Content:
    """The chart's title; where names are long, the legend gives way at its right end."""
    room = width - len(name) - 3
    return title(width, name, live=fit(live, room) if live.cell_length > room else live, is_focused=True)


def stacked_lines(compared: Comparison, width: int) -> list[Content]:
    """One table of what differs and what came out (below 120 columns)."""
    widths = _cell_widths(compared, width)
    lines = [_differs_title(compared, width), _names(compared, widths)]
    lines += _rows(compared.settings, widths) or [join(("no setting differs", MUTED))]
    return lines + _rows(compared.results, widths)


def beside_lines(compared: Comparison, width: int) -> list[Content]:
    """What differs at the left, what came out at the right (from 120 columns)."""
    right = min(51, width * 9 // 20)
    left = width - right - 3
    widths = _cell_widths(compared, left, label=24)
    differs = [_differs_title(compared, left), _names(compared, widths)]
    differs += _rows(compared.settings, widths) or [join(("no setting differs", MUTED))]
    out_widths = [18, *[max((right - 18) // len(compared.letters) - 2, 6)] * len(compared.letters)]
    out_widths[1] = max(out_widths[1], 14) if len(compared.letters) == 2 else out_widths[1]
    letters: list[Part] = ["", *((letter, BOLD) for letter in compared.letters)]
    out = [title(right, "What came out"), columns(letters, out_widths), *_rows(compared.results, out_widths)]
    height = max(len(differs), len(out))
    blank = Content("")
    pairs = zip([*differs, *[blank] * (height - len(differs))], [*out, *[blank] * (height - len(out))], strict=True)
    return [fit(one, left) + Content("   ") + other for one, other in pairs]


def judgement_lines(compared: Comparison, width: int) -> list[Content]:
    """One sentence with its reasons."""
    glyph = ("✓ ", SUCCESS) if compared.is_clear else ("– ", MUTED)
    return wrap(join(glyph, compared.judgement), width, indent=2)


def listen_lines(width: int) -> list[Content]:
    """The place of the clips, which says what is not there yet."""
    return [title(width, "Listen"), join((LATER, MUTED))]


def as_text(compared: Comparison) -> str:
    """The tables as text, for the clipboard."""
    names = [f"{letter} {name}" for letter, name in zip(compared.letters, compared.names, strict=True)]
    rows = [["", *names]]
    for row in (*compared.settings, *compared.results):
        rows.append([row.label, *(" ".join(part for part in (cell.text, cell.note) if part) for cell in row.cells)])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*table, compared.judgement])


def _differs_title(compared: Comparison, width: int) -> Content:
    count = f"{len(compared.settings)} of {compared.num_settings} settings"
    return title(width, "What differs", live=(count, MUTED))


def _cell_widths(compared: Comparison, width: int, *, label: int = _LABEL) -> list[int]:
    """The label's column, then one a run, as wide as what is in it; the last one has what is left."""
    count = len(compared.letters)
    label = max(min(label, width - count * (_LEAST_CELL + 2)), _LEAST_CELL)
    most = max((width - label - 2 * count) // count, _LEAST_CELL)
    least = _NARROW_CELL if label < _LABEL else _WIDE_CELL
    rows = (*compared.settings, *compared.results)
    wanted = [
        max(least, len(short_name(name)) + 2, *(len(row.cells[place].text) for row in rows))
        for place, name in enumerate(compared.names)
    ]
    return [label, *(min(one, most) for one in wanted[:-1]), most]


def _names(compared: Comparison, widths: Sequence[int]) -> Content:
    cells: list[Part] = [""]
    for style, letter, name in zip(_LINES, compared.letters, compared.names, strict=False):
        cells.append(join((letter, f"bold {style}"), (f" {short_name(name)}", BOLD)))
    return columns(cells, widths)


def _rows(rows: Sequence[ComparedRow], widths: Sequence[int]) -> list[Content]:
    lines = []
    for row in rows:
        cells: list[Part] = [(row.label, MUTED)]
        for cell in row.cells:
            note = (f" {cell.note}", _SEVERITIES[cell.severity] or MUTED) if cell.note else ""
            cells.append(join((cell.text, MUTED if cell.text == fmt.UNKNOWN else ""), note))
        lines.append(columns(cells, widths))
    return lines
