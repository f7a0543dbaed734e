"""Home: greeting, recent runs live, what next, this computer. The first paint waits for nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events, work
from textual.binding import BindingType
from textual.message import Message
from textual.widget import Widget

from acestep_tui.commands import Command, bindings
from acestep_tui.doctor import Check
from acestep_tui.paths import absolute, state_dir
from acestep_tui.runs.summary import RunList, RunSummary
from acestep_tui.screens.home_page import WIDE_SCREEN, HomeFacts, needing_run, page
from acestep_tui.screens.run_actions import RunActions, can_resume, is_unheard, num_training
from acestep_tui.widgets.page import Page
from acestep_tui.widgets.paint import ACCENT, MUTED, join
from acestep_tui.widgets.rows import Rows
from acestep_tui.wizard.draft_files import DraftSummary, drafts_folder
from engine.contract.run_dir import RunDir

_LIST_REFRESH_S = 2.0


class HomeScreen(RunActions):
    """The start page."""

    CSS_PATH = Path(__file__).with_name("home.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("home")
    scopes = ("home",)
    help_title = "Home"

    @dataclass
    class Listed(Message):
        """The runs and drafts as they are now."""

        runs: Sequence[RunSummary]
        drafts: Sequence[DraftSummary]

    @dataclass
    class Looked(Message):
        """This computer and the model."""

        checks: Sequence[Check]
        in_use: Sequence[Check]
        model: Check

    def __init__(self, facts: HomeFacts | None = None) -> None:
        super().__init__()
        self._is_given = facts is not None
        self.facts = facts or HomeFacts(is_listed=not has_been_here())
        self._list = RunList(with_size=False)
        self._is_listing = False

    def compose_body(self) -> Iterable[Widget]:
        """One page."""
        yield Page(id="page")

    def on_mount(self) -> None:
        """Show what is known, then look."""
        self.facts = dataclasses.replace(self.facts, now=self.house.clock())
        self.query_one("#page", Page).focus()
        self._fill()
        if not self._is_given:
            self.list_runs()
            self.look()
            self.set_interval(_LIST_REFRESH_S, self.list_runs)

    def on_resize(self, event: events.Resize) -> None:
        """Another size is another page."""
        super().on_resize(event)
        self._fill()

    def on_screen_resume(self) -> None:
        """Back from another screen: things may be otherwise now."""
        if not self._is_given:
            self.list_runs()

    def looks_changed(self) -> None:
        """More or less air."""
        self._fill()

    def list_runs(self) -> None:
        """Look at the runs and drafts, unless the last look is still under way (a slow disk) or nobody sees it."""
        if not self._is_listing and self.is_current:
            self._is_listing = True
            self._list_runs()

    @work(thread=True, exit_on_error=False, group="list")
    def _list_runs(self) -> None:
        from acestep_tui.wizard.draft_files import list_drafts

        try:
            self.post_message(self.Listed(self._list.look(self.house.clock()), list_drafts()))
        finally:
            self._is_listing = False

    @work(thread=True, exclusive=True, exit_on_error=False, group="look")
    def look(self) -> None:
        """The computer, once."""
        from acestep_tui.look import look_for_home

        checks, in_use, model = look_for_home(absolute(self.house.settings["runs_folder"]))
        self.post_message(self.Looked(checks, in_use, model))

    def on_home_screen_listed(self, message: Listed) -> None:
        """Show the runs."""
        had_none = not self.facts.runs and not self.facts.drafts
        self.facts = dataclasses.replace(
            self.facts, runs=message.runs, drafts=message.drafts, now=self.house.clock(), is_listed=True
        )
        self._fill()
        if had_none and not self.facts.is_first:
            # The list has just come: the newest run is what one most likely wants.
            shown = self.query_one("#page", Page)
            if shown.stops:
                shown.move_to(shown.stops[0])

    def on_home_screen_looked(self, message: Looked) -> None:
        """Show the computer."""
        now = self.house.clock()
        self.facts = dataclasses.replace(
            self.facts, checks=message.checks, in_use=message.in_use, model=message.model, now=now, looked_at=now
        )
        self._fill()

    def _fill(self) -> None:
        shown = self.query_one("#page", Page)
        is_compact = self.house.settings["density"] == "compact"
        rows = page(self.facts, self.size.width, self.size.height - 2, shown.selected, is_compact=is_compact)
        shown.show(rows)
        running = num_training(self.facts.runs)
        right = join((f"● {running} training", ACCENT), "   ", (self.house.host, MUTED)) if running else ""
        self.show_header(right=right)
        self.refresh_bindings()

    def on_rows_moved(self) -> None:
        """The sentence under the list is about the selected run."""
        self._fill()

    @property
    def _selected(self) -> object | None:
        return self.query_one("#page", Page).selected

    def _selected_run(self) -> RunSummary | None:
        return next((run for run in self.facts.runs if f"run:{run.path}" == self._selected), None)

    def _resumable(self) -> RunSummary | None:
        """The run that `r` means: the selected one, else the one that the sentence under the list is about."""
        selected = self._selected_run()
        if selected is not None and can_resume(selected):
            return selected
        needing = needing_run(self.facts, self._selected, is_wide=self.size.width >= WIDE_SCREEN)
        return needing if needing is not None and can_resume(needing) else None

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Enter or a click."""
        message.stop()
        target = self._selected
        run = self._selected_run()
        if run is not None:
            self.house.open_monitor(RunDir(run.path), is_readonly=run.is_readonly)
        elif isinstance(target, int):
            self.action_pick(target)
        elif isinstance(target, str):
            self.open_draft(Path(target.partition(":")[2]))

    def action_choose(self) -> None:
        """Enter belongs to the list."""
        self.query_one("#page", Page).action_choose()

    def action_pick(self, number: int) -> None:
        """One of the four ways on."""
        if number == 1:
            self._go_on_or_new()
        elif number == 2:
            self.start_demo()
        elif number == 3:
            self._open_file()
        else:
            self.house.open_doctor()

    def _go_on_or_new(self) -> None:
        if self.facts.drafts:
            self.open_draft(self.facts.drafts[0].path)
        else:
            self.action_new_run()

    def _open_file(self) -> None:
        from acestep_tui.screens.open_preset import OpenPresetDialog

        def opened(path: Path | None) -> None:
            if path is not None:
                self.house.open_preset(path)

        self.app.push_screen(OpenPresetDialog(), opened)

    def action_new_run(self) -> None:
        """A new set-up; drafts stay."""
        self.house.open_wizard()

    def action_resume(self) -> None:
        """Go on with the run that is selected, or needs it."""
        run = self._resumable()
        if run is not None:
            self.start_again(run)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Resume is there only for a run that can go on."""
        if action == "resume":
            return self._resumable() is not None and not self.is_beginning
        if action == "new_run":
            return not self.facts.is_first
        return super().check_action(action, parameters)

    def footer_word(self, command: Command) -> str:
        """Newcomers choose; others open."""
        if command.name == "choose" and self.facts.is_first:
            return "Choose"
        if command.name == "pick(1)" and not self.facts.is_first:
            return ""
        if command.name == "resume" and is_unheard(self._resumable()):
            return ""
        return command.word

    def palette(self) -> Iterable[tuple[str, str, Callable[[], None]]]:
        """Runs by their names."""
        return self.palette_of(self.facts.runs)

    def action_leave(self) -> None:
        """Quit."""
        self.house.leave()


def has_been_here() -> bool:
    """Whether there are runs or drafts at all: which of its two faces Home shows while they are being read."""
    for folder in (state_dir() / "runs", drafts_folder()):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            if any(entries):
                return True
    return False
