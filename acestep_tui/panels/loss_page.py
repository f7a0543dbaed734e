"""The zoomed loss: values are read, zoomed and panned; beside it learning rate and gradient size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget

from acestep_tui.commands import bindings
from acestep_tui.panels.base import Copied, Page
from acestep_tui.panels.loss import (
    EMPTY,
    LOSS,
    NORM,
    RATE,
    Head,
    LossPanel,
    Row,
    copied_reading,
    copy_look,
    newest_or_marked,
    other_reading_line,
    plots_of,
    reading_line,
    small,
)
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.chart import Chart, Plot, Reading
from acestep_tui.widgets.paint import MUTED, join, title

_WIDE_COLUMNS, _TALL_ROWS = 100, 30


class ClipShare:
    """How many steps had their gradient clipped; counts only the steps that were added since the last look."""

    def __init__(self) -> None:
        self._counted = self._clipped = 0

    def of(self, state: RunState) -> float | None:
        """The share of all steps, 0 to 1; None where nothing is clipped or known."""
        limit = state.config.get("max_grad_norm")
        values = state.grad_norm.values
        if not isinstance(limit, int | float) or limit <= 0 or not values:
            return None
        if len(values) < self._counted:  # the run went back
            self._counted = self._clipped = 0
        self._clipped += sum(value > limit for value in values[self._counted :])
        self._counted = len(values)
        return self._clipped / self._counted


def norm_words(state: RunState, reading: Reading | None, share: float | None) -> Content:
    """``0.24 clipped at 0.50: 6 % of steps``."""
    value = small(reading.raw if reading is not None else state.grad_norm.last)
    if share is None:
        return join((value, MUTED))
    limit = float(state.config["max_grad_norm"])
    return join((value, "bold"), (f" clipped at {limit:.2f}: {share:.0%} of steps".replace("%", " %"), MUTED))


class LossPage(Page):
    """The chart with the whole body: values are read, zoomed and panned; beside it learning rate and gradient size."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("zoom")
    scopes = ("zoom",)

    DEFAULT_CSS = """
    LossPage { layout: vertical; }
    LossPage #beside { display: none; height: 7; margin: 1 0 3 0; }
    LossPage #beside Vertical { width: 1fr; }
    LossPage #norm { margin: 0 0 0 3; }
    LossPage #foot { margin: 1 0 0 0; }
    LossPage.-beside #beside { display: block; }
    LossPage.-beside #foot { display: none; }
    """

    def __init__(self, panel: LossPanel) -> None:
        super().__init__()
        self._panel = panel
        self._state: RunState | None = None
        self._clipped = ClipShare()
        self.chart = Chart(id="chart")
        self.rate, self.norm = (
            Chart(num_grid_lines=2, max_x_intervals=1, can_zoom=False, id=name) for name in ("rate-chart", "norm-chart")
        )
        self.rate.can_focus = self.norm.can_focus = False
        copy_look(panel.chart, self.chart)

    def compose(self) -> Iterable[Widget]:
        """Title, values, chart; the two others beside each other, or one row that says what they are."""
        yield Head(self.head)
        yield Row(id="reading")
        yield self.chart
        with Horizontal(id="beside"):
            with Vertical(id="rate"):
                yield Head(self.rate_head)
                yield self.rate
            with Vertical(id="norm"):
                yield Head(self.norm_head)
                yield self.norm
        yield Row(id="foot")

    def focus(self, scroll_visible: bool = True) -> LossPage:
        """The chart takes the focus."""
        self.chart.focus(scroll_visible)
        return self

    def on_unmount(self) -> None:
        """Scale, smoothing and curve stay as they were chosen here."""
        copy_look(self.chart, self._panel.chart)

    def on_resize(self) -> None:
        """The two other curves need room."""
        self.set_class(self.size.width >= _WIDE_COLUMNS and self.size.height >= _TALL_ROWS, "-beside")
        self._say_values()

    def show(self, state: RunState, now: float) -> None:
        """Draw what has changed."""
        del now
        self._state = state
        plots = plots_of(state)
        self.chart.show(plots, note=EMPTY)
        self.rate.show(plots[1:2], note=EMPTY)
        self.norm.show(plots[2:], note=EMPTY)
        self._say_values()

    def head(self, width: int) -> Content:
        """The title row: which curve, how it is drawn."""
        name = self.chart.plot.name if self.chart.plot is not None else LOSS
        return title(width, name, number="1", live=(self.chart.caption, MUTED), is_focused=True)

    def on_chart_view_changed(self) -> None:
        """Another window, scale or curve."""
        self._say_values()

    def on_chart_read(self) -> None:
        """The reading line moved."""
        self._say_values()

    def _say_values(self) -> None:
        state, plot = self._state, self.chart.plot
        if state is None or plot is None or not self.is_mounted:
            return
        reading = newest_or_marked(self.chart)
        line = reading_line(reading, self.size.width) if plot.name == LOSS else other_reading_line(plot.name, reading)
        self.query_one("#reading", Row).say(line)
        self.query_one("#foot", Row).say(self._others(plot, {RATE: self._read(1), NORM: self._read(2)}))
        for head in self.query(Head):
            head.redraw()

    def _read(self, place: int) -> Reading | None:
        """What another curve has where this one is read."""
        reading = newest_or_marked(self.chart)
        if reading is None or len(self.chart.plots) <= place:
            return None
        return self.chart.plots[place].reading(reading.step, 0.0)

    def rate_head(self, width: int) -> Content:
        """The learning rate's title."""
        reading = self._read(1)
        return title(width, RATE, live=(small(reading.raw if reading is not None else None), "bold"))

    def norm_head(self, width: int) -> Content:
        """The gradient's title, with how often it was clipped."""
        if self._state is None:
            return title(width, NORM)
        return title(width, NORM, live=norm_words(self._state, self._read(2), self._clipped.of(self._state)))

    def _others(self, plot: Plot, readings: dict[str, Reading | None]) -> Content:
        """What `v` shows: ``also here with v: learning rate 4.1e-5, gradient size 0.24``."""
        others = [f"{name.lower()} {small(read.raw if read else None)}" for name, read in readings.items()]
        if plot.name != LOSS:
            others = ["loss" if name == plot.name else words for name, words in zip(readings, others, strict=True)]
        return join(("also here with v: ", MUTED), (", ".join(others), MUTED))

    def copied(self) -> Copied | None:
        """The values at the reading line, else of the newest step."""
        return copied_reading(self.chart)

    # The keys: each is the chart's own action.

    def action_read_left(self) -> None:
        """One cell to the left."""
        self.chart.action_read_left()

    def action_read_right(self) -> None:
        """One cell to the right."""
        self.chart.action_read_right()

    def action_pan_left(self) -> None:
        """Earlier steps."""
        self.chart.action_pan_left()

    def action_pan_right(self) -> None:
        """Later steps."""
        self.chart.action_pan_right()

    def action_zoom_in(self) -> None:
        """Fewer steps."""
        self.chart.action_zoom_in()

    def action_zoom_out(self) -> None:
        """More steps."""
        self.chart.action_zoom_out()

    def action_follow(self) -> None:
        """Stick to the newest step."""
        self.chart.action_follow()

    def action_show_all(self) -> None:
        """All steps."""
        self.chart.action_show_all()

    def action_toggle_log(self) -> None:
        """Linear or logarithmic."""
        self.chart.action_toggle_log()

    def action_cycle_smoothing(self) -> None:
        """Smooth more, less, not at all."""
        self.chart.action_cycle_smoothing()

    def action_toggle_dots(self) -> None:
        """With or without single steps."""
        self.chart.action_toggle_dots()

    def action_next_curve(self) -> None:
        """Loss, learning rate, gradient size."""
        self.chart.action_next_curve()
