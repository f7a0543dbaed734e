"""What is known about a run, folded from its events: the one model under bars, tables and screens."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui.runs import diary, fold, measures
from acestep_tui.runs.commands import AskedCommand, News
from acestep_tui.runs.compilation import Compilation
from acestep_tui.runs.facts import CrashFacts, FolderFacts, SilentFacts, WorkerFacts
from acestep_tui.runs.log import RunLog
from acestep_tui.runs.measures import Split, Trend
from acestep_tui.runs.prepared import Preparation
from acestep_tui.runs.series import Series
from engine.contract import event_lines, events, memory_events
from engine.contract.prompt_library import UNCONDITIONAL_NAME

if TYPE_CHECKING:
    from acestep_tui.runs.liveness import Verdict
    from acestep_tui.runs.watch import Update

# The split of a step and its pace are means of this many; the first ones of a start are not representative.
RECENT_STEPS = 20
MEASURING_STEPS = 20
_MAX_NEWS = 20


@dataclass(slots=True)
class RunState:
    """A run as its events tell it, and what a watcher found beside them. `fold` and `apply` write; all else reads."""

    # What the events say.
    started: events.RunStarted | None = None
    started_t: float | None = None
    num_starts: int = 0
    earlier_s: float = 0.0  # what the starts before this one took
    last_t: float | None = None
    last_seq: int = -1
    last_kind: str = ""

    phase: str = ""
    span: str = ""
    phase_started_t: float | None = None
    span_started_t: float | None = None
    phase_done: int | None = None
    phase_total: int | None = None
    phases: dict[str, events.PhaseEnded] = field(default_factory=dict)
    durations: dict[str, deque[float]] = field(default_factory=dict)

    plan: events.Plan | None = None
    measured: memory_events.MemoryMeasured | None = None
    compilation: Compilation = field(default_factory=Compilation)
    data: events.DataReady | None = None
    model: events.ModelLoaded | None = None
    step: events.Step | None = None
    step_t: float | None = None
    recent: deque[events.Step] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))
    num_steps_of_start: int = 0
    paused: bool = False
    paused_t: float | None = None
    hardware: events.Hardware | None = None
    hardware_t: float | None = None
    vram_highest_bytes: int | None = None
    ram_highest_bytes: int | None = None
    num_files: int | None = None
    prepared: Preparation = field(default_factory=Preparation)
    download: events.DownloadProgress | None = None
    sampling: events.SampleProgress | None = None

    loss: Series = field(default_factory=Series)
    lr: Series = field(default_factory=Series)
    grad_norm: Series = field(default_factory=Series)
    step_s: Series = field(default_factory=Series)

    problems: list[events.FileProblem] = field(default_factory=list)
    warnings: list[events.RunWarning] = field(default_factory=list)
    heldout: list[events.ValidationLoss] = field(default_factory=list)
    samples: list[events.SampleSaved] = field(default_factory=list)
    checkpoints: list[events.CheckpointSaved] = field(default_factory=list)
    saved_t: dict[int, float] = field(default_factory=dict)
    exported: events.AdapterExported | None = None
    proofs: events.Proofs | None = None
    ended: events.RunEnded | None = None
    ended_in: str = ""  # the phase under way when it ended: the one that failed

    # What went by unread, and what the reader thinks of the file.
    num_unknown: int = 0
    num_unreadable: int = 0
    num_missing: int = 0
    num_clock_jumps: int = 0
    log: RunLog = field(default_factory=RunLog)
    commands: dict[str, AskedCommand] = field(default_factory=dict)
    news: deque[News] = field(default_factory=lambda: deque(maxlen=_MAX_NEWS))

    # What a watcher found in the folder (`apply`).
    folder: Path | None = None
    config: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Any] = field(default_factory=dict)
    worker: WorkerFacts = field(default_factory=WorkerFacts)
    folder_facts: FolderFacts | None = None
    verdict: Verdict | None = None
    crash: CrashFacts | None = None
    silent: SilentFacts | None = None
    reading_problem: str = ""

    @property
    def name(self) -> str:
        """The run's name: its folder's, else what its worker said."""
        if self.folder is not None:
            return self.folder.name
        return self.started.name if self.started is not None else ""

    @property
    def is_gone(self) -> bool:
        """Whether the run folder has vanished; all else is then as it was last seen."""
        return self.folder_facts is not None and self.folder_facts.is_gone

    @property
    def is_readonly(self) -> bool:
        """Whether no command can be sent from here."""
        return self.folder_facts is not None and not self.folder_facts.is_writable

    @property
    def step_now(self) -> int:
        """The last step taken, counted over all starts; 0 before the first."""
        if self.step is not None:
            return self.step.step
        return (self.started.resumed_step or 0) if self.started is not None else 0

    @property
    def steps_total(self) -> int | None:
        """Steps the run will have, as far as known; going on, the plan of the new start is the first to know."""
        if self.plan is not None:
            return self.plan.num_steps
        return self.step.total if self.step is not None else None

    @property
    def main_sample(self) -> events.SampleSaved | None:
        """Of the newest test clips the one to listen to first: of a caption, made by the trained weights themselves."""
        newest = [sample for sample in self.samples if sample.step == self.samples[-1].step]
        # The two ends tell of averaged weights, and of the model before the training.
        return min(
            newest,
            key=lambda one: (one.name.endswith(("_ema", "_base")), one.name.startswith(UNCONDITIONAL_NAME)),
            default=None,
        )

    @property
    def planned_vram_bytes(self) -> int | None:
        """Memory of the card that training takes: measured by a real step, before that the plan's estimate.

        Both count what the allocator keeps at hand, as the readings of the card do.
        """
        if self.measured is not None:
            return max(self.measured.peak_bytes, self.measured.used_bytes or 0)
        return (self.plan.vram_bytes or None) if self.plan is not None else None

    @property
    def fetching(self) -> events.DownloadProgress | None:
        """The download of its data set, while that is under way."""
        download = self.download
        is_on = self.phase == "scan" and download is not None and download.done_bytes < download.total_bytes
        return download if is_on else None

    @property
    def is_compiling(self) -> bool:
        """Whether steps are being compiled: the longest part of the warm-up, where there is one."""
        return self.phase == "warmup" and self.compilation.is_under_way

    @property
    def has_warned_of_speed(self) -> bool:
        """Whether a warning has said why steps are slower than they could be."""
        return any(warning.code == "not_compiled" for warning in self.warnings)

    @property
    def is_measuring(self) -> bool:
        """Whether this start has too few steps behind it to say when it ends."""
        return self.ended is None and self.num_steps_of_start < MEASURING_STEPS

    def eta_s(self, now: float) -> float | None:
        """Seconds left, counted down since the worker last said it; None while measuring, paused or not known."""
        if self.is_measuring or self.paused or self.step is None or self.step.eta_s is None or self.step_t is None:
            return None
        if not math.isfinite(self.step.eta_s):
            return None
        return max(self.step.eta_s - max(now - self.step_t, 0.0), 0.0)

    def silent_s(self, now: float) -> float | None:
        """Seconds since the last event; None before the first."""
        return None if self.last_t is None else max(now - self.last_t, 0.0)

    @property
    def pace_s(self) -> float | None:
        """Seconds a whole step takes (work and waiting), the mean of the last 20; None before the first."""
        steps = tuple(self.recent)  # a watcher reads it while the owner folds
        return sum(map(measures.step_seconds, steps)) / len(steps) if steps else None

    @property
    def split(self) -> Split | None:
        """Where the time of the last 20 steps went; None before the first."""
        return measures.split_of(tuple(self.recent))

    @property
    def loss_trend(self) -> Trend | None:
        """Direction of the loss: the last 100 steps against the 100 before; None while there are too few."""
        return measures.trend(self.loss.tail(2 * measures.TREND_STEPS))

    @property
    def heldout_trend(self) -> Trend | None:
        """Direction of the held-out loss; None while there are not two."""
        return measures.heldout_trend(self.heldout)

    @property
    def best(self) -> events.ValidationLoss | None:
        """The lowest held-out loss after training began; None while there is none."""
        return measures.best_point(self.heldout)

    @property
    def is_overfitting(self) -> bool:
        """Whether the held-out loss has risen three times in a row."""
        return measures.is_overfitting(self.heldout)

    @property
    def left_out(self) -> list[events.FileProblem]:
        """Files that take no part, each with its reason."""
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def heldout_first(self) -> float | None:
        """Held-out loss before training (over all starts)."""
        if self.ended is not None and self.ended.heldout_first is not None:
            return self.ended.heldout_first
        return self.heldout[0].loss if self.heldout else None

    @property
    def heldout_last(self) -> float | None:
        """The newest held-out loss; None while there is only the one before training."""
        if self.ended is not None and self.ended.heldout_last is not None:
            return self.ended.heldout_last
        return self.heldout[-1].loss if len(self.heldout) > 1 else None

    def heldout_at(self, step: int) -> float | None:
        """The held-out loss measured at a step; None when there is none."""
        return next((point.loss for point in reversed(self.heldout) if point.step == step), None)

    def phase_s(self, phase: str, now: float) -> float | None:
        """Seconds a phase took, or has taken so far; None when it has not begun."""
        if phase in self.phases:
            return self.phases[phase].seconds
        if phase and phase == (self.phase or self.ended_in) and self.phase_started_t is not None:
            return max((now if self.ended is None else self.last_t or now) - self.phase_started_t, 0.0)
        return None

    def ran_s(self, now: float) -> float | None:
        """Seconds of all starts together, pauses included; a worker that is gone ran until its last word."""
        if self.started_t is None or self.last_t is None:
            return None
        is_over = self.ended is not None or (self.verdict is not None and not self.verdict.is_running)
        return self.earlier_s + max((self.last_t if is_over else now) - self.started_t, 0.0)

    def usual_s(self, phase: str) -> float | None:
        """How long a phase or span took before in this run (median); None when it never ended before."""
        return measures.median(self.durations.get(phase, ()))

    def doing(self) -> str:
        """What the worker was doing at its last event, in words (``saving step 1,250``); empty when not known."""
        return diary.doing(self)

    def take_news(self) -> list[News]:
        """What deserves a toast since the last call; the caller shows it or lets it go."""
        taken = list(self.news)
        self.news.clear()
        return taken

    def asked(self, command_id: str, kind: str, now: float) -> None:
        """A command was sent from here; the log says so at once, `command_done` or `tick` says what came of it."""
        self.commands[command_id] = AskedCommand(command_id, kind, asked_t=now)
        self.log.add(now, " ", diary.asked_text(kind))

    def tick(self, now: float) -> None:
        """Time has passed: commands without an answer for 30 s are said to be not done yet, once each."""
        for command in self.commands.values():
            if command.becomes_late(now):
                diary.write_late(self, command, now)

    def apply(self, update: Update) -> None:
        """Take in what a watcher found (in the thread that owns this state)."""
        if update.fresh is not None:
            self._become(update.fresh)
        for record in update.records:
            self.fold(record)
        self.num_unreadable += update.num_unreadable
        if update.config is not None:
            self.config = update.config
        if update.origins is not None:
            self.origins = update.origins
        if update.worker is not None:
            self.worker = update.worker
        if update.folder_facts is not None:
            self.folder_facts = update.folder_facts
        if update.verdict is not None:
            diary.write_verdict(self, update.verdict)
            self.verdict = update.verdict
        self.crash, self.silent = update.crash, update.silent
        self.reading_problem = update.problem
        self.tick(update.t)

    def _become(self, other: RunState) -> None:
        """Take over all of another state, since the folder was started anew; who holds this one keeps it."""
        other.commands = {**self.commands, **other.commands}
        for entry in fields(self):
            setattr(self, entry.name, getattr(other, entry.name))

    def fold(self, record: event_lines.Record) -> None:
        """Take in one event. Unknown kinds are counted and otherwise change nothing but the time of the last news."""
        fold.fold(self, record)


def fold_all(records: Iterable[event_lines.Record]) -> RunState:
    """The state after all these events."""
    state = RunState()
    for record in records:
        state.fold(record)
    return state
