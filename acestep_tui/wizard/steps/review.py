"""Page 6, Review: every choice in a row, what it takes, what to know, and Start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal

from textual import work
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from acestep_tui.commands import Command, bindings
from acestep_tui.runs import launch
from acestep_tui.runs.start import StartedRun
from acestep_tui.screens.value_dialog import ValueDialog
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, columns, fit, join, text, wrap
from acestep_tui.wizard.download import offline_variable
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.plan_pane import Planned, plan_rows, verdict
from acestep_tui.wizard.review_text import Row, notes, review_rows, too_big_words
from acestep_tui.wizard.start import start_draft
from acestep_tui.wizard.steps.base import Fact, KeyRow, Passage, Section, Step
from engine.contract.errors import UserError
from engine.contract.fields_base import WizardStep
from engine.planning.advice import Advice

_LABEL_WIDTH, _VALUE_WIDTH = 11, 21
_START_TEXT_AT = 16
State = Literal["ready", "waiting", "starting"]


class ReviewRow(Passage, KeyRow, can_focus=True):
    """One page's choices; Enter goes there."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("review")

    @dataclass
    class Chosen(Message):
        """Enter or a click."""

        row: ReviewRow

    def __init__(self, name: str) -> None:
        super().__init__(id=f"row-{name}")
        self.row = Row(name, "", "")

    def show_row(self, row: Row) -> None:
        """Show other words."""
        self.row = row
        self.show()

    def drawn(self, width: int) -> Sequence[Content]:
        """The row; what is too long for it goes on below."""
        row = self.row
        style = f"{BOLD} {ACCENT}" if self.has_focus else MUTED
        at = _LABEL_WIDTH + _VALUE_WIDTH
        details = wrap(text(row.detail), max(width - at, 8))
        head = columns([(row.label, style), (row.value, BOLD)], [_LABEL_WIDTH - 1, _VALUE_WIDTH - 1], gap=1)
        lines = [join(head, " ", details[0]), *(line.pad_left(at) for line in details[1:])]
        fitted = [fit(line, width) for line in lines]
        return [line.stylize("on $block-cursor-background") for line in fitted] if self.has_focus else fitted

    def action_choose(self) -> None:
        """Enter."""
        self.post_message(self.Chosen(self))

    def taken(self) -> None:
        """A click."""
        self.action_choose()


class StartRow(ReviewRow):
    """``▸ Start       It trains on its own: you can close this window any time.``"""

    def __init__(self) -> None:
        super().__init__("start")
        self.state: State = "ready"
        self.problem = ""

    def drawn(self, width: int) -> Sequence[Content]:
        """The row."""
        mark = ("▌ ", ACCENT) if self.has_focus else "  "
        if self.state == "starting":
            head, said = "◐ Starting", "The songs and the folder are checked."
        elif self.state == "waiting":
            head, said = "◐ Waiting", "It starts when the model is here. esc takes it back."
        elif self.problem:
            head, said = "▸ Start", self.problem
        else:
            head, said = "▸ Start", "It trains on its own: you can close this window any time."
            if len(said) + _START_TEXT_AT > width:
                said = "It trains on its own: leave any time."
        style = MUTED if self.problem else f"{BOLD} {ACCENT}"
        return wrap(join(fit(join(mark, (head, style)), _START_TEXT_AT), (said, MUTED)), width, indent=_START_TEXT_AT)


class _Plan(Passage):
    """What it takes, on the page where no pane stands beside it."""

    def __init__(self, step: ReviewStep) -> None:
        super().__init__()
        self._step = step

    def drawn(self, width: int) -> Sequence[Content]:
        """Memory, disk, time."""
        step = self._step
        kind = step.facts.device.kind if step.facts.device is not None else "cuda"
        rows = plan_rows(Planned(step.facts.plan, kind), width)
        seconds = step.facts.plan.seconds.amount if step.facts.plan is not None else None
        if seconds is not None:
            # As coarsely as it is known: to five minutes.
            end = datetime.fromtimestamp(round((step.house.clock() + seconds) / 300) * 300)
            day = "" if end.date() == datetime.fromtimestamp(step.house.clock()).date() else f"{end:%a} "
            rows[-1] = join(rows[-1], (f", ends near {day}{end:%H:%M}", MUTED))
        return rows


class _Notes(Passage):
    """What one should know before."""

    def __init__(self, step: ReviewStep) -> None:
        super().__init__()
        self._step = step

    def drawn(self, width: int) -> Sequence[Content]:
        """One paragraph a note."""
        return notes(self._step.draft, self._step.facts, self._step.failure, width)


class _Command(Lines):
    """The same without screens."""

    DEFAULT_CSS = "_Command { height: 1; }"

    def __init__(self, step: ReviewStep) -> None:
        super().__init__()
        self._step = step

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The command."""
        del height
        return [fit(self._step.wizard.preset.command, width)]


class ReviewStep(Step):
    """The page."""

    key: ClassVar[WizardStep] = "review"

    @dataclass
    class Started(Message):
        """The worker is at work."""

        run: StartedRun

    @dataclass
    class Failed(Message):
        """Nothing was started."""

        message: str
        hint: str

    @dataclass
    class FolderFound(Message):
        """A folder for the run."""

        advice: Mapping[str, Advice]

    # How a worker is started; tests give a scripted one.
    worker_command: Sequence[str] = launch.WORKER_COMMAND

    def __init__(self) -> None:
        super().__init__()
        self.failure: tuple[str, str] | None = None
        self._state: State = "ready"

    def compose_step(self) -> Iterable[Widget]:
        """Rows, plan, notes, command, Start."""
        for name in ("name", "hardware", "model", "dataset", "method", "schedule"):
            yield ReviewRow(name)
        yield Section("What it takes", id="takes")
        yield _Plan(self)
        yield Section("Please note", id="notes")
        yield _Notes(self)
        yield Section("The same without screens", join(("^y", f"{BOLD} {ACCENT}"), (" copy", MUTED)), id="same")
        yield _Command(self)
        yield StartRow()

    def on_enter(self) -> None:
        """Everything as it is now; the folder may have another name by now."""
        self._propose_folder()
        self.facts_changed("plan")

    def focus_first(self) -> None:
        """Start, or the row of what keeps from it."""
        place = self._blocking()
        target = f"#row-{place[0]}" if place is not None else "#row-start"
        self.query_one(target).focus()

    def facts_changed(self, fact: Fact) -> None:
        """Draw everything again; a start that waited for the model goes on."""
        if not self.is_mounted:
            return
        for row in review_rows(self.draft, self.facts):
            self.query_one(f"#row-{row.name}", ReviewRow).show_row(row)
        self.query_one("#takes", Section).show("What it takes", verdict(self.facts.plan))
        self.query_one(_Plan).show()
        found = self.query_one(_Notes)
        found.show()
        found.display = self.query_one("#notes").display = bool(notes(self.draft, self.facts, self.failure, 80))
        self.query_one(_Command).redraw()
        self._show_start()
        if self._state == "waiting" and fact == "model" and not self.facts.is_downloading:
            self._state = "ready"
            self._show_start()
            if self._blocking() is None:  # the download may have failed
                self.start()

    def _show_start(self) -> None:
        row = self.query_one(StartRow)
        place = self._blocking()
        row.state, row.problem = self._state, place[1] if place is not None else ""
        row.show()

    def _blocking(self) -> tuple[str, str] | None:
        """What keeps from starting: the page, and a sentence."""
        for key, said in self.wizard.problems_elsewhere():
            return key, said
        too_big = too_big_words(self.draft, self.facts)
        if too_big is not None:
            return too_big
        model = self.facts.model
        if model is not None and not model.is_ready and not self.facts.is_downloading:
            cure = "step 2 says how to bring it" if offline_variable() else "step 2 downloads it"
            return "model", f"The model is not here yet: {cure}."
        return None

    def footer_word(self, command: Command) -> str | None:
        """The page's other settings are rarely wanted here; the palette has them."""
        return "" if command.id == "wizard.more" else None

    def problems(self) -> list[str]:
        """The first thing that keeps from starting."""
        place = self._blocking()
        return [place[1]] if place is not None else []

    def on_review_row_chosen(self, message: ReviewRow.Chosen) -> None:
        """To the page of a row; the name is changed here."""
        message.stop()
        if message.row.row.name == "name":
            dialog = ValueDialog("Name", self.draft.name, "The run, its folder and its LoRA are called so.")
            self.app.push_screen(dialog, self._named)
        elif message.row.row.step is not None:
            self.wizard.go_to(message.row.row.step)
        else:
            self.post_message(self.Done(self))

    def _named(self, typed: str | None) -> None:
        if typed is not None:
            self.draft.name_it(typed)
            self._propose_folder()
            self.changed()

    @work(thread=True, exclusive=True, exit_on_error=False, group="folder")
    def _propose_folder(self) -> None:
        """Find a run folder that does not exist yet, named after the run and the moment."""
        moment = datetime.fromtimestamp(self.house.clock()).strftime("%Y-%m-%d_%H%M")
        probe = Draft(name=self.draft.name)
        probe.propose_output_dir(self.wizard.runs_folder, moment)
        self.post_message(self.FolderFound(probe.layers["recommended"]))

    def on_review_step_folder_found(self, message: FolderFound) -> None:
        """Propose it."""
        message.stop()
        self.draft.recommend(message.advice)
        self.facts_changed("plan")

    # -- starting --

    def start(self) -> None:
        """Start the run, or wait for the model."""
        if self._state == "starting":
            return
        self.failure = None
        if self.facts.is_downloading:
            self._state = "waiting"
            self._show_start()
            return
        self._state = "starting"
        self._show_start()
        preset = self.wizard.preset
        # A copy: what is changed while the start is under way is not half in it.
        self._start(deepcopy(self.draft), preset.path if preset.is_current else None)

    def take_back(self) -> bool:
        """Escape while a start waits for the model; whether there was one."""
        if self._state != "waiting":
            return False
        self._state = "ready"
        self._show_start()
        return True

    @work(thread=True, exclusive=True, exit_on_error=False, group="start")
    def _start(self, draft: Draft, preset: Path | None) -> None:
        machine = self.facts.machine
        try:
            run = start_draft(
                draft,
                cwd=Path.cwd(),
                preset=preset,
                prefix=machine.log_out.scope_prefix if machine is not None else (),
                worker_command=self.worker_command,
            )
        except (UserError, OSError) as error:
            said = (error.message, error.hint) if isinstance(error, UserError) else (str(error), "")
            self.post_message(self.Failed(*said))
            return
        self.wizard.keeping.forget()
        self.post_message(self.Started(run))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What nobody expected is told by `TellsFailures`; here, one can try again."""
        if event.state is WorkerState.ERROR and event.worker.group == "start":
            self._state = "ready"
            self._show_start()

    def on_review_step_started(self, message: Started) -> None:
        """To the monitor."""
        message.stop()
        for warning in message.run.warnings[:3]:
            self.house.toast("warning", warning)
        self.house.open_monitor(message.run.run)

    def on_review_step_failed(self, message: Failed) -> None:
        """What, where and what to do, on the page."""
        message.stop()
        self._state = "ready"
        self.failure = (message.message, message.hint)
        self.facts_changed("plan")
        self.query_one(_Notes).scroll_visible()
        self.app.bell()
