"""What is known about a run, folded from its events: the one model under bars, tables and screens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from engine.contract import events

# Spans that happen inside another phase and give it back when they end.
_SPANS = ("validate", "save")


@dataclass(slots=True)
class RunState:
    """A run as its events tell it. `fold` is the only writer; everything else reads."""

    started: events.RunStarted | None = None
    started_t: float | None = None
    num_starts: int = 0
    last_t: float | None = None
    last_seq: int = -1
    num_unknown: int = 0

    phase: str = ""
    span: str = ""
    phase_started_t: float | None = None
    phase_done: int | None = None
    phase_total: int | None = None
    phases: dict[str, events.PhaseEnded] = field(default_factory=dict)

    plan: events.Plan | None = None
    model: events.ModelLoaded | None = None
    step: events.Step | None = None
    paused: bool = False
    hardware: events.Hardware | None = None
    num_files: int | None = None

    problems: list[events.FileProblem] = field(default_factory=list)
    warnings: list[events.RunWarning] = field(default_factory=list)
    heldout: list[events.ValidationLoss] = field(default_factory=list)
    samples: list[events.SampleSaved] = field(default_factory=list)
    checkpoints: list[events.CheckpointSaved] = field(default_factory=list)
    exported: events.AdapterExported | None = None
    proofs: events.Proofs | None = None
    ended: events.RunEnded | None = None

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

    def fold(self, record: events.Record) -> None:
        """Take in one event. Unknown kinds are counted and otherwise change nothing but the time of the last news."""
        self.last_t = record.t
        self.last_seq = record.seq
        event = record.event
        if event is None:
            self.num_unknown += 1
        elif isinstance(event, events.RunStarted):
            self._begin(event, record.t)
        elif isinstance(event, events.PhaseStarted | events.PhaseEnded):
            self._fold_phase(event, record.t)
        elif isinstance(event, events.Step):
            self.step = event
            self.phase_done, self.phase_total = event.step, event.total
        elif isinstance(event, events.ScanProgress):
            self.phase_done, self.phase_total = event.done, event.total
            self.num_files = event.total
        elif isinstance(event, events.CacheProgress | events.SampleProgress):
            self._fold_progress(event)
        else:
            self._fold_fact(event)

    def _begin(self, event: events.RunStarted, t: float) -> None:
        """A new start: what the run reports anew is cleared, what it had already reached stays."""
        resumed = event.resumed_step or 0
        kept = [point for point in self.heldout if point.step <= resumed]
        self.started, self.started_t = event, t
        self.num_starts += 1
        self.phase, self.span, self.phase_started_t = "", "", None
        self.phase_done = self.phase_total = None
        self.phases = {}
        self.problems, self.warnings = [], []
        self.heldout = kept if resumed else []
        self.checkpoints = [saved for saved in self.checkpoints if saved.step <= resumed]
        # Its time left was that of a training that ended (or was to have fewer steps).
        self.step = replace(self.step, eta_s=None) if self.step is not None and self.step.step <= resumed else None
        self.plan = None
        self.exported, self.proofs, self.ended = None, None, None
        self.paused = False

    def _fold_phase(self, event: events.PhaseStarted | events.PhaseEnded, t: float) -> None:
        if isinstance(event, events.PhaseEnded):
            self.phases[event.phase] = event
            if event.phase == "scan" and event.total is not None:
                self.num_files = event.total
            if event.phase in _SPANS:
                self.span = ""
            elif event.phase == self.phase:
                self.phase, self.phase_started_t = "", None
                self.phase_done = self.phase_total = None
            return
        if event.phase in _SPANS and self.phase:
            self.span = event.phase
            return
        self.phase, self.phase_started_t = event.phase, t
        self.phase_done, self.phase_total = None, event.total

    def _fold_progress(self, event: events.CacheProgress | events.SampleProgress) -> None:
        # A test clip under way is a span inside training: the training bar keeps its own numbers.
        if isinstance(event, events.SampleProgress) and self.phase == "train":
            return
        self.phase_done, self.phase_total = event.done, event.total

    def _fold_fact(self, event: events.Event) -> None:
        match event:
            case events.Plan():
                self.plan = event
            case events.FileProblem():
                self.problems.append(event)
            case events.RunWarning():
                self.warnings.append(event)
            case events.ModelLoaded():
                self.model = event
            case events.ValidationLoss():
                # The same step again (measured at the end and at its checkpoint, or after a resume) replaces.
                self.heldout = [point for point in self.heldout if point.step != event.step] + [event]
            case events.SampleSaved():
                self.samples.append(event)
            case events.CheckpointSaved():
                self.checkpoints.append(event)
            case events.AdapterExported():
                self.exported = event
            case events.Proofs():
                self.proofs = event
            case events.Paused():
                self.paused = event.paused
            case events.Hardware():
                self.hardware = event
            case events.RunEnded():
                self.ended = event
                self.phase, self.span, self.paused = "", "", False


def fold_all(records: Iterable[events.Record]) -> RunState:
    """The state after all these events."""
    state = RunState()
    for record in records:
        state.fold(record)
    return state
