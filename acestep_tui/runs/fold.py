"""Folding events into a `RunState`: each kind's effect, in one place."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from acestep_tui.runs import diary, measures
from acestep_tui.runs.compilation import Compilation
from acestep_tui.runs.prepared import Preparation
from engine.contract import event_lines, events, memory_events
from engine.contract.event_base import Event

if TYPE_CHECKING:
    from acestep_tui.runs.state import RunState

# Spans that happen inside another phase and give it back when they end.
_SPANS = ("validate", "save")
# Times going back by less than this are two threads of one worker, not a clock that was set.
_CLOCK_SLACK_S = 1.0
# The same span's last durations; enough for a median, whatever the length of the run.
_MAX_DURATIONS = 50
_VRAM = re.compile(rb'"vram_(?:used|peak)_bytes":(\d+)')
_RAM = re.compile(rb'"ram_bytes":(\d+)')
# Events of which only the newest counts, with the field that keeps it.
_NEWEST: dict[type[Event], str] = {
    events.Plan: "plan",
    events.DataReady: "data",
    events.ModelLoaded: "model",
    memory_events.MemoryMeasured: "measured",
    events.AdapterExported: "exported",
    events.Proofs: "proofs",
    events.DownloadProgress: "download",
}


def fold(state: RunState, record: event_lines.Record) -> None:
    """Take in one event. Unknown kinds are counted and otherwise change nothing but the time of the last news."""
    if isinstance(record.event, events.RunStarted) and state.started_t is not None and state.last_t is not None:
        state.earlier_s += max(state.last_t - state.started_t, 0.0)
    _look_at_envelope(state, record.seq, record.t)
    state.last_kind = record.kind
    event = record.event
    if event is None:
        state.num_unknown += 1
    elif isinstance(event, events.Step):
        _fold_step(state, event, record.t)
    elif isinstance(event, events.RunStarted):
        _begin(state, event, record.t)
    elif isinstance(event, events.PhaseStarted | events.PhaseEnded):
        _fold_phase(state, event, record.t)
    elif isinstance(event, events.ScanProgress):
        state.phase_done, state.phase_total = event.done, event.total
        state.num_files = event.total
    elif isinstance(event, events.CacheProgress | events.SampleProgress):
        _fold_progress(state, event, record.t)
    else:
        _fold_fact(state, event, record.t)
    if event is not None:
        diary.write(state, event, record.t)


def _look_at_envelope(state: RunState, seq: int, t: float) -> None:
    if state.last_seq >= 0 and seq > state.last_seq + 1:
        state.num_missing += seq - state.last_seq - 1
        diary.write_gap(state, seq - state.last_seq - 1, t)
    if state.last_t is not None and t < state.last_t - _CLOCK_SLACK_S:
        state.num_clock_jumps += 1
        diary.write_clock_jump(state, state.last_t - t, t)
    state.last_t, state.last_seq = t, seq


def _fold_step(state: RunState, event: events.Step, t: float) -> None:
    state.loss.append(event.step, event.loss)
    state.lr.append(event.step, event.lr)
    state.grad_norm.append(event.step, event.grad_norm)
    state.step_s.append(event.step, measures.step_seconds(event))
    state.num_steps_of_start += 1
    state.recent.append(event)
    show_step(state, event, t)


def show_step(state: RunState, event: events.Step, t: float) -> None:
    """Make this the newest step, its numbers being in the series already."""
    state.step, state.step_t = event, t
    state.phase_done, state.phase_total = event.step, event.total


def _begin(state: RunState, event: events.RunStarted, t: float) -> None:
    """A new start: what the run reports anew is cleared, what it had already reached stays."""
    resumed = event.resumed_step or 0
    state.started, state.started_t = event, t
    state.num_starts += 1
    state.phase, state.span, state.phase_started_t, state.span_started_t = "", "", None, None
    state.phase_done = state.phase_total = None
    state.phases = {}
    state.problems, state.warnings = [], []
    state.heldout = [point for point in state.heldout if point.step <= resumed] if resumed else []
    state.checkpoints = [saved for saved in state.checkpoints if saved.step <= resumed]
    state.samples = [sample for sample in state.samples if sample.step <= resumed] if resumed else []
    for series in (state.loss, state.lr, state.grad_norm, state.step_s):
        series.cut_back(resumed)
    state.recent.clear()
    state.num_steps_of_start = 0
    # Its time left was that of a training that ended (or was to have fewer steps).
    state.step = replace(state.step, eta_s=None) if state.step is not None and state.step.step <= resumed else None
    state.measured, state.compilation = None, Compilation()
    state.plan, state.data, state.prepared, state.sampling = None, None, Preparation(), None
    state.vram_highest_bytes = state.ram_highest_bytes = None
    state.exported, state.proofs, state.ended, state.ended_in = None, None, None, ""
    state.paused, state.paused_t = False, None


def _fold_phase(state: RunState, event: events.PhaseStarted | events.PhaseEnded, t: float) -> None:
    if isinstance(event, events.PhaseEnded):
        state.phases[event.phase] = event
        state.durations.setdefault(event.phase, deque(maxlen=_MAX_DURATIONS)).append(event.seconds)
        if event.phase == "scan" and event.total is not None:
            state.num_files = event.total
        if event.phase in _SPANS:
            state.span, state.span_started_t, state.sampling = "", None, None
        elif event.phase == state.phase:
            state.phase, state.phase_started_t = "", None
            state.phase_done = state.phase_total = None
        return
    if event.phase in _SPANS and state.phase:
        state.span, state.span_started_t = event.phase, t
        return
    state.phase, state.phase_started_t = event.phase, t
    state.phase_done, state.phase_total = None, event.total
    if event.phase == "cache":
        state.prepared.begin(t)


def _fold_progress(state: RunState, event: events.CacheProgress | events.SampleProgress, t: float) -> None:
    if isinstance(event, events.CacheProgress):
        state.prepared.add(event, t)
    else:
        state.sampling = event
        # A test clip under way is a span inside training: the training bar keeps its own numbers.
        if state.phase == "train":
            return
    state.phase_done, state.phase_total = event.done, event.total


def _fold_fact(state: RunState, event: Event, t: float) -> None:
    if (name := _NEWEST.get(type(event))) is not None:
        setattr(state, name, event)
        return
    match event:
        case memory_events.StepsCompiled():
            state.compilation.take(event, t)
        case events.FileProblem():
            state.problems.append(event)
        case events.RunWarning():
            state.warnings.append(event)
        case events.ValidationLoss():
            # The same step again (measured at the end and at its checkpoint, or after a resume) replaces.
            state.heldout = [point for point in state.heldout if point.step != event.step] + [event]
        case events.SampleSaved():
            state.samples = [sample for sample in state.samples if sample.path != event.path] + [event]
        case events.CheckpointSaved():
            state.checkpoints.append(event)
            state.saved_t[event.step] = t
        case events.Paused():
            state.paused, state.paused_t = event.paused, t if event.paused else None
        case events.Hardware():
            fold_hardware(state, event, t)
        case events.RunEnded():
            state.ended = event
            state.ended_in, state.phase, state.span = state.phase, "", ""
            state.paused, state.paused_t = False, None


def fold_hardware(state: RunState, event: events.Hardware, t: float) -> None:
    """Make this the newest reading."""
    state.hardware, state.hardware_t = event, t
    vram = [value for value in (event.vram_used_bytes, event.vram_peak_bytes) if value is not None]
    _raise(state, max(vram, default=None), event.ram_bytes)


def fold_highest(state: RunState, lines: bytes) -> None:
    """Take the highest memory from readings that are not the newest, as their lines stand in the file."""
    _raise(state, max(map(int, _VRAM.findall(lines)), default=None), max(map(int, _RAM.findall(lines)), default=None))


def _raise(state: RunState, vram_bytes: int | None, ram_bytes: int | None) -> None:
    if vram_bytes is not None:
        state.vram_highest_bytes = max(vram_bytes, state.vram_highest_bytes or 0)
    if ram_bytes is not None:
        state.ram_highest_bytes = max(ram_bytes, state.ram_highest_bytes or 0)
