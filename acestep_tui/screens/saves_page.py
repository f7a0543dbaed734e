"""The save points in full: verify one, keep one for ever, delete one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import work
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.worker import Worker, WorkerState, get_current_worker

from acestep_tui import format as fmt
from acestep_tui.commands import bindings
from acestep_tui.failures import TellsFailures
from acestep_tui.panels import checkpoints
from acestep_tui.panels.base import Copied, Page
from acestep_tui.runs import save_points as points
from acestep_tui.runs.crash import check_save_point
from acestep_tui.runs.diary import file_size
from acestep_tui.runs.facts import CheckpointCheck
from acestep_tui.runs.save_points import SavePoint
from acestep_tui.runs.state import RunState
from acestep_tui.screens.dialog import Choice, Dialog
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import MUTED, Part, text, title
from acestep_tui.widgets.rows import Rows

if TYPE_CHECKING:
    from acestep_tui.app import AceStepApp


class _Part(Lines):
    """One part of the page, drawn by it."""

    def __init__(self, page: SavesPage, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._page = page

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """What the page says."""
        return self._page.draw(self.id or "", width, height)


class SavesPage(TellsFailures, Page):
    """Panel 6, zoomed."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("saves")
    scopes = ("saves",)
    DEFAULT_CSS = """
    SavesPage #head { height: 2; }
    SavesPage #list { height: 1fr; }
    SavesPage #told { height: 5; }
    """

    @dataclass
    class Verified(Message):
        """A save point was compared with its checksums."""

        check: CheckpointCheck

    @dataclass
    class Changed(Message):
        """A save point was kept, set free or deleted, or could not be: ``problem`` says why."""

        path: Path
        done: str
        problem: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.state: RunState | None = None
        self.now = 0.0
        self.points: list[SavePoint] = []
        self._checks: dict[Path, CheckpointCheck] = {}
        self._verifying: Path | None = None
        # What was done here and the last look into the folder may not show yet.
        self._kept: dict[Path, bool] = {}
        self._deleted: set[Path] = set()
        self._can: tuple[bool, bool] | None = None  # whether there are save points, and whether they may be changed

    def compose(self) -> Iterable[Widget]:
        """The list, and below it what is known of the selected one."""
        yield _Part(self, id="head")
        yield Rows(self._draw_row, id="list")
        yield _Part(self, id="told")

    def focus(self, scroll_visible: bool = True) -> SavesPage:
        """The list has the keys."""
        self.query_one(Rows).focus(scroll_visible)
        return self

    @property
    def house(self) -> AceStepApp:
        """The app, as ours."""
        return cast("AceStepApp", self.app)

    # -- what is shown --

    def show(self, state: RunState, now: float) -> None:
        """Take in the newest save points."""
        self.state, self.now = state, now
        selected = self.selected
        found = [point for point in points.save_points(state) if point.path not in self._deleted]
        self._kept = {
            point.path: kept
            for point in found
            if point.path and self._differs(point)
            for kept in [self._kept[point.path]]
        }
        self.points = [points.seen(point, self._checks, self._kept) for point in found]
        if self.is_mounted:
            paths = [point.path for point in self.points]
            place = paths.index(selected.path) if selected is not None and selected.path in paths else None
            rows = self.query_one(Rows)
            rows.set_rows(len(self.points), cursor=place if rows.cursor else 0)
        self._redraw()
        can = (bool(self.points), state.is_readonly)
        if can != self._can and self.is_mounted:
            self._can = can
            self.screen.refresh_bindings()

    def _differs(self, point: SavePoint) -> bool:
        return point.path is not None and self._kept.get(point.path, point.is_kept) != point.is_kept

    @property
    def selected(self) -> SavePoint | None:
        """The save point under the cursor; None while there is none."""
        if not self.points or not self.is_mounted:
            return None
        return self.points[min(self.query_one(Rows).cursor, len(self.points) - 1)]

    def draw(self, part: str, width: int, height: int) -> Sequence[Content]:
        """The lines of one part of the page."""
        if self.state is None:
            return ()
        if part == "head":
            head = title(width, "Saves", number="6", live=(checkpoints.live(self.state), MUTED), is_focused=True)
            if not self.points:
                return [head, text(checkpoints.empty(self.state), MUTED)]
            return [head, checkpoints.list_heading(width)]
        selected = self.selected
        told = checkpoints.told_lines(selected, width) if selected is not None else []
        return [*told[: height - 1], text(checkpoints.rule(self.state), MUTED)]

    def _draw_row(self, index: int, width: int, is_selected: bool) -> Content:
        point = self.points[index]
        note = self._note(point)
        return checkpoints.list_row(point, width, note=note, is_selected=is_selected, now=self.now)

    def _note(self, point: SavePoint) -> Part:
        if point.path is not None and point.path == self._verifying:
            return ("◐ verifying …", "$primary")
        resumed = points.resume_point(self.state) if self.state is not None else None
        return checkpoints.note(point, is_resumed=resumed is not None and resumed.path == point.path)

    def _redraw(self) -> None:
        if self.is_mounted:
            for part in self.query(_Part):
                part.redraw()
            self.query_one(Rows).redraw()

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Below stands what is known of the selected one."""
        message.stop()
        self._redraw()

    # -- verify --

    def action_verify(self) -> None:
        """Read the selected save point and compare it with its checksums."""
        point = self.selected
        if point is not None and point.path is not None:
            self._verifying = point.path
            self._verify(point.path)
            self._redraw()

    @work(thread=True, exclusive=True, exit_on_error=False, group="verify")
    def _verify(self, folder: Path) -> None:
        worker = get_current_worker()
        check = check_save_point(folder, should_stop=lambda: worker.is_cancelled)
        if not worker.is_cancelled:
            self.post_message(self.Verified(check))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What nobody expected is told by `TellsFailures`; nothing is being verified any more."""
        if event.state is WorkerState.ERROR and event.worker.group == "verify":
            self._verifying = None
            self._redraw()

    def on_saves_page_verified(self, message: Verified) -> None:
        """Say what came of it."""
        message.stop()
        check = message.check
        self._verifying = None
        self._checks[check.path] = check
        step = fmt.count(check.step)
        if check.is_whole:
            self.house.toast("done", f"Step {step} is whole.", "All its files match their checksums.")
        elif check.is_whole is None:
            self.house.toast(
                "warning", f"Step {step} cannot be verified.", f"{check.problem[:1].upper()}{check.problem[1:]}."
            )
        else:
            self.house.toast("error", f"Step {step} is damaged.", check.problem, "The run goes on from an older one.")
        self._again()

    # -- keep --

    def action_keep(self) -> None:
        """Keep the selected save point for ever, or no more."""
        point = self.selected
        if point is not None and point.path is not None:
            self._keep(point.path, point.step, not point.is_kept)

    @work(thread=True, exit_on_error=False, group="keep")
    def _keep(self, folder: Path, step: int, is_kept: bool) -> None:
        try:
            points.set_kept(folder, is_kept=is_kept)
        except OSError as error:
            self.post_message(
                self.Changed(folder, "", f"Step {fmt.count(step)} cannot be marked: {error.strerror or error}.")
            )
        else:
            self.post_message(self.Changed(folder, "kept" if is_kept else "freed"))

    # -- delete --

    def action_delete(self) -> None:
        """Ask, then delete the selected save point; what a running run needs is refused."""
        point, state = self.selected, self.state
        if point is None or state is None or point.path is None:
            return
        refused = points.why_not_delete(state, point)
        if refused:
            self.house.toast("warning", f"Step {fmt.count(point.step)} stays.", refused)
            return
        told: list[Part] = [f"{file_size(point.bytes)} go for good."]
        if point.is_best:
            told.append("It is the best one on songs it never heard.")
        if point.is_kept:
            told.append("You marked it to be kept for ever.")
        dialog = Dialog(
            f"Delete step {fmt.count(point.step)}?",
            told,
            [Choice("escape", "Keep it"), Choice("d", "Delete", "cannot be undone", "delete")],
            is_destructive=True,
        )
        folder, step = point.path, point.step

        def on_answer(answer: str | None) -> None:
            if answer == "delete":
                self._delete(folder, step)

        self.app.push_screen(dialog, on_answer)

    @work(thread=True, exit_on_error=False, group="delete")
    def _delete(self, folder: Path, step: int) -> None:
        try:
            points.delete(folder)
        except OSError as error:
            why = f"Step {fmt.count(step)} cannot be deleted: {error.strerror or error}."
            self.post_message(self.Changed(folder, "", why))
        else:
            self.post_message(self.Changed(folder, "deleted"))

    def on_saves_page_changed(self, message: Changed) -> None:
        """Show what was done before the next look into the folder does."""
        message.stop()
        if message.problem:
            self.house.toast("error", message.problem)
        elif message.done == "deleted":
            self._deleted.add(message.path)
            self.house.toast("done", f"Deleted {message.path.name}.")
        else:
            self._kept[message.path] = message.done == "kept"
        self._again()

    def _again(self) -> None:
        if self.state is not None:
            self.show(self.state, self.now)

    # -- other keys --

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that change something are gone where nothing can be written, all where there is no save point."""
        del parameters
        if action in ("keep", "delete"):
            return bool(self.points) and self.state is not None and not self.state.is_readonly
        return bool(self.points) if action in ("verify", "export", "copy") else True

    def action_export(self) -> None:
        """The place of exporting one save point."""
        self.house.toast(
            "info",
            "Exporting one save point comes with a later version.",
            "The finished LoRA is exported at the end of the run.",
        )

    def action_copy(self) -> None:
        """Copy the folder of the selected save point."""
        copied = self.copied()
        if copied is not None:
            self.house.copy(*copied)

    def copied(self) -> Copied | None:
        """What `y` copies."""
        point = self.selected
        if point is None or point.path is None:
            return None
        return Copied(str(point.path), f"the folder of step {fmt.count(point.step)}")

    async def action_back(self) -> None:
        """Out of the page."""
        await self.run_action("screen.back")
