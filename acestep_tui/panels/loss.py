"""Panel 1, Loss: single steps, the smoothed line, held-out points."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Copied, Page
from acestep_tui.panels.view import View, view_of
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.chart import Chart, Plot, Reading, Trace
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ERROR, MUTED, Part, join, title

LOSS, RATE, NORM = "Loss", "Learning rate", "Gradient size"
_WIDE_COLUMNS = 100
EMPTY = "the curve begins with the first step"


def plots_of(state: RunState) -> tuple[Plot, ...]:
    """What the chart can show: loss first, then learning rate and gradient size."""
    marks = tuple((point.step, point.loss) for point in sorted(state.heldout, key=lambda point: point.step))
    return (
        Plot(LOSS, (Trace(state.loss),), marks=marks),
        Plot(RATE, (Trace(state.lr),), is_smoothed=False, has_zero=True),
        Plot(NORM, (Trace(state.grad_norm),), is_smoothed=False, has_zero=True),
    )


def legend(is_smoothed: bool, has_dots: bool, has_marks: bool) -> Content:
    """What is drawn how: ``┈ each step  ━ smoothed  ◆ held-out``."""
    parts: list[Part] = []
    if has_dots and is_smoothed:
        parts += [("┈", "$chart-raw"), (" each step  ", MUTED)]
    parts += [("━", "$primary"), (" smoothed" if is_smoothed else " each step", MUTED)]
    if has_marks:
        parts += [("  ◆", "$chart-2"), (" held-out", MUTED)]
    return join(*parts)


def small(value: float | None) -> str:
    """A small number as short as it can be: ``4.1e-5``, ``0.24``."""
    if value is None:
        return fmt.UNKNOWN
    if not math.isfinite(value):
        return "not a number"
    if value == 0 or abs(value) >= 0.01:
        return f"{value:.2f}"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits}e{int(power)}"


def reading_line(reading: Reading | None, width: int = 120) -> Content:
    """``▾ step 760   ┈ this step 0.4417   ━ smoothed 0.4309   ◆ held-out 0.4452 (750)``, shorter where that is long."""
    if reading is None:
        return join((EMPTY, MUTED))
    shorter = [_reading_line(reading, "this step"), _reading_line(reading, "this")]
    shorter.append(_reading_line(dataclasses.replace(reading, heldout=None), "this"))
    return next((line for line in shorter if line.cell_length <= width), shorter[-1])


def _reading_line(reading: Reading, this: str) -> Content:
    parts: list[Part] = [("▾ ", "$foreground"), f"step {fmt.count(reading.step)}"]
    parts += [("   ┈", "$chart-raw"), (f" {this} ", MUTED), _value(reading.raw)]
    parts += [("   ━", "$primary"), (" smoothed ", MUTED), _value(reading.smoothed)]
    if reading.heldout is not None:
        parts += [("   ◆", "$chart-2"), (" held-out ", MUTED), _value(reading.heldout)]
        parts.append((f" ({fmt.count(reading.heldout_step)})", MUTED))
    return join(*parts)


def other_reading_line(name: str, reading: Reading | None) -> Content:
    """The reading of a curve that has no smoothed line: ``▾ step 760   ━ learning rate 4.1e-5``."""
    if reading is None:
        return join((EMPTY, MUTED))
    value = small(reading.raw)
    return join(
        ("▾ ", "$foreground"), f"step {fmt.count(reading.step)}", ("   ━", "$primary"), f" {name.lower()} {value}"
    )


def _value(value: float | None) -> Part:
    return (fmt.loss(value), ERROR if value is not None and not math.isfinite(value) else "bold")


class Head(Lines):
    """The title row, drawn by its owner."""

    DEFAULT_CSS = "Head { height: 1; }"

    def __init__(self, draw: Callable[[int], Content]) -> None:
        super().__init__()
        self._draw = draw

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The row."""
        del height
        return [self._draw(width)]


class Row(Lines):
    """One line that is set from outside."""

    DEFAULT_CSS = "Row { height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._line = Content("")

    def say(self, line: Content) -> None:
        """Show another line."""
        self._line = line
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The row."""
        del width, height
        return [self._line]


class LossPanel(Vertical):
    """The chart under its title. As a `Panel` it has number, name and `show`; its chart has the focus."""

    number: ClassVar[str] = "1"
    name = LOSS

    DEFAULT_CSS = """
    LossPanel { height: 1fr; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.state: RunState | None = None
        self.now = 0.0
        self.has_title = True
        self.chart = Chart()

    def compose(self) -> ComposeResult:
        """Title and chart."""
        yield Head(self.head)
        yield self.chart

    def focus(self, scroll_visible: bool = True) -> LossPanel:
        """The chart takes the focus."""
        self.chart.focus(scroll_visible)
        return self

    def heading(self, state: RunState) -> str:
        """Its name in a tab strip."""
        del state
        return self.name

    def show(self, state: RunState, now: float) -> None:
        """Draw what has changed."""
        self.state, self.now = state, now
        self.chart.num_grid_lines = self._num_grid_lines(state)
        self.chart.show(plots_of(state), x_end=state.steps_total, note=EMPTY)
        self._redraw_head()

    def _num_grid_lines(self, state: RunState) -> int | None:
        """Under the page of a crash one looks closer at where the run stood."""
        return 5 if view_of(state).is_broken and self.chart.size.height > 11 else None

    def head(self, width: int) -> Content:
        """The title row."""
        plot, state = self.chart.plot, self.state
        if plot is None or state is None:
            return Content("")
        live: Part = legend(self.chart.smoothing > 0, self.chart.has_dots, bool(plot.marks))
        if plot.name == RATE:
            live = (small(state.lr.last), MUTED)
        elif plot.name == NORM:
            live = (small(state.grad_norm.last), MUTED)
        elif view_of(state).is_broken or view_of(state) is View.STOPPED:
            live = (f"until step {fmt.count(state.step_now)}", MUTED)
        return title(width, plot.name, number=self.number, live=live, is_focused=self.chart.has_focus)

    def _redraw_head(self) -> None:
        for head in self.query(Head):
            head.redraw()

    def on_descendant_focus(self) -> None:
        """The title's rule becomes heavy."""
        self._redraw_head()

    def on_descendant_blur(self) -> None:
        """The title's rule becomes thin again."""
        self._redraw_head()

    def on_chart_view_changed(self) -> None:
        """Another curve or another smoothing has another title."""
        self._redraw_head()

    def page(self) -> Page:
        """The zoomed chart, beginning as this one looks."""
        from acestep_tui.panels.loss_page import LossPage

        return LossPage(self)

    def copied(self) -> Copied | None:
        """The values at the reading line, else of the newest step."""
        return copied_reading(self.chart)


def newest_or_marked(chart: Chart) -> Reading | None:
    """The values at the reading line, else those of the newest step; None while there is no step."""
    if chart.reading is not None:
        return chart.reading
    plot = chart.plot
    return plot.reading(plot.newest, chart.smoothing) if plot is not None and plot.longest_steps else None


def copied_reading(chart: Chart) -> Copied | None:
    """The values as text for the clipboard."""
    reading, plot = newest_or_marked(chart), chart.plot
    if reading is None or plot is None:
        return None
    line = reading_line(reading) if plot.name == LOSS else other_reading_line(plot.name, reading)
    return Copied(line.plain.removeprefix("▾ ").removeprefix("v "), "the values")


def copy_look(source: Chart, target: Chart) -> None:
    """Give a chart the scale, the smoothing and the curve of another one."""
    target.is_log, target.smoothing, target.has_dots = source.is_log, source.smoothing, source.has_dots
    target.plot_index = source.plot_index
    target.redraw()
