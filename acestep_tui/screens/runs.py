"""Runs: all run folders and drafts, live; filter, marks, a preview; what can be done with the selected one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, work
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from acestep_tui.commands import Command, bindings
from acestep_tui.runs.state import RunState
from acestep_tui.runs.summary import RunList, RunSummary
from acestep_tui.runs.watch import RunWatcher, Update
from acestep_tui.screens import runs_page as lines_of
from acestep_tui.screens.run_actions import can_resume, is_unheard, num_training, summary_of_draft
from acestep_tui.screens.runs_doing import RunDoing
from acestep_tui.screens.runs_layout import SIDE_FROM, left_width, placed
from acestep_tui.widgets.cells import Cells
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.lines import Drawn
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, join, title
from acestep_tui.widgets.rows import Rows
from engine.contract.run_dir import RunDir

_REFRESH_S = 2.0
# Moving on before this reads nothing: a key held down passes many runs.
_PREVIEW_AFTER_S = 0.15


@dataclass(frozen=True, slots=True)
class Watched:
    """The run in the preview: who reads it, and what was read."""

    path: Path
    watcher: RunWatcher
    state: RunState


class RunsScreen(RunDoing):
    """The list of runs."""

    CSS_PATH = Path(__file__).with_name("runs.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")
    scopes = ("runs",)
    help_title = "Runs"

    @dataclass
    class Listed(Message):
        """The runs and drafts as they are now, and what is new about the one in the preview."""

        runs: list[RunSummary]
        watched: Watched | None = None
        update: Update | None = None

    @dataclass
    class Previewed(Message):
        """The events of the selected run are read."""

        watched: Watched

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[RunSummary] = []
        self.shown_runs: list[RunSummary] = []
        self.marked: set[Path] = set()
        self.is_listed = False
        self._wanted = ""
        self._list = RunList()
        self._is_looking = False
        self._watched: Watched | None = None
        self._waiting: Callable[[RunSummary, RunState], None] | None = None

    def compose_body(self) -> Iterable[Widget]:
        """Table, preview, what is good to know."""
        with Cells(id="body"):
            yield Drawn(self._head, id="head")
            yield Rows(self._draw_row, id="list")
            yield Drawn(self._under, id="under")
            yield FilterBar("Filter by name, state or goal")
            yield Drawn(self._know, id="know")
            yield Drawn(self._preview, id="preview")

    def on_mount(self) -> None:
        """Look, and go on looking while it is seen."""
        self.query_one("#list").focus()
        self._show()
        self.look()
        self.set_interval(_REFRESH_S, self.look)

    def on_screen_resume(self) -> None:
        """Back from another screen: things may be otherwise now."""
        self.look()

    def on_resize(self, event: events.Resize) -> None:
        """Another size, other places."""
        super().on_resize(event)
        self._show()

    def looks_changed(self) -> None:
        """More or less air."""
        self._show()

    # -- looking --

    def look(self) -> None:
        """Look at all folders, unless the last look is still under way or nobody sees it."""
        if not self._is_looking and self.is_current:
            self._is_looking = True
            self._look(self._watched)

    @work(thread=True, exit_on_error=False, group="list")
    def _look(self, watched: Watched | None) -> None:
        from acestep_tui.wizard.draft_files import list_drafts

        try:
            runs = self._list.look(self.house.clock())
            runs += map(summary_of_draft, list_drafts())
            update = watched.watcher.poll(watched.state) if watched is not None else None
            self.post_message(self.Listed(runs, watched, update))
        finally:
            self._is_looking = False

    def on_runs_screen_listed(self, message: Listed) -> None:
        """Show them."""
        self.runs, self.is_listed = message.runs, True
        if message.watched is not None and message.watched is self._watched and message.update is not None:
            message.watched.state.apply(message.update)
        self.marked &= {run.path for run in self.runs}
        self._show()
        self._preview_soon()

    def _preview_soon(self) -> None:
        run = self.selected
        if run is None or run.is_draft or (self._watched is not None and self._watched.path == run.path):
            return
        self._watched = None
        self.set_timer(_PREVIEW_AFTER_S, lambda: self._preview_if_still(run.path))

    def _preview_if_still(self, path: Path) -> None:
        if self.selected is not None and self.selected.path == path and self._watched is None:
            self._read(RunDir(path))

    @work(thread=True, exclusive=True, exit_on_error=False, group="preview")
    def _read(self, run: RunDir) -> None:
        worker = get_current_worker()
        watcher = RunWatcher(run, with_facts=False)
        state = watcher.load(should_stop=lambda: worker.is_cancelled)
        if not worker.is_cancelled:
            self.post_message(self.Previewed(Watched(run.path, watcher, state)))

    def on_runs_screen_previewed(self, message: Previewed) -> None:
        """Show the curve, and do what waited for it."""
        run = self.selected
        if run is None or run.path != message.watched.path:
            return
        self._watched = message.watched
        waiting, self._waiting = self._waiting, None
        self._show()
        if waiting is not None:
            waiting(run, message.watched.state)

    def with_state(self, do: Callable[[RunSummary, RunState], None]) -> None:
        """Do something with the selected run once its events are read."""
        run = self.selected
        if run is not None and self._watched is not None and self._watched.path == run.path:
            do(run, self._watched.state)
        else:
            self._waiting = do

    # -- showing --

    @property
    def selected(self) -> RunSummary | None:
        """The run or draft under the cursor."""
        cursor = self.query_one("#list", Rows).cursor
        return self.shown_runs[cursor] if cursor < len(self.shown_runs) else None

    def _show(self) -> None:
        """Filter, put everything in its place, draw what has changed."""
        selected = self.selected
        wanted = self._wanted.casefold()
        self.shown_runs = [run for run in self.runs if lines_of.matches(run, wanted)]
        path = selected.path if selected is not None else None
        cursor = next((index for index, run in enumerate(self.shown_runs) if run.path == path), None)
        self.query_one("#list", Rows).set_rows(len(self.shown_runs), cursor=cursor)
        self._put()
        for drawn in self.query(Drawn):
            drawn.redraw()
        # What the table's new size leaves out is known once it has that size.
        self.call_after_refresh(self.query_one("#under", Drawn).redraw)
        num = num_training(self.runs)
        right = join((f"● {num} training", ACCENT), "   ", (self.house.host, MUTED)) if num else ""
        self.show_header(("Runs", BOLD), right=right)
        self.refresh_bindings()

    def _put(self) -> None:
        size = self.query_one("#body").container_size
        if size.width and size.height:
            is_compact = self.house.settings["density"] == "compact"
            num_know = len(lines_of.know_lines(self.runs, left_width(size.width)))
            is_filtering = self.query_one(FilterBar).has_class("-open")
            places = placed(size.width, size.height, len(self.runs), num_know, is_compact=is_compact)
            under = places.pop("under")
            named = {self.query_one(f"#{name}"): region for name, region in places.items()}
            named[self.query_one(FilterBar) if is_filtering else self.query_one("#under")] = under
            self.query_one("#body", Cells).put(named)

    def _head(self, width: int, height: int) -> list[Content]:
        del height
        has_focus = self.query_one("#list").has_focus or self.query_one(FilterBar).has_focus
        count = (lines_of.count_line(self.runs, len(self.shown_runs)) if self.is_listed else "looking …", MUTED)
        inner = width - (2 if self.size.width >= SIDE_FROM else 0)
        return [title(inner, "All runs", live=count, is_focused=has_focus), lines_of.head_line(width)]

    def _draw_row(self, index: int, width: int, is_selected: bool) -> Content:
        run = self.shown_runs[index]
        is_marked = run.path in self.marked
        return lines_of.run_row(run, width, self.house.clock(), is_selected=is_selected, is_marked=is_marked)

    def _under(self, width: int, height: int) -> list[Content]:
        del height
        if not self.is_listed:
            return []
        rows, num_shown = self.query_one("#list", Rows), len(self.shown_runs)
        seen = range(rows.top, min(rows.top + rows.size.height, num_shown))
        return [lines_of.under_line(len(self.marked), len(self.runs), seen, num_shown, width, wanted=self._wanted)]

    def _know(self, width: int, height: int) -> list[Content]:
        del height
        return lines_of.know_lines(self.runs, width)

    def _preview(self, width: int, height: int) -> list[Content]:
        run, watched = self.selected, self._watched
        state = watched.state if run is not None and watched is not None and watched.path == run.path else None
        is_beside = self.size.width >= SIDE_FROM
        return lines_of.preview_lines(run, state, width, height, self.house.clock(), is_beside=is_beside)

    # -- keys --

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Another run is selected."""
        message.stop()
        self._waiting = None
        self._show()
        self._preview_soon()

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Enter or a click."""
        message.stop()
        run = self.selected
        if run is not None:
            self.open_run(run)

    def action_choose(self) -> None:
        """Enter belongs to the list."""
        self.query_one("#list", Rows).action_choose()

    def action_filter(self) -> None:
        """Open the field."""
        self.add_class("-typing")
        self.query_one(FilterBar).open()
        self._show()

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        """Only runs with the text."""
        self._wanted = message.text
        self._show()
        self._preview_soon()

    def on_descendant_focus(self) -> None:
        """Which keys act depends on where one types; a field that is left empty goes."""
        self.set_class(self.query_one(FilterBar).has_focus, "-typing")
        self._show()

    def action_mark(self) -> None:
        """Mark the selected run for comparing, or take its mark away."""
        run = self.selected
        if run is None:
            return
        if run.path in self.marked:
            self.marked.remove(run.path)
        elif run.is_draft:
            self.house.toast("info", "A draft has no curve to compare.")
        elif len(self.marked) == lines_of.MOST_MARKED:
            self.house.toast(
                "info", "Three runs can be compared at once.", "space on a marked one takes its mark away."
            )
        else:
            self.marked.add(run.path)
        self._show()

    def action_compare(self) -> None:
        """The marked runs side by side."""
        chosen = lines_of.compared(self.runs, self.marked, self.selected)
        if chosen:
            self.house.open_compare([RunDir(run.path) for run in chosen])

    def action_resume(self) -> None:
        """Go on with the selected run."""
        if self.selected is not None and can_resume(self.selected):
            self.start_again(self.selected)

    def action_stop(self) -> None:
        """Ask how to stop the selected run."""
        self.with_state(self.ask_to_stop)

    def action_export(self) -> None:
        """The place of exporting to other formats."""
        self.with_state(self.tell_of_export)

    def action_delete(self) -> None:
        """Ask before deleting the selected run or draft."""
        if self.selected is not None:
            self.ask_to_delete(self.selected)

    def palette(self) -> Iterable[tuple[str, str, Callable[[], None]]]:
        """Runs by their names."""
        return self.palette_of(self.runs)

    def action_new_run(self) -> None:
        """Set up a new run."""
        self.house.open_wizard()

    def action_copy(self) -> None:
        """The folder of the selected run."""
        if self.selected is not None:
            what = "the path of the draft" if self.selected.is_draft else "the path of the run folder"
            self.house.copy(str(self.selected.path), what)

    def action_back(self) -> None:
        """Close the filter, else go Home."""
        bar = self.query_one(FilterBar)
        if bar.has_class("-open"):
            bar.close()
            self._show()
        else:
            self.house.open_home()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that can do nothing with the selected run is not offered."""
        if action == "filter" and not self.runs:
            return False
        if action in ("mark", "resume", "stop", "export", "delete", "compare", "copy"):
            run = self.selected if self.is_mounted else None
            return run is not None and self._may(action, run)
        return super().check_action(action, parameters)

    def footer_word(self, command: Command) -> str:
        """What would only be refused is not offered (the key says why), nor opening where there is nothing."""
        is_vain = command.name == "choose" and not self.shown_runs
        return "" if is_vain or (command.name == "resume" and is_unheard(self.selected)) else command.word

    def _may(self, action: str, run: RunSummary) -> bool:
        if action == "compare":
            return bool(lines_of.compared(self.runs, self.marked, run))
        if action in ("mark", "copy"):
            return True
        if action == "delete":
            return not run.is_alive
        return not run.is_draft and {
            "resume": can_resume(run) and not self.is_beginning,
            "stop": run.is_alive and not run.is_readonly,
            "export": run.status.word == "finished",
        }.get(action, True)
