"""Page 2, Model: which one, where it is kept, what of it is here, and its download."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from textual import work
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from acestep_tui.commands import Command
from acestep_tui.consent import has_agreed
from acestep_tui.paths import shown
from acestep_tui.widgets.fields import Field
from acestep_tui.widgets.frame import WIDE_COLUMNS
from acestep_tui.wizard.download import FETCH_COMMAND, DownloadTask, Order, Seen, offline_variable, with_progress
from acestep_tui.wizard.model_page import ModelFacts, download_words, heading
from acestep_tui.wizard.steps.base import Fact, Section, Step
from acestep_tui.wizard.steps.model_parts import MODEL_KEY, DownloadRow, KeepField, ModelField, Parts, Words
from engine.contract.errors import ModelError, UserError
from engine.contract.feature_models import FEATURE_MODELS
from engine.contract.fields_base import WizardStep
from engine.contract.paths import expanded
from engine.hardware.feature_models import feature_model_status
from engine.hardware.models import ModelStatus, hub_cache, model_status
from engine.planning.sizes import ModelSizes, demo_sizes, read_sizes

# Half a name is not looked for.
_PAUSE_S = 0.3
_WATCH_S = 0.5
# Four keys beside each other on a narrow footer.
_SHORT = {"wizard.more": "More", "wizard.save_preset": "Save"}


class ModelStep(Step):
    """The page."""

    key: ClassVar[WizardStep] = "model"
    answers: ClassVar[frozenset[str]] = frozenset({"browse", "rescan"})
    # How the download is started; tests give another one.
    fetch_command: Sequence[str] = FETCH_COMMAND

    @dataclass
    class Looked(Message):
        """The disk was looked at for an order."""

        order: Order
        task: DownloadTask
        status: ModelStatus
        seen: Seen
        sizes: ModelSizes | None
        usual_folder: Path
        features_missing_bytes: int
        has_agreed: bool

    @dataclass
    class Watched(Message):
        """The download was looked at; ``problem``: it could not be started or stopped."""

        task: DownloadTask
        seen: Seen
        problem: str = ""

    def __init__(self) -> None:
        super().__init__()
        self.shown = ModelFacts()
        self.usual_folder: Path | None = None
        self._status: ModelStatus | None = None
        self._fetch: DownloadTask | None = None
        self._order: Order | None = None
        self._pause: Timer | None = None
        self._asked: Literal["", "start", "stop"] = ""

    def compose_step(self) -> Iterable[Widget]:
        """Name, folder, what is here, download, words."""
        yield ModelField(self)
        yield KeepField(self)
        yield Section("What is here", id="here")
        yield Parts(self)
        yield DownloadRow(self)
        yield Words(self)

    # -- looking --

    @property
    def order(self) -> Order:
        """What the draft asks for."""
        return Order(str(self.draft.value(MODEL_KEY)), self.draft.value("revision") or None, self.draft.cache_dir)

    def learn(self) -> None:
        """Look what is here, and whether it is on its way."""
        self.set_interval(_WATCH_S, self._watch)
        self.rescan()

    def rescan(self) -> None:
        """Look again."""
        self._order = self.order
        self._look(self._order)

    @work(thread=True, exclusive=True, exit_on_error=False, group="model")
    def _look(self, order: Order) -> None:
        status = model_status(order.model, order.revision, order.cache_dir)
        task = self._fetch if self._fetch is not None and self._fetch.order == order else None
        task = task or DownloadTask(order, command=self.fetch_command)
        self.post_message(
            self.Looked(
                order,
                task,
                status,
                _seen(task),
                _sizes(status),
                _usual_folder(),
                sum(
                    feature_model_status(model, cache_dir=order.cache_dir).missing_bytes or 0
                    for model in FEATURE_MODELS
                ),
                has_agreed(),
            ),
        )

    def on_model_step_looked(self, message: Looked) -> None:
        """Take it, unless something else is asked for by now."""
        message.stop()
        self.usual_folder = message.usual_folder
        if message.order != self._order:
            return
        self._fetch, self._status = message.task, message.status
        self.facts.sizes = message.sizes
        self.facts.features_missing_bytes = message.features_missing_bytes
        self.facts.has_agreed = message.has_agreed
        self._take(message.seen)

    def _watch(self) -> None:
        """Twice a second while there is something to come, whoever started it."""
        status = self._status
        if self._fetch is not None and status is not None and status.kind == "hub" and not status.is_whole:
            self._poll(self._fetch)

    @work(thread=True, exclusive=True, exit_on_error=False, group="watch")
    def _poll(self, task: DownloadTask) -> None:
        self.post_message(self.Watched(task, _seen(task)))

    def on_model_step_watched(self, message: Watched) -> None:
        """Its bar; at its end the disk has the last word, so nothing is said before that was looked at."""
        message.stop()
        if message.problem:
            self._asked = ""
            self.house.toast("error", *message.problem.splitlines())
        if message.task is not self._fetch:
            return
        if self.shown.seen.is_running and not message.seen.is_running:
            self.rescan()
        else:
            self._take(message.seen)

    def _take(self, seen: Seen) -> None:
        if self._status is None:
            return
        if (self._asked == "start") == seen.is_running:
            self._asked = ""
        shown = ModelFacts(with_progress(self._status, seen), seen, bool(self._asked), offline_variable())
        if shown == self.shown and self.facts.model is shown.status:
            return
        self.shown = shown
        self.facts.model, self.facts.is_downloading = shown.status, shown.is_downloading
        self._show()
        self.learned("model")

    # -- the download --

    def download(self) -> bool:
        """Begin the download, if there is one to begin; whether Enter had that meaning."""
        if self._asked:
            return True
        if self._fetch is None or self.order != self._order or not self.shown.can_download:
            return False
        self._ask("start")
        self._begin(self._fetch)
        return True

    def _download_now(self) -> None:
        self.download()

    def stop(self) -> None:
        """Stop the download; what arrived stays."""
        if self._fetch is not None and self.shown.is_downloading:
            self._ask("stop")
            self._end(self._fetch)

    def _ask(self, what: Literal["start", "stop"]) -> None:
        self._asked = what
        self.shown = replace(self.shown, is_asked=True)
        self._show()

    @work(thread=True, exclusive=True, exit_on_error=False, group="begin")
    def _begin(self, task: DownloadTask) -> None:
        machine = self.facts.machine
        self._tell(task, partial(task.start, prefix=machine.log_out.scope_prefix if machine is not None else ()))

    @work(thread=True, exclusive=True, exit_on_error=False, group="begin")
    def _end(self, task: DownloadTask) -> None:
        self._tell(task, task.stop)

    def _tell(self, task: DownloadTask, action: Callable[[], None]) -> None:
        problem = ""
        try:
            action()
        except UserError as error:
            problem = f"{error.message}\n{error.hint}".strip()
        except OSError as error:
            problem = f"The download cannot be started: {error.strerror or error}."
        self.post_message(self.Watched(task, _seen(task), problem))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What nobody expected is told by `TellsFailures`; here, one can ask again."""
        if event.state is WorkerState.ERROR and event.worker.group == "begin":
            self._asked = ""
            self.shown = replace(self.shown, is_asked=False)
            self._show()

    # -- what is shown --

    def _show(self) -> None:
        if not self.is_mounted:
            return
        for field in self.query(Field):
            field.show()
        self.query_one("#here", Section).show("What is here", heading(self.shown))
        self.query_one(Parts).show()
        row = self.query_one(DownloadRow)
        has_row = self.shown.can_download or self.shown.is_downloading or self.shown.is_asked
        if row.has_focus and not has_row:
            self.focus_first()
        row.display = has_row
        # The files that belong into the folder take rows that are air otherwise.
        self.set_class(self.shown.needs_layout, "-full")
        row.redraw()
        self.query_one(Words).show()
        self.screen.refresh_bindings()

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self._show()

    def facts_changed(self, fact: Fact) -> None:
        """Another name or folder: look there when the typing pauses."""
        super().facts_changed(fact)
        if self._order is not None and self.order != self._order and self._pause is None:
            self._pause = self.set_timer(_PAUSE_S, self._look_after_pause)

    def _look_after_pause(self) -> None:
        self._pause = None
        self.rescan()

    def on_enter(self) -> None:
        """What came or went meanwhile."""
        self.rescan()

    def problems(self) -> list[str]:
        """A name or a folder that cannot be used; a model that is still to come is none."""
        return [*super().problems(), *([self.shown.problem] if self.shown.problem else [])]

    def footer_word(self, command: Command) -> str | None:
        """What Enter downloads."""
        is_narrow = self.house.size.width < WIDE_COLUMNS
        if command.id == "wizard.rescan" or (command.id == "wizard.save_preset" and self.shown.can_download):
            return ""
        if is_narrow and command.id in _SHORT:
            return _SHORT[command.id]
        if command.id in ("field.enter", "download.begin"):
            return download_words(self.shown)
        return None

    def palette(self) -> Iterable[tuple[str, str, Callable[[], None]]]:
        """Begin or stop the download."""
        if self.shown.can_download:
            yield download_words(self.shown), "It goes on when you leave.", self._download_now
        if self.shown.is_downloading:
            yield "Stop the download", "What arrived stays; it goes on from there.", self.stop

    def browse(self) -> None:
        """Look for a folder: of the model, or to keep it in."""
        from acestep_tui.screens.browse import BrowseDialog

        keep = self.query_one(KeepField)
        field: Field = keep if keep.has_focus else self.query_one(ModelField)
        start = expanded(field.typed or field.value_text())

        def chosen(path: Path | None) -> None:
            if path is not None:
                field.put(shown(path))

        self.app.push_screen(BrowseDialog(start if start.is_absolute() else None, for_model=True), chosen)


def _seen(task: DownloadTask) -> Seen:
    try:
        return task.look()
    except OSError as error:
        return Seen("failed", message=f"the download's folder cannot be read: {error.strerror or error}")


def _sizes(status: ModelStatus) -> ModelSizes | None:
    """The sizes of a whole model; the demo's that is not written yet has those that it will have."""
    if status.kind == "demo" and not status.is_whole:
        return demo_sizes()
    if not status.is_whole or status.path is None:
        return None
    try:
        return read_sizes(status.path)
    except (ModelError, KeyError, TypeError, ValueError):
        return None


def _usual_folder() -> Path:
    """Where the hub client keeps models by itself, as people know it: the folder around ``hub``."""
    cache = hub_cache()
    return cache.parent if cache.name == "hub" else cache
