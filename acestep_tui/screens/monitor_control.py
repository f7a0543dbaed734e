"""What the monitor does to a run: commands to its worker, starting it again, leaving it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual import work
from textual.message import Message
from textual.worker import Worker, WorkerState

from acestep_tui import format as fmt
from acestep_tui.panels.base import Copied, Page, Panel
from acestep_tui.panels.loss import LossPanel
from acestep_tui.panels.result_page import result_path
from acestep_tui.panels.trouble_page import report
from acestep_tui.panels.view import View, safe_step, view_of
from acestep_tui.paths import shown
from acestep_tui.runs import control, registry
from acestep_tui.runs.diary import asked_text
from acestep_tui.runs.state import RunState
from acestep_tui.screens.base import HouseScreen
from acestep_tui.screens.dialog import Choice, Dialog
from acestep_tui.screens.export_dialog import copy_result, show_export
from acestep_tui.screens.monitor_stop import stop_question
from acestep_tui.screens.value_dialog import ValueDialog
from engine.contract.errors import UserError
from engine.contract.run_dir import RunDir, short_name

# As many as have a digit for a key.
_NUM_COMPARED = 9


class RunControl(HouseScreen):
    """The commands of a run. The monitor draws; this sends, asks and starts."""

    panels: dict[str, Panel | LossPanel]
    page: Page | None

    @dataclass
    class Sent(Message):
        """A command lies in the run's control folder; or it could not be put there."""

        kind: str
        id: str = ""
        problem: UserError | None = None

    @dataclass
    class Started(Message):
        """The run goes on; or it could not be started."""

        warnings: tuple[str, ...] = ()
        problem: UserError | None = None

    @dataclass
    class OthersFound(Message):
        """Runs this one can be compared with."""

        runs: list[RunDir]

    def __init__(self, run: RunDir, *, is_readonly: bool = False) -> None:
        super().__init__()
        self.run = run
        self.is_readonly = is_readonly
        self.state = RunState()
        self.state.folder = run.path
        self.is_starting = False
        # What to type to mean this run; looking for its namesakes is reading, so the watch does that.
        self.handle = short_name(run.name)

    @property
    def is_loaded(self) -> bool:
        """Whether the events have been read."""
        return self.state.verdict is not None or bool(self.state.reading_problem) or self.state.is_gone

    @property
    def view(self) -> View:
        """The monitor's face."""
        return view_of(self.state)

    @property
    def is_readonly_now(self) -> bool:
        """Whether nothing can be asked of this run from here."""
        return self.is_readonly or self.state.is_readonly

    def look_now(self) -> None:
        """Look at the run at once."""

    def refresh_run(self) -> None:
        """Draw what has changed."""

    # -- commands --

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that can do nothing now is not offered."""
        allowed = {
            "pause": self._may_command(),
            "save": self._may_command(),
            "sample": self._may_command(),
            "stop": self._may_stop(),
            "resume": self._may_start() and self.view is not View.FINISHED,
            "train_longer": self._may_start() and self.view is View.FINISHED,
            "export": self._may_export(),
            "compare": self.is_loaded and self.view.has_ended,
            "new_run": self.is_loaded and self.view.has_ended,
        }
        return allowed.get(action, super().check_action(action, parameters))

    def _may_command(self) -> bool:
        """Pausing, saving and sampling happen between two steps, so there must be steps."""
        is_training = self.is_loaded and self.view is View.TRAINING and self.state.phase == "train"
        return is_training and not self.is_readonly_now

    def _may_stop(self) -> bool:
        is_alive = self.is_loaded and not self.view.has_ended and self.state.started is not None
        return is_alive and not self.is_readonly_now and self.state.phase != "finish"

    def _may_start(self) -> bool:
        has_ended = self.is_loaded and self.view.has_ended
        return has_ended and not self.is_readonly_now and not self.is_starting

    def _may_export(self) -> bool:
        return self.view is View.FINISHED and result_path(self.state) is not None and not self.state.is_gone

    def action_pause(self) -> None:
        """Pause, or go on."""
        self.ask("resume" if self.state.paused else "pause")

    def action_save(self) -> None:
        """Save now."""
        self.ask("save")

    def action_sample(self) -> None:
        """Make a test clip now."""
        if not self._may_command():
            self.house.toast("info", "A test clip can be made while it trains.")
            return
        self.ask("sample")

    def ask(self, kind: str) -> None:
        """Send a command; the log says so at once, and again when it is done."""
        self._send(kind)

    @work(thread=True, exit_on_error=False, group="send")
    def _send(self, kind: str) -> None:
        try:
            self.post_message(self.Sent(kind, control.send(self.run, kind)))
        except UserError as error:
            self.post_message(self.Sent(kind, problem=error))
        except OSError as error:
            self.post_message(self.Sent(kind, problem=UserError(str(error.strerror or error))))

    def on_run_control_sent(self, message: Sent) -> None:
        """It is on its way, or it is not."""
        if message.problem is not None:
            what = asked_text(message.kind).removeprefix("asked ").removeprefix("to ")
            self._tell_problem(f"Could not ask: {what}.", message.problem)
            return
        self.state.asked(message.id, message.kind, self.house.clock())
        self.refresh_run()
        self.look_now()

    def _tell_problem(self, what: str, error: UserError) -> None:
        sentence = f"{error.message[:1].upper()}{error.message[1:]}"
        self.house.toast("error", what, sentence, *([error.hint] if error.hint else []))

    def action_stop(self) -> None:
        """Ask how to stop; the safe answer keeps it going."""
        words, choices = stop_question(self.state, self.house.clock())
        self.app.push_screen(Dialog(f"Stop {self.shown_name}?", words, choices), self._stop)

    def _stop(self, kind: str | None) -> None:
        if kind in ("stop_now", "abort"):
            if self._may_stop():
                self.ask(kind)
            else:
                self.house.toast("info", "It has ended meanwhile.")

    # -- starting again --

    def action_resume(self) -> None:
        """Go on from the newest save point, in a thread."""
        self._begin_start(None)

    def action_train_longer(self) -> None:
        """Ask up to which step."""
        reached = self.state.step_now

        def parse(text: str) -> int:
            digits = text.replace(",", "").replace(" ", "")
            if not digits.isdecimal() or int(digits) <= reached:
                raise ValueError(f"a number of steps above {fmt.count(reached)}")
            return int(digits)

        proposed = reached + max(round(reached / 40) * 10, 1)
        reason = f"It has {fmt.count(reached)} steps. Up to how many in all?"
        dialog = ValueDialog(f"Train {self.shown_name} longer", f"{proposed}", reason, parse=parse)
        self.app.push_screen(dialog, self._train_longer)

    def _train_longer(self, num_steps: str | None) -> None:
        if num_steps is not None:
            self._begin_start(int(num_steps))

    def _begin_start(self, num_steps: int | None) -> None:
        safe = safe_step(self.state)
        where = f" at step {fmt.count(safe)}" if safe else ""
        self.is_starting = True
        self.refresh_bindings()
        if self.view is not View.UNHEARD:  # then starting only says why it cannot go on from here
            self.house.toast("info", f"Going on{where} …")
        self._start(num_steps)

    @work(thread=True, exclusive=True, exit_on_error=False, group="start")
    def _start(self, num_steps: int | None) -> None:
        from acestep_tui.runs import start  # the configuration's checks, only when something is started

        try:
            started = start.start_again(self.run) if num_steps is None else start.train_longer(self.run, num_steps)
        except UserError as error:
            self.post_message(self.Started(problem=error))
        except OSError as error:
            self.post_message(self.Started(problem=UserError(str(error.strerror or error))))
        else:
            self.post_message(self.Started(warnings=started.warnings))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What nobody expected is told by `TellsFailures`; here, one can try again."""
        if event.state is WorkerState.ERROR and event.worker.group == "start":
            self.is_starting = False
            self.refresh_bindings()

    def on_run_control_started(self, message: Started) -> None:
        """A worker is at work again, or why not."""
        self.is_starting = False
        if message.problem is not None:
            self._tell_problem("It does not go on.", message.problem)
        for warning in message.warnings:
            self.house.toast("warning", warning)
        self.refresh_bindings()
        self.look_now()

    # -- after the end --

    def action_export(self) -> None:
        """The place of exporting to other formats."""
        path = result_path(self.state)
        if path is not None:
            show_export(self.house, self.shown_name, path)

    def action_copy_result(self) -> None:
        """Copy the path of what came out."""
        path = result_path(self.state)
        if path is not None:
            copy_result(self.house, path)

    def action_compare(self) -> None:
        """Choose a run to put beside this one."""
        self._find_others()

    @work(thread=True, exclusive=True, exit_on_error=False, group="others")
    def _find_others(self) -> None:
        others = [run for run in registry.known_runs() if run.path != self.run.path and run.events_jsonl.exists()]
        self.post_message(self.OthersFound(others[:_NUM_COMPARED]))

    def on_run_control_others_found(self, message: OthersFound) -> None:
        """Ask which one."""
        if not message.runs:
            self.house.toast("info", "There is no other run to compare with yet.")
            return
        choices = [Choice("escape", "Leave it")]
        choices += [
            Choice(str(place), short_name(run.name)[:22], cost=fmt_folder(run.path))
            for place, run in enumerate(message.runs, start=1)
        ]

        def compare(answer: str | None) -> None:
            if answer is not None and answer.isdecimal():
                self.house.open_compare([self.run, message.runs[int(answer) - 1]])

        self.app.push_screen(Dialog(f"Compare {self.shown_name} with", [], choices), compare)

    def action_new_run(self) -> None:
        """Set up a new run."""
        self.house.open_wizard()

    # -- copying and leaving --

    @property
    def shown_name(self) -> str:
        """The run's name as titles say it."""
        return short_name(self.run.name)

    @property
    def focused_panel(self) -> str:
        """The name of the panel that has the focus."""
        return ""

    def action_copy(self) -> None:
        """Copy what is marked: of the page that is open, else of the panel that has the focus."""
        copied: Copied | None = None
        if self.page is not None:
            copied = self.page.copied()
        elif self.view.is_broken:
            copied = Copied(report(self.state, self.house.clock()), "the report")
        elif self.focused_panel:
            copied = self.panels[self.focused_panel].copied()
        if copied is None:
            self.house.toast("info", "There is nothing to copy here yet.")
            return
        self.house.copy(copied.value, copied.what)

    def action_leave(self) -> None:
        """Leave to the shell."""
        self.house.leave()

    def farewell(self) -> list[str]:
        """What the shell prints: that training goes on and how to come back, or how it ended."""
        from acestep_tui.headless.summary import leaving_lines

        if self.state.is_gone:
            return [f"The run folder is gone: {shown(self.run.path)}"]
        if not self.view.has_ended:
            return leaving_lines(self.state, self.run, handle=self.handle)
        back = shlex.join(["acestep-tui", "attach", self.handle])
        if self.view is View.FINISHED:
            path = result_path(self.state)
            where = f" Your LoRA: {shown(path)}" if path is not None else ""
            return [f"{self.shown_name} is finished.{where}", f"Look again:  {back}"]
        steps = fmt.part_of(self.state.step_now, self.state.steps_total)
        if self.view is View.UNHEARD:
            return [f"{self.shown_name} is silent since step {steps}.", f"Look again:  {back}"]
        return [f"{self.shown_name} {self.view.value} at step {steps}.", f"Look again, and r goes on:  {back}"]

    # -- the palette --

    def control_palette(self) -> Iterable[tuple[str, str, Callable[[], None]]]:
        """Sentences for what has no key."""
        attach = shlex.join(["acestep-tui", "attach", self.handle])
        again = shlex.join(["acestep-tui", "--run", str(self.run.config_json)])
        folder = str(self.run.path)
        copies: list[tuple[str, str, str]] = [
            ("Copy attach command", attach, "the attach command"),
            ("Copy command for this run", again, "the command for this run"),
            ("Copy the run folder’s path", folder, "the path of the run folder"),
        ]
        for sentence, value, what in copies:
            yield sentence, value, _copier(self.house.copy, value, what)
        yield "Copy a report of this run", "State, last words, version, log", self._copy_report
        yield "Verify save points", "Compare their files with their checksums", self._verify
        for sentence in ("Write HTML report", "Generate a song…"):
            yield sentence, "Comes with a later version", self._say_later

    def zoom(self, name: str) -> Page | None:
        """Give a panel the whole body; returns its page, if it has one."""
        del name
        return None

    def _verify(self) -> None:
        self.zoom("saves")
        self.house.toast("info", "Choose a save point and press v.")

    def _say_later(self) -> None:
        self.house.toast("info", "This comes with a later version.")

    def _copy_report(self) -> None:
        self.house.copy(report(self.state, self.house.clock()), "the report")


def _copier(copy: Callable[[str, str], Any], value: str, what: str) -> Callable[[], None]:
    def run() -> None:
        copy(value, what)

    return run


def fmt_folder(path: Path) -> str:
    """A folder as short as a dialog's column allows."""
    words = shown(path.parent)
    return words if len(words) <= 28 else f"…{words[-27:]}"
