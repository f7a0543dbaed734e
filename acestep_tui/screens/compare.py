"""Compare: two or three runs on one axis, the settings that differ, what came out, one sentence of judgement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, work
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from acestep_tui.commands import bindings
from acestep_tui.panels.loss import LOSS
from acestep_tui.runs.compare import LETTERS, Comparison, compare
from acestep_tui.runs.state import RunState
from acestep_tui.runs.watch import RunWatcher, Update
from acestep_tui.screens import compare_page as lines_of
from acestep_tui.screens.base import HouseScreen
from acestep_tui.widgets.cells import Cells
from acestep_tui.widgets.chart import Chart
from acestep_tui.widgets.lines import Drawn
from acestep_tui.widgets.paint import BOLD, ERROR, fit, join, wrap
from acestep_tui.widgets.rows import Rows
from engine.contract.run_dir import RunDir, short_name

_REFRESH_S = 2.0
_WIDE = 120
_LEAST_CHART, _LEAST_TABLE = 6, 4
# On a wide screen the clips' place is kept: title and two waves.
_LISTEN_ROWS = 5
# A high chart has a labelled row in between.
_FIVE_LINES_FROM = 17


class _Body(Cells, inherit_bindings=False):
    """Leaves ``←→`` to the chart."""


class CompareScreen(HouseScreen):
    """Runs side by side.

    Args:
        runs: Two or three run folders; A, B, C in this order.
    """

    CSS_PATH = Path(__file__).with_name("compare.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("compare")
    scopes = ("compare",)
    help_title = "Compare"

    @dataclass
    class Loaded(Message):
        """The runs' events are read."""

        watchers: list[RunWatcher]
        states: list[RunState]

    @dataclass
    class Updated(Message):
        """What is new about each run."""

        updates: list[Update]

    def __init__(self, runs: Sequence[RunDir]) -> None:
        super().__init__()
        self.folders = list(runs[: len(LETTERS)])
        self.states: list[RunState] = []
        self.compared: Comparison | None = None
        self._watchers: list[RunWatcher] = []
        self._is_looking = False
        self._table: list[Content] = []

    def compose_body(self) -> Iterable[Widget]:
        """Chart, tables, the clips' place, the judgement."""
        with _Body(id="body"):
            yield Drawn(self._chart_title, id="title")
            yield Chart()
            yield Rows(self._draw_row, shows_cursor=False, id="table")
            yield Drawn(self._listen, id="listen")
            yield Drawn(self._judgement, id="judgement")

    def on_mount(self) -> None:
        """Read the runs."""
        self.show_header(("Compare", BOLD))
        self.query_one("#table").focus()
        self._load()
        self.set_interval(_REFRESH_S, self._look)

    def on_resize(self, event: events.Resize) -> None:
        """Another size, other places."""
        super().on_resize(event)
        self._show()

    def looks_changed(self) -> None:
        """Units or air."""
        self._show()

    # -- reading --

    @work(thread=True, exclusive=True, exit_on_error=False, group="load")
    def _load(self) -> None:
        worker = get_current_worker()
        watchers = [RunWatcher(run) for run in self.folders]
        states = [watcher.load(should_stop=lambda: worker.is_cancelled) for watcher in watchers]
        if not worker.is_cancelled:
            self.post_message(self.Loaded(watchers, states))

    def on_compare_screen_loaded(self, message: Loaded) -> None:
        """Show them."""
        self._watchers, self.states = message.watchers, message.states
        self._show()

    def _look(self) -> None:
        is_live = any(state.ended is None for state in self.states)
        if self._watchers and is_live and not self._is_looking and self.is_current:
            self._is_looking = True
            self._poll(list(zip(self._watchers, self.states, strict=True)))

    @work(thread=True, exit_on_error=False, group="poll")
    def _poll(self, watched: list[tuple[RunWatcher, RunState]]) -> None:
        try:
            self.post_message(self.Updated([watcher.poll(state) for watcher, state in watched]))
        finally:
            self._is_looking = False

    def on_compare_screen_updated(self, message: Updated) -> None:
        """Show what is new."""
        for state, update in zip(self.states, message.updates, strict=True):
            state.apply(update)
            state.take_news()
        self._show()

    # -- showing --

    def _show(self) -> None:
        if self.states:
            self.compared = compare(self.states, now=self.house.clock())
            chart = self.query_one(Chart)
            last = max((state.steps_total or state.step_now for state in self.states), default=1)
            chart.show(lines_of.plots_of(self.states, self.compared.letters), x_end=last)
        else:
            self.query_one(Chart).show((), note="reading …")
        self._fill_table()
        self._put()
        for drawn in self.query(Drawn):
            drawn.redraw()
        self.refresh_bindings()

    def _fill_table(self) -> None:
        width = self._inner_width
        if self.compared is None:
            self._table = []
        elif self._is_wide:
            self._table = lines_of.beside_lines(self.compared, width)
        else:
            self._table = lines_of.stacked_lines(self.compared, width)
        self.query_one("#table", Rows).set_rows(len(self._table))
        self.query_one("#table", Rows).redraw()

    @property
    def _is_wide(self) -> bool:
        return self.size.width >= _WIDE

    @property
    def _inner_width(self) -> int:
        return self.size.width - (4 if self._is_wide else 2)

    def _put(self) -> None:
        size = self.query_one("#body").container_size
        if not size.width or not size.height:
            return
        is_compact = self.house.settings["density"] == "compact"
        num_judged = len(self._judgement(self._inner_width, size.height))
        places = placed(size.width, size.height, len(self._table), num_judged, is_compact=is_compact)
        chart = places.pop("chart")
        self.query_one(Chart).num_grid_lines = 5 if chart.height >= _FIVE_LINES_FROM else None
        named: dict[Widget, Region] = {self.query_one(f"#{name}"): region for name, region in places.items()}
        self.query_one("#body", Cells).put({self.query_one(Chart): chart, **named})

    def _chart_title(self, width: int, height: int) -> list[Content]:
        del height
        chart = self.query_one(Chart)
        plot, reading = chart.plot, chart.reading
        if self.compared is None or plot is None:
            return [lines_of.chart_title(width, LOSS, Content(""))]
        how = ", smoothed" if chart.smoothing else ", each step"
        name = f"{plot.name}{how if plot.is_smoothed else ''}"
        live = lines_of.legend(self.compared)
        if reading is not None:
            is_loss = plot.is_smoothed or plot.name == lines_of.HELD_OUT
            live = lines_of.reading_text(reading, self.compared.letters, is_loss=is_loss)
        return [lines_of.chart_title(width, name, live)]

    def _draw_row(self, index: int, width: int, is_selected: bool) -> Content:
        del is_selected
        return fit(self._table[index], width)

    def _listen(self, width: int, height: int) -> list[Content]:
        del height
        return lines_of.listen_lines(width)

    def _judgement(self, width: int, height: int) -> list[Content]:
        del height
        if self.compared is None:
            return [Content("")]
        broken = [state for state in self.states if state.reading_problem or state.is_gone]
        if broken:
            reason = broken[0].reading_problem or "its folder is gone"
            return wrap(join(("✗ ", ERROR), f"{short_name(broken[0].name)}: {reason}."), width, indent=2)
        return lines_of.judgement_lines(self.compared, width)

    def on_chart_read(self) -> None:
        """The values at the line stand in the title."""
        self.query_one("#title", Drawn).redraw()

    def on_chart_view_changed(self) -> None:
        """Another curve, another title."""
        self.query_one("#title", Drawn).redraw()

    # -- keys --

    def action_back(self) -> None:
        """Take the reading line away, else back to where one came from."""
        chart = self.query_one(Chart)
        if chart.reading is not None:
            chart.clear_reading()
        else:
            self.app.pop_screen()

    def action_read_left(self) -> None:
        """Read values one cell to the left."""
        self.query_one(Chart).action_read_left()

    def action_read_right(self) -> None:
        """Read values one cell to the right."""
        self.query_one(Chart).action_read_right()

    def action_zoom_in(self) -> None:
        """Show half as many steps."""
        self.query_one(Chart).action_zoom_in()

    def action_zoom_out(self) -> None:
        """Show twice as many steps."""
        self.query_one(Chart).action_zoom_out()

    def action_show_all(self) -> None:
        """Show all steps."""
        self.query_one(Chart).action_show_all()

    def action_toggle_log(self) -> None:
        """Linear or logarithmic."""
        self.query_one(Chart).action_toggle_log()

    def action_cycle_smoothing(self) -> None:
        """Smooth more, less, or not at all."""
        self.query_one(Chart).action_cycle_smoothing()

    def action_next_curve(self) -> None:
        """Loss, held-out loss, learning rate, gradient size."""
        self.query_one(Chart).action_next_curve()

    def action_copy(self) -> None:
        """The tables as text."""
        if self.compared is not None:
            self.house.copy(lines_of.as_text(self.compared), "the table")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing can be read or copied before the runs are."""
        if action == "copy":
            return self.compared is not None
        return super().check_action(action, parameters)


def placed(width: int, height: int, num_table: int, num_judged: int, *, is_compact: bool) -> dict[str, Region]:
    """Where everything stands between header and footer; the chart has what the tables leave.

    Args:
        width, height: The body's size in cells.
        num_table: Rows that the tables need.
        num_judged: Rows that the judgement needs.
        is_compact: Whether the reader wants no empty rows.
    """
    is_wide = width >= _WIDE
    margin = 2 if is_wide else 1
    inner = width - 2 * margin
    has_air = is_wide and height >= 30 and not is_compact
    top, gap, wide_gap = (1, 1, 2) if has_air else (0, 0, 0)
    num_listen = (_LISTEN_ROWS if has_air else 2) if is_wide and height >= 26 else 0
    rest = height - top - 1 - gap - num_judged - (num_listen + 2 * wide_gap if num_listen else 0)
    num_table = max(min(num_table, rest - _LEAST_CHART), _LEAST_TABLE)
    num_chart = max(rest - num_table, _LEAST_CHART)
    below = top + 1 + num_chart + gap
    places = {
        "title": Region(margin, top, inner, 1),
        "chart": Region(margin, top + 1, inner, num_chart),
        "table": Region(margin, below, inner, num_table),
    }
    below += num_table
    if num_listen:
        places["listen"] = Region(margin, below + wide_gap, inner, num_listen)
        below += num_listen + 2 * wide_gap
    return {**places, "judgement": Region(margin, below, inner, num_judged)}
