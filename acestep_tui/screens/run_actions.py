"""What both lists of runs do with a run or a draft: open it, start it again, train the demo. Work in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.message import Message
from textual.worker import Worker, WorkerState

from acestep_tui.panels.header import STYLES
from acestep_tui.paths import absolute
from acestep_tui.runs.liveness import Life
from acestep_tui.runs.status import UNREADABLE
from acestep_tui.runs.summary import RunSummary, draft_summary
from acestep_tui.screens.base import HouseScreen
from acestep_tui.wizard.draft_files import DraftSummary
from engine.contract.errors import UserError
from engine.contract.run_dir import RunDir, short_name

if TYPE_CHECKING:
    from acestep_tui.runs.start import StartedRun
    from acestep_tui.wizard.draft import Draft

# A run that is only not heard of is asked about too: starting it says why it cannot go on from here.
_CAN_GO_ON = (Life.STOPPED, Life.FAILED, Life.CRASHED, Life.UNHEARD)


def shown_name(run: RunSummary) -> str:
    """The run's name as lists and titles say it."""
    return short_name(run.name)


def style_of(run: RunSummary) -> str:
    """The colour of its glyph."""
    return STYLES[run.status.severity]


def can_resume(run: RunSummary) -> bool:
    """Whether it has ended before its end and may be started again from here."""
    return run.life in _CAN_GO_ON and not run.is_readonly


def is_unheard(run: RunSummary | None) -> bool:
    """Whether nobody here can tell if its worker lives: `r` then only says why it cannot go on from here."""
    return run is not None and run.life is Life.UNHEARD


def num_training(runs: Sequence[RunSummary]) -> int:
    """How many runs count as "n training" in a header."""
    return sum(run.is_training for run in runs)


def summary_of_draft(draft: DraftSummary) -> RunSummary:
    """A draft as a row of the list of runs; one that cannot be read says why."""
    row = draft_summary(draft.name, draft.path, step=draft.step, saved_t=draft.saved_at)
    if not draft.problem:
        return row
    return replace(row, status=UNREADABLE, cause=draft.problem, cure="d deletes it")


class RunActions(HouseScreen):
    """The actions. A screen binds the keys and knows which run or draft is meant."""

    @dataclass
    class Begun(Message):
        """A run is under way; or it could not be started."""

        started: StartedRun | None = None
        problem: UserError | None = None

    @dataclass
    class DraftRead(Message):
        """A draft as it was left, and its file; or why it cannot be read."""

        draft: Draft | None = None
        notes: tuple[str, ...] = ()
        problem: UserError | None = None
        path: Path | None = None

    is_beginning = False

    def palette_of(self, runs: Sequence[RunSummary]) -> Iterable[tuple[str, str, Callable[[], None]]]:
        """``Open run NAME`` for the command palette."""
        for run in runs:
            if not run.is_draft:
                yield f"Open run {shown_name(run)}", f"{run.status.word}, {run.steps_text}", self._opener(run)

    def _opener(self, run: RunSummary) -> Callable[[], None]:
        def open_it() -> None:
            self.house.open_monitor(RunDir(run.path), is_readonly=run.is_readonly)

        return open_it

    def start_again(self, run: RunSummary) -> None:
        """Go on with a run from its newest whole save point, then watch it."""
        folder = RunDir(run.path)

        def start() -> StartedRun:
            from acestep_tui.runs.start import start_again  # the configuration's checks, only when it is wanted

            return start_again(folder)

        where = f" at step {run.saves[-1]:,}" if run.saves else ""
        words = f"Going on with {shown_name(run)}{where} …"
        self._begin(start, "" if is_unheard(run) else words)

    def start_demo(self) -> None:
        """Train the demo, or watch it where it already trains."""
        runs_folder = absolute(self.house.settings["runs_folder"])

        def start() -> StartedRun:
            from acestep_tui.runs.demo import begin_demo  # the configuration's checks, only when it is wanted

            return begin_demo(runs_folder)

        self._begin(start, "Starting the demo …")

    def _begin(self, start: Callable[[], StartedRun], words: str) -> None:
        if self.is_beginning:
            self.app.bell()
            return
        self.is_beginning = True
        self.refresh_bindings()
        if words:
            self.house.toast("info", words)
        self._begin_in_thread(start)

    @work(thread=True, exclusive=True, exit_on_error=False, group="start")
    def _begin_in_thread(self, start: Callable[[], StartedRun]) -> None:
        try:
            self.post_message(self.Begun(start()))
        except UserError as error:
            self.post_message(self.Begun(problem=error))
        except OSError as error:
            self.post_message(self.Begun(problem=UserError(str(error.strerror or error))))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What nobody expected is told by `TellsFailures`; here, one can try again."""
        if event.state is WorkerState.ERROR and event.worker.group == "start":
            self.is_beginning = False
            self.refresh_bindings()

    def on_run_actions_begun(self, message: Begun) -> None:
        """Watch what was started; say what stands against it."""
        self.is_beginning = False
        self.refresh_bindings()
        if message.problem is not None:
            self.tell_problem("Nothing was started.", message.problem)
        elif message.started is not None:
            for warning in message.started.warnings:
                self.house.toast("warning", warning)
            self.house.open_monitor(message.started.run)

    def open_draft(self, path: Path) -> None:
        """Go on with a set-up where it was left."""
        self._read_draft(path)

    @work(thread=True, exclusive=True, exit_on_error=False, group="draft")
    def _read_draft(self, path: Path) -> None:
        from acestep_tui.wizard.draft_files import load_draft

        try:
            draft, notes = load_draft(path)
        except UserError as error:
            self.post_message(self.DraftRead(problem=error))
        else:
            self.post_message(self.DraftRead(draft, notes, path=path))

    def on_run_actions_draft_read(self, message: DraftRead) -> None:
        """Open the set-up."""
        if message.problem is not None:
            self.tell_problem("The draft could not be opened.", message.problem)
            return
        self.house.open_wizard(message.draft, message.path)
        for note in message.notes:
            self.house.toast("warning", note)

    def tell_problem(self, what: str, error: UserError) -> None:
        """Say that something did not work, why, and what to do."""
        sentence = f"{error.message[:1].upper()}{error.message[1:]}"
        self.house.toast("error", what, sentence, *([error.hint] if error.hint else []))
