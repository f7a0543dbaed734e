"""A chart one can read, zoom and pan; what it draws is computed in `curve`, which steps it shows in `window`."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content, Span
from textual.message import Message

from acestep_tui.widgets.axes import step_label
from acestep_tui.widgets.braille import DOTS_ACROSS, Row
from acestep_tui.widgets.curve import draw_chart, gutter_width
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import is_ascii
from acestep_tui.widgets.plots import SMOOTHINGS, Plot, Points, Reading, Trace, nearest, neighbour
from acestep_tui.widgets.thin import Curve
from acestep_tui.widgets.window import Extent, Window, chosen

__all__ = ["SMOOTHINGS", "STYLES", "Chart", "Curve", "Plot", "Points", "Reading", "Trace", "chart_lines", "draw_chart"]

STYLES = {
    "dots": "$chart-raw",
    "line": "$primary",
    "line2": "$chart-2",
    "line3": "$chart-3",
    "mark": "$chart-2",
    "grid": "$border-blurred",
    "label": "$text-muted",
    "cursor": "$foreground",
    "bad": "$error",
}

_ZOOM = 0.5
_PAN = 0.25
_LEAST_DRAG_CELLS = 2


def chart_lines(rows: Sequence[Row]) -> list[Content]:
    """A drawn chart as lines of a screen."""
    return [_content(row) for row in rows]


def _content(row: Row) -> Content:
    spans, start = [], 0
    for text, style in row:
        if style:
            spans.append(Span(start, start + len(text), STYLES[style]))
        start += len(text)
    return Content("".join(text for text, _ in row), spans=spans)


class Chart(Lines, can_focus=True):
    """Curves over steps. The owner hands data in with `show`; keys are bound elsewhere and call the actions.

    Args:
        num_grid_lines: Labelled rows; None chooses by height.
        max_x_intervals: Most parts the labels cut the x axis into; None chooses by width.
        can_zoom: Whether mouse and wheel act on the chart; else they are left to the page.
    """

    DEFAULT_CSS = """
    Chart { height: 1fr; }
    """

    @dataclass
    class Read(Message):
        """The reading line stands on another step, or is gone."""

        chart: Chart
        reading: Reading | None

        @property
        def control(self) -> Chart:
            """The chart."""
            return self.chart

    @dataclass
    class ViewChanged(Message):
        """Other steps, another scale, smoothing or curve is shown; `Chart.caption` says it in words."""

        chart: Chart

        @property
        def control(self) -> Chart:
            """The chart."""
            return self.chart

    def __init__(
        self,
        *,
        num_grid_lines: int | None = None,
        max_x_intervals: int | None = None,
        can_zoom: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.num_grid_lines = num_grid_lines
        self.max_x_intervals = max_x_intervals
        self.can_zoom = can_zoom
        self.plots: tuple[Plot, ...] = ()
        self.plot_index = 0
        self.window = Window()
        self.is_log = False
        self.smoothing = SMOOTHINGS[0]
        self.has_dots = True
        self._x_end: float | None = None
        self._note = ""
        self._step: int | None = None
        self._drag: tuple[int, int] | None = None  # cells at which it began and stands
        self._gutter = 0

    # -- data in --

    def show(self, plots: Sequence[Plot], *, x_end: float | None = None, note: str = "") -> None:
        """Show these plots; call it again whenever their points have grown.

        Args:
            plots: One is shown, `action_next_curve` goes through them.
            x_end: Last step of the axis (the planned one); None ends it at the newest step.
            note: What to say while there is nothing to draw.
        """
        self.plots = tuple(plots)
        self.plot_index = min(self.plot_index, max(len(self.plots) - 1, 0))
        self._x_end, self._note = x_end, note
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The chart as it should be now."""
        plot = self.plot
        rows = draw_chart(
            plot.curves(self.smoothing) if plot else [],
            width=width,
            height=height,
            x_range=self.x_range,
            is_log=self.is_log,
            has_zero=plot is not None and plot.has_zero,
            marks=plot.marks if plot else (),
            cursor_x=self._step if self._drag is None else self._step_at(self._drag[1]),
            drag_x=None if self._drag is None else self._step_at(self._drag[0]),
            show_dots=self.has_dots,
            num_grid_lines=self.num_grid_lines,
            max_x_intervals=self.max_x_intervals,
            note=self._note,
            is_ascii=is_ascii(),
        )
        self._gutter = gutter_width(rows)
        return chart_lines(rows)

    # -- what is shown --

    @property
    def plot(self) -> Plot | None:
        """The plot that is shown."""
        return self.plots[self.plot_index] if self.plots else None

    @property
    def x_range(self) -> tuple[float, float]:
        """First and last step in view."""
        return self.window.bounds(self._extent)

    @property
    def caption(self) -> str:
        """How it is drawn, in words: ``linear, smoothing 0.94, steps 0–1,240``."""
        start, end = (step_label(round(step)) for step in self.x_range)
        parts = ["log" if self.is_log else "linear", f"steps {start}–{end}"]
        if self.plot is not None and self.plot.is_smoothed:
            parts.insert(1, f"smoothing {self.smoothing:g}" if self.smoothing else "not smoothed")
        return ", ".join(parts)

    @property
    def reading(self) -> Reading | None:
        """The values at the reading line; None while there is no line."""
        if self.plot is None or self._step is None:
            return None
        return self.plot.reading(self._step, self.smoothing)

    @property
    def _extent(self) -> Extent:
        newest = self.plot.newest if self.plot else 0
        return Extent(0, newest, max(self._x_end or 0, newest, 1))

    @property
    def _steps(self) -> Sequence[int]:
        return self.plot.longest_steps if self.plot else ()

    # -- reading --

    def action_read_left(self) -> None:
        """Move the reading line one cell to the left, at least one step."""
        self._move_reading(-1)

    def action_read_right(self) -> None:
        """Move the reading line one cell to the right, at least one step."""
        self._move_reading(1)

    def clear_reading(self) -> None:
        """Take the reading line away."""
        if self._step is not None:
            self._step = None
            self.redraw()
            self.post_message(self.Read(self, None))

    def read_at(self, step: float) -> None:
        """Put the reading line on the step nearest to ``step`` that has a value, and bring it into view."""
        self._read(nearest(self._steps, step))

    def _move_reading(self, direction: int) -> None:
        start, end = self.x_range
        if self._step is None or not start <= self._step <= end:
            in_view = bisect_right(self._steps, end) - 1
            self._read(self._steps[in_view] if in_view >= 0 else None)
        else:
            cell = (end - start) / max(self._plot_width - 1, 1)
            self._read(neighbour(self._steps, self._step, cell, direction))

    def _read(self, step: int | None) -> None:
        if step is None or step == self._step:
            return
        self._step = step
        self._look(self.window.holding(step, self._extent), redraws=True)
        self.post_message(self.Read(self, self.reading))

    # -- the window --

    def action_zoom_in(self) -> None:
        """Show half as many steps, around the reading line."""
        self._zoom(_ZOOM, self._around)

    def action_zoom_out(self) -> None:
        """Show twice as many steps, around the reading line."""
        self._zoom(1 / _ZOOM, self._around)

    def action_pan_left(self) -> None:
        """Show earlier steps."""
        self._look(self.window.panned(-_PAN, self._extent))

    def action_pan_right(self) -> None:
        """Show later steps."""
        self._look(self.window.panned(_PAN, self._extent))

    def action_follow(self) -> None:
        """Stick to the newest step."""
        self._look(self.window.following(self._extent))

    def action_show_all(self) -> None:
        """Show all steps."""
        self._look(Window())

    @property
    def _around(self) -> float:
        start, end = self.x_range
        if self._step is not None and start <= self._step <= end:
            return self._step
        return min((start + end) / 2, self._extent.newest)

    def _zoom(self, factor: float, around: float) -> None:
        self._look(self.window.zoomed(factor, around, self._extent))

    def _look(self, window: Window, *, redraws: bool = False) -> None:
        if window != self.window:
            self.window = window
            self._changed()
        elif redraws:
            self.redraw()

    # -- how it is drawn --

    def action_toggle_log(self) -> None:
        """Change between linear and logarithmic."""
        self.is_log = not self.is_log
        self._changed()

    def action_cycle_smoothing(self) -> None:
        """Smooth more, less, or not at all."""
        self.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.smoothing) + 1) % len(SMOOTHINGS)]
        self._changed()
        self._read_again()

    def action_toggle_dots(self) -> None:
        """Show single steps, or the lines alone."""
        self.has_dots = not self.has_dots
        self._changed()

    def action_next_curve(self) -> None:
        """Show the next plot."""
        if len(self.plots) > 1:
            self.plot_index = (self.plot_index + 1) % len(self.plots)
            self._changed()
            self._read_again()

    def _read_again(self) -> None:
        if self._step is not None:
            self.post_message(self.Read(self, self.reading))

    def _changed(self) -> None:
        self.redraw()
        self.post_message(self.ViewChanged(self))

    # -- the mouse --

    @property
    def _plot_width(self) -> int:
        return max(self.size.width - self._gutter, 1)

    def _step_at(self, x: int) -> float:
        start, end = self.x_range
        dots = self._plot_width * DOTS_ACROSS - 1
        share = ((x - self._gutter) * DOTS_ACROSS + 0.5) / dots
        return start + min(max(share, 0.0), 1.0) * (end - start)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """A drag begins, or a click."""
        if self.can_zoom:
            event.stop()
            self._drag = (int(event.x), int(event.x))
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Two lines show what a drag has marked so far."""
        if self._drag is not None:
            event.stop()
            if self._drag[1] != int(event.x):
                self._drag = (self._drag[0], int(event.x))
                self.redraw()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """A drag shows what lies between its ends; a click puts the reading line there."""
        if self._drag is None:
            return
        event.stop()
        self.release_mouse()
        begin, end = self._drag[0], int(event.x)
        self._drag = None
        self.redraw()
        if abs(end - begin) < _LEAST_DRAG_CELLS:
            self.read_at(self._step_at(end))
        else:
            self._look(chosen(self._step_at(begin), self._step_at(end), self._extent))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel zooms in around the pointer."""
        self._wheel(event, _ZOOM)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel zooms out around the pointer."""
        self._wheel(event, 1 / _ZOOM)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        if self.can_zoom:
            event.stop()
            self._zoom(factor, self._step_at(math.floor(event.x)))
