"""A chart as rows of text: curves, marks, grid and labels. Pure functions of their arguments, no Textual."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from acestep_tui.format import to_ascii
from acestep_tui.widgets.axes import (
    Scale,
    clamp,
    default_num_labels,
    fit_scale,
    label_rows,
    spread_labels,
    tick_row,
)
from acestep_tui.widgets.braille import DOTS_ACROSS, DOTS_DOWN, Canvas, Layer, Row
from acestep_tui.widgets.thin import Columns, Curve, Thinned, thin

__all__ = ["BAD", "BAD_ASCII", "MARK", "MARK_ASCII", "Curve", "draw_chart", "gutter_width"]

MARK, MARK_ASCII = "◆", "o"
BAD, BAD_ASCII = "✗", "x"
GRID, GRID_ASCII = "┈", "-"
READING, READING_ASCII = "│", "|"

_LEAST_GUTTER = 6
_MIN_PLOT = 4
_WIDE_PLOT = 64


def draw_chart(
    curves: Sequence[Curve],
    *,
    width: int,
    height: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float] | None = None,
    is_log: bool = False,
    has_zero: bool = False,
    marks: Sequence[tuple[float, float | None]] = (),
    cursor_x: float | None = None,
    drag_x: float | None = None,
    show_dots: bool = True,
    num_grid_lines: int | None = None,
    max_x_intervals: int | None = None,
    x_labels: Sequence[str] | None = None,
    note: str = "",
    is_ascii: bool = False,
) -> list[Row]:
    """Draw curves with their axes.

    Args:
        curves: The first one lies on top, and its style wins where curves meet.
        width: In cells, with the labels at the left.
        height: In rows, with the row of steps at the foot.
        x_range: First and last step of the window.
        y_range: Limits of the y axis; None fits them to what is in the window.
        is_log: Whether the y axis is logarithmic; values that are not positive have no place on it.
        has_zero: Whether a fitted y axis begins at 0.
        marks: Held-out points, always visible.
        cursor_x: Step of the reading line.
        drag_x: Step at which a drag began, shown as a second line.
        show_dots: Whether curves without a line are drawn.
        num_grid_lines: Labelled rows; None chooses by height.
        max_x_intervals: Most parts that the labels cut the x axis into; None chooses by width.
        x_labels: Words under the axis, spread evenly, instead of steps.
        note: Said in the middle when there is nothing to draw.
        is_ascii: Whether to draw whole cells in ASCII.

    Returns:
        ``height`` rows, each exactly ``width`` cells wide.
    """
    x_0, x_1 = _ordered(x_range)
    num_rows = height - 1 if height > 1 else height
    shown = [curve for curve in curves if curve.is_line or show_dots]
    inside = [(x, clamp(y)) for x, y in marks if y is not None and math.isfinite(y) and x_0 <= x <= x_1]
    frame = _Frame(shown, inside, _columns(width - _LEAST_GUTTER, x_0, x_1))
    frame.fit(y_range, is_log=is_log, has_zero=has_zero)
    frame.put_labels(width, num_rows, num_grid_lines or default_num_labels(num_rows))

    canvas = Canvas(width - frame.gutter, num_rows, is_ascii=is_ascii)
    _draw_background(canvas, frame, (cursor_x, drag_x))
    if frame.scale is not None:
        _draw_curves(canvas, frame, frame.scale)
    elif note:
        _draw_note(canvas, note)
    _draw_bad(canvas, frame.thinned)
    rows = [_row(frame, row, canvas) for row in range(num_rows)]
    return [*rows, _foot(frame, canvas.width, x_labels, max_x_intervals)] if height > 1 else rows


def gutter_width(rows: Sequence[Row]) -> int:
    """How many cells the labels at the left of a drawn chart take: the blank piece its last row begins with."""
    return len(rows[-1][0][0]) if len(rows) > 1 and rows[-1][0][1] == "" else 0


def _ordered(x_range: tuple[float, float]) -> tuple[float, float]:
    x_0, x_1 = (0.0 if math.isnan(x) else clamp(x) for x in x_range)
    return (x_0, x_1) if x_1 - x_0 > max(abs(x_0), 1.0) * 1e-9 else (x_0, x_0 + max(abs(x_0), 1.0))


def _columns(plot: int, x_0: float, x_1: float) -> Columns:
    return Columns(x_0, x_1, max(plot * DOTS_ACROSS, 2))


def _cell(x: float | None, columns: Columns) -> int | None:
    """The column of cells of a step, by the same dots as the curves; None outside the window."""
    column = columns.of(x) if x is not None and columns.x_0 <= x <= columns.x_1 else None
    return None if column is None else column // DOTS_ACROSS


class _Frame:
    """What a chart is drawn into: columns, scale and labels, each fitted to what is in the window."""

    def __init__(self, curves: Sequence[Curve], marks: Sequence[tuple[float, float]], columns: Columns) -> None:
        self.curves, self.marks = curves, marks
        self.columns = columns
        self.thinned = [thin(curve, columns) for curve in curves]
        self.scale: Scale | None = None
        self.labels: dict[int, str] = {}
        self.gutter = _LEAST_GUTTER

    def fit(self, y_range: tuple[float, float] | None, *, is_log: bool, has_zero: bool) -> None:
        """Choose the y axis; there is none while there is nothing to show."""
        columns = [column for curve in self.thinned for column in curve.columns]
        # Between two steps far apart there is a line, but no value: then those outside the window make the axis.
        inside = [column for column in columns if 0 <= column.x < self.columns.num_columns] or columns
        values = [y for _, y in self.marks]
        for column in inside:
            values += (column.low, column.high)
        self.scale = fit_scale(values, is_log=is_log, has_zero=has_zero)
        if self.scale is not None and y_range is not None:
            self.scale = fit_scale(y_range, is_log=is_log) or self.scale

    def put_labels(self, width: int, num_rows: int, num_labels: int) -> None:
        """Choose the labels of the rows; where they need another gutter, the curves get other columns."""
        rows = label_rows(num_rows, num_labels)
        self.labels = {row: self.scale.label(share) if self.scale else "" for row, share in rows.items()}
        self.gutter = max([_LEAST_GUTTER, *(len(label) + 2 for label in self.labels.values())])
        if width < self.gutter + _MIN_PLOT:
            self.gutter = 0
        columns = _columns(width - self.gutter, self.columns.x_0, self.columns.x_1)
        if columns != self.columns:
            self.columns = columns
            self.thinned = [thin(curve, columns) for curve in self.curves]


def _row(frame: _Frame, row: int, canvas: Canvas) -> Row:
    if not frame.gutter:
        return canvas.row(row)
    return ((frame.labels.get(row, "").rjust(frame.gutter - 1) + " ", "label"), *canvas.row(row))


def _foot(frame: _Frame, plot: int, labels: Sequence[str] | None, max_intervals: int | None) -> Row:
    intervals = max_intervals or (5 if plot >= _WIDE_PLOT else 2)
    columns = frame.columns
    words = spread_labels(labels, plot) if labels is not None else tick_row(columns.x_0, columns.x_1, plot, intervals)
    return ((" " * frame.gutter, ""), (words, "label")) if frame.gutter else ((words, "label"),)


def _draw_background(canvas: Canvas, frame: _Frame, cursors: Sequence[float | None]) -> None:
    grid, reading = (GRID_ASCII, READING_ASCII) if canvas.is_ascii else (GRID, READING)
    for row in frame.labels:
        for x in range(canvas.width):
            canvas.background(x, row, grid, "grid")
    for cursor in cursors:
        place = _cell(cursor, frame.columns)
        if place is not None:
            for row in range(canvas.height):
                canvas.background(place, row, reading, "cursor")


def _draw_note(canvas: Canvas, note: str) -> None:
    note = f" {to_ascii(note) if canvas.is_ascii else note} "[: canvas.width]
    start = (canvas.width - len(note)) // 2
    for index, sign in enumerate(note):
        canvas.sign(start + index, canvas.height // 2, sign, "label")


def _draw_curves(canvas: Canvas, frame: _Frame, scale: Scale) -> None:
    num_dots = canvas.height * DOTS_DOWN
    # Lines first: where a line and single steps meet, the line's style wins.
    drawn = sorted(zip(frame.curves, frame.thinned, strict=True), key=lambda pair: not pair[0].is_line)
    for curve, cut in drawn:
        layer = canvas.layer(curve.style, ascii_sign="*" if curve.is_line else ".")
        if curve.is_line:
            _draw_line(layer, cut, scale, num_dots)
        else:
            _draw_dots(layer, cut, scale, num_dots)
    for x, value in frame.marks:
        _draw_mark(canvas, _cell(x, frame.columns), scale.dot(value, num_dots))
    for curve, cut in drawn:
        if curve.letter:
            _draw_letter(canvas, curve, cut, scale)


def _draw_dots(layer: Layer, cut: Thinned, scale: Scale, num_dots: int) -> None:
    for column in cut.columns:
        for value in (column.low, column.high):
            y = scale.dot(value, num_dots)
            if y is not None:
                layer.dot(column.x, y)


def _draw_line(layer: Layer, cut: Thinned, scale: Scale, num_dots: int) -> None:
    gaps = sorted(cut.gaps)
    before: tuple[int, int] | None = None
    for column in cut.columns:
        y, top, bottom = (scale.dot(value, num_dots) for value in (column.last, column.high, column.low))
        if y is None or top is None:
            before = None
            continue
        start = before
        if start is None or column.is_broken or _is_between(gaps, start[0], column.x):
            start = (column.x, y)
        layer.segment(*start, column.x, y)
        # What sticks out of the line within the column is a spike; one dot is only the grain of the raster.
        if top < min(start[1], y) - 1:
            layer.column(column.x, top, y)
        if bottom is not None and bottom > max(start[1], y) + 1:
            layer.column(column.x, y, bottom)
        before = None if column.is_broken else (column.x, y)


def _is_between(gaps: Sequence[int], x_0: int, x_1: int) -> bool:
    place = bisect_left(gaps, x_0)
    return place < len(gaps) and gaps[place] <= x_1


def _draw_letter(canvas: Canvas, curve: Curve, cut: Thinned, scale: Scale) -> None:
    """Put a curve's letter right of its last value; at the edge, on it; where another stands, a row further."""
    ends = [column for column in cut.columns if 0 <= column.x < canvas.width * DOTS_ACROSS]
    y = scale.dot(ends[-1].last, canvas.height * DOTS_DOWN) if ends else None
    if y is None:
        return
    x = min(ends[-1].x // DOTS_ACROSS + 1, canvas.width - 1)
    row = min(max(y // DOTS_DOWN, 0), canvas.height - 1)
    rows = sorted(range(canvas.height), key=lambda other: abs(other - row))
    free = next((other for other in rows if not canvas.is_taken(x, other)), row)
    canvas.sign(x, free, curve.letter[0], curve.style)


def _draw_mark(canvas: Canvas, x: int | None, y: int | None) -> None:
    if x is not None and y is not None:
        row = min(max(y // DOTS_DOWN, 0), canvas.height - 1)
        canvas.sign(x, row, MARK_ASCII if canvas.is_ascii else MARK, "mark")


def _draw_bad(canvas: Canvas, thinned: Sequence[Thinned]) -> None:
    """A cross at the foot wherever a value is not a number; a held-out point there keeps its cell, the cross moves."""
    row = canvas.height - 1
    for x in sorted({x // DOTS_ACROSS for cut in thinned for x in cut.bad}):
        places = [place for place in (x, x + 1, x - 1) if 0 <= place < canvas.width]
        free = next((place for place in places if not canvas.is_taken(place, row)), None)
        if free is not None:
            canvas.sign(free, row, BAD_ASCII if canvas.is_ascii else BAD, "bad")
