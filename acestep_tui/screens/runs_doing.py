"""What the list of runs does beyond opening: stopping, deleting, the place of exporting; each asks first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textual import work
from textual.message import Message

from acestep_tui import format as fmt
from acestep_tui.panels.result_page import result_path
from acestep_tui.paths import shown
from acestep_tui.runs import control
from acestep_tui.runs.diary import asked_text
from acestep_tui.runs.state import RunState
from acestep_tui.runs.summary import RunSummary
from acestep_tui.screens.dialog import Choice, Dialog
from acestep_tui.screens.export_dialog import show_export
from acestep_tui.screens.monitor_stop import stop_question
from acestep_tui.screens.run_actions import RunActions, is_unheard, shown_name
from engine.contract.errors import UserError
from engine.contract.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class Cost:
    """What deleting a run removes."""

    bytes: int
    num_saves: int
    num_clips: int
    has_export: bool

    def sentence(self) -> str:
        """``1.3 GB go for good: 4 save points, 6 clips, the log.``"""
        parts = [fmt.plural(self.num_saves, "save point")] if self.num_saves else []
        parts += [fmt.plural(self.num_clips, "clip")] if self.num_clips else []
        parts += ["the LoRA in it"] if self.has_export else []
        return f"{fmt.size(self.bytes)} go for good: {', '.join([*parts, 'the log'])}."


class RunDoing(RunActions):
    """Actions on one run of a list."""

    @dataclass
    class Told(Message):
        """Something was done in a thread; or could not be."""

        lines: tuple[str, ...] = ()
        what: str = ""
        problem: UserError | None = None

    @dataclass
    class Counted(Message):
        """What would be deleted with a run."""

        run: RunSummary
        cost: Cost

    def look(self) -> None:
        """Look at all folders again."""

    def open_run(self, run: RunSummary) -> None:
        """Open the monitor of a run, or go on with a draft."""
        if run.is_draft:
            self.open_draft(run.path)
        else:
            self.house.open_monitor(RunDir(run.path), is_readonly=run.is_readonly)

    # -- stopping --

    def ask_to_stop(self, run: RunSummary, state: RunState) -> None:
        """Ask how; the safe answer keeps it going."""
        words, choices = stop_question(state, self.house.clock())
        folder = RunDir(run.path)

        def stop(kind: str | None) -> None:
            if kind:
                self._send(folder, kind)

        self.app.push_screen(Dialog(f"Stop {shown_name(run)}?", words, choices), stop)

    @work(thread=True, exit_on_error=False, group="send")
    def _send(self, run: RunDir, kind: str) -> None:
        try:
            control.send(run, kind)
        except UserError as error:
            self.post_message(self.Told(what="It could not be asked to stop.", problem=error))
        else:
            words = asked_text(kind)
            self.post_message(self.Told((f"{words[:1].upper()}{words[1:]}.",)))

    # -- exporting --

    def tell_of_export(self, run: RunSummary, state: RunState) -> None:
        """Where the file is that came out; other formats come later."""
        path = result_path(state)
        if path is None:
            self.house.toast("info", "This run has written no LoRA.")
            return
        show_export(self.house, shown_name(run), path)

    # -- deleting --

    def ask_to_delete(self, run: RunSummary) -> None:
        """Say what goes, ask for the name; a draft holds no work of hours, so it asks only once."""
        if not run.is_draft:
            self._count(run)
            return
        words = ["The choices made in this set-up go. Your songs stay as they are."]
        choices = [Choice("escape", "Keep it"), Choice("d", "Delete")]

        def answered(answer: str | None) -> None:
            if answer == "d":
                self._delete_draft(run.path, run.name)

        self.app.push_screen(Dialog(f"Delete {run.name}?", words, choices, is_destructive=True), answered)

    @work(thread=True, exclusive=True, exit_on_error=False, group="count")
    def _count(self, run: RunSummary) -> None:
        from acestep_tui.runs.delete import belongings
        from acestep_tui.runs.inspect import look_at_folder

        folder = RunDir(run.path)
        facts = look_at_folder(folder)
        cost = Cost(belongings(folder), len(facts.checkpoints), len(facts.clips), facts.export is not None)
        self.post_message(self.Counted(run, cost))

    def on_run_doing_counted(self, message: Counted) -> None:
        """Ask."""
        name, folder = shown_name(message.run), RunDir(message.run.path)
        words = [message.cost.sentence(), "The LoRA you exported elsewhere stays."]
        if is_unheard(message.run):
            where = f" on {message.run.host}" if message.run.host else ""
            words.insert(0, f"Whether it still trains{where} cannot be seen from here.")
        choices = [Choice("escape", "Keep it"), Choice("enter", "Delete")]

        def answered(answer: str | None) -> None:
            if answer == "enter":
                self._delete(folder, name)

        dialog = Dialog(
            f"Delete {name}?", words, choices,
            is_destructive=True, confirm=name, confirm_label="Type the name to delete it:",
        )  # fmt: skip
        self.app.push_screen(dialog, answered)

    @work(thread=True, exit_on_error=False, group="delete")
    def _delete(self, run: RunDir, name: str) -> None:
        from acestep_tui.runs.delete import delete

        try:
            deleted = delete(run)
        except UserError as error:
            self.post_message(self.Told(what=f"{name} was not deleted.", problem=error))
            return
        except OSError as error:
            problem = UserError(str(error.strerror or error))
            self.post_message(self.Told(what=f"{name} was not deleted.", problem=problem))
            return
        lines = [f"Deleted {name}: {fmt.size(deleted.bytes)}."]
        if deleted.kept:
            lines += ["What is not the run’s stays in", f"{shown(run.path)}."]
        self.post_message(self.Told(tuple(lines)))

    @work(thread=True, exit_on_error=False, group="delete")
    def _delete_draft(self, path: Path, name: str) -> None:
        from acestep_tui.wizard.draft_files import delete_draft

        try:
            delete_draft(path)
        except OSError as error:
            problem = UserError(f"{shown(path)}: {error.strerror or error}")
            self.post_message(self.Told(what="The draft was not deleted.", problem=problem))
        else:
            self.post_message(self.Told((f"Deleted the draft {name}.",)))

    def on_run_doing_told(self, message: Told) -> None:
        """Say it, and look again."""
        if message.problem is not None:
            self.tell_problem(message.what, message.problem)
        else:
            self.house.toast("done", *message.lines)
        self.look()
