"""Folding a whole events file at once: 200,000 events in about a second, since nearly all of them are steps alike.

A step's line as our emitter writes it is taken apart by one pattern, and its numbers go straight into the series. A
line that differs in any way (another version, a loss that is not a number, damage) takes the same path as a live one.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from operator import ge, gt
from pathlib import Path

from acestep_tui.runs import diary, fold
from acestep_tui.runs.state import RECENT_STEPS, RunState
from acestep_tui.runs.tail import EventTail, Line
from engine.contract import event_lines, events
from engine.contract.run_dir import RunDir

_FLOAT = rb"[-\d.e]+"  # whether it is one, float() says
_KNOWN = rb"[-\d.enul]+"  # the same, or null
_TEXT = rb'"[^"\\\n]*(?:\\["\\/bfnrt][^"\\\n]*)*"'
_STEP = (
    rb'step","step":(\d+),"total":\d+,"loss":(' + _FLOAT + rb'),"lr":(' + _FLOAT + rb'),"grad_norm":(' + _KNOWN
    + rb'),"epoch":' + _FLOAT + rb',"step_s":(' + _FLOAT + rb'),"data_s":(' + _FLOAT + rb'),"audio_s":' + _FLOAT
    + rb',"eta_s":' + _KNOWN + rb',"ssl_loss":' + _KNOWN + rb',"bucket":' + _TEXT
    # What came with later versions: the parts of a step, then numbers that not every run has.
    + rb'(?:,"forward_s":' + _KNOWN + rb',"backward_s":' + _KNOWN + rb',"optimizer_s":' + _KNOWN
    + rb',"files":\[(?:' + _TEXT + rb"(?:," + _TEXT + rb')*)?\](?:,"[a-z_]+":' + _KNOWN + rb")*)?"
)  # fmt: skip
# What comes every ten seconds beside the steps and changes nothing that a step depends on.
_BEAT = rb'(?:heartbeat|(hardware))"(?:,"[a-z_]+":(?:' + _KNOWN + rb"|" + _TEXT + rb"|\[\]))+"
# One match a line; `lastindex` says which: a step, a reading, a heartbeat, or None for any other line.
_LINE = re.compile(
    rb'\{"v":1,"seq":(\d+),"t":([\d.]+),"kind":"(?:' + _STEP + rb"|" + _BEAT + rb")\}\n|[^\n]*\n"
)  # fmt: skip
_IS_STEP, _IS_READING = 8, 9

_START = b'"kind":"run_started"'  # quotes inside a text have a backslash, so it is one

_CHUNK_BYTES = 2**20


def load_state(
    path: Path,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_line: Callable[[Line, RunState], None] | None = None,
) -> tuple[RunState, EventTail]:
    """The state after all whole lines of an events file, and the tail that goes on from there.

    Args:
        path: The file; one that is not there is an empty run.
        on_progress: Called now and then with the bytes done and the bytes in all.
        should_stop: Asked now and then; True leaves with what is folded so far.
        on_line: Called with each event that says something new, already folded: all but the many steps and beats.

    Raises:
        OSError: The file is there and cannot be read.
    """
    state, tail = RunState(), EventTail(path)
    loader = _Loader(state, tail, on_line)
    for chunk in tail.chunks(_CHUNK_BYTES):
        loader.take(chunk)
        if on_progress is not None:
            on_progress(tail.offset, max(path.stat().st_size, tail.offset))
        if should_stop is not None and should_stop():
            break
    loader.settle()
    state.num_unreadable = tail.num_unreadable
    state.news.clear()  # nobody wants a toast for what happened last week
    return state, tail


def read_state(run: RunDir) -> RunState:
    """The state of a run now; that of an empty one where its events cannot be read."""
    try:
        return load_state(run.events_jsonl)[0]
    except OSError:
        return RunState()


def count_starts(path: Path) -> int:
    """How often a worker began in this file, at a glance: no line is parsed.

    Raises:
        OSError: The file is there and cannot be read.
    """
    return sum(chunk.count(_START) for chunk in EventTail(path).chunks(_CHUNK_BYTES))


@dataclass(slots=True)
class _Numbers:
    """Lines that follow each other, column by column: the envelopes' last, then the steps among them."""

    last_seq: int
    last_t: float
    times: list[float]
    steps: list[int]
    losses: list[float]
    rates: list[float]
    norms: list[float]
    whole_s: list[float]


class _Loader:
    """Folds chunk after chunk. Steps and beats that follow each other are gathered and folded together."""

    def __init__(
        self, state: RunState, tail: EventTail, on_line: Callable[[Line, RunState], None] | None = None
    ) -> None:
        self._state = state
        self._tail = tail
        self._on_line = on_line
        # The newest steps and the newest hardware reading are made into events only where somebody looks at them.
        self._recent: deque[bytes] = deque(maxlen=RECENT_STEPS)
        self._unshown = b""
        self._reading = b""

    def take(self, chunk: bytes) -> None:
        """Fold the lines of one chunk."""
        gathered: list[re.Match[bytes]] = []
        for found in _LINE.finditer(chunk):
            if found.lastindex is not None:
                gathered.append(found)
            else:
                self._fold_gathered(gathered)
                gathered = []
                self._fold_line(found[0])
        self._fold_gathered(gathered)

    def settle(self) -> None:
        """Make what was gathered complete: the newest steps and the newest reading as events."""
        state = self._state
        if self._reading:
            record = _decoded(self._reading)
            if isinstance(record.event, events.Hardware):
                fold.fold_hardware(state, record.event, record.t)
            self._reading = b""
        self._show_newest()
        for record in map(_decoded, self._recent):
            if isinstance(record.event, events.Step):
                state.recent.append(record.event)
        self._recent.clear()

    def _show_newest(self) -> None:
        """Make the newest step the state's, once: what comes after it may change what it said."""
        if self._unshown:
            newest = _decoded(self._unshown)
            if isinstance(newest.event, events.Step):
                fold.show_step(self._state, newest.event, newest.t)
            self._unshown = b""

    def _fold_line(self, line: bytes) -> None:
        raw = line.decode("utf-8", errors="replace").removesuffix("\n")
        record = self._tail.read_line(raw)
        if record is None:
            return
        if record.kind in (events.RunStarted.kind, events.Step.kind):
            self.settle()  # the one begins the list of newest steps anew, the other is the next in it
        else:
            self._show_newest()
        self._state.fold(record)
        if self._on_line is not None:
            self._on_line(Line(raw, record), self._state)

    def _fold_gathered(self, gathered: list[re.Match[bytes]]) -> None:
        """Fold what was gathered, in one go if nothing about it is unusual, else line by line."""
        if not gathered:
            return
        try:
            numbers = _numbers(gathered, self._state)
        except ValueError:  # digits and dots that are no number
            numbers = None
        if numbers is None:
            self.settle()
            for found in gathered:
                self._fold_line(found[0])
            return
        readings = [found[0] for found in gathered if found.lastindex == _IS_READING]
        if readings:
            self._reading = readings[-1]
            fold.fold_highest(self._state, b"".join(readings))
        if numbers.steps:
            self._fold_steps(numbers)
            newest_first = (found[0] for found in reversed(gathered) if found.lastindex == _IS_STEP)
            newest = list(islice(newest_first, RECENT_STEPS))[::-1]
            self._recent.extend(newest)
            self._unshown = newest[-1]
        self._state.last_seq, self._state.last_t = numbers.last_seq, numbers.last_t
        self._state.last_kind = _decoded(gathered[-1][0]).kind

    def _fold_steps(self, numbers: _Numbers) -> None:
        state = self._state
        state.loss.extend(numbers.steps, numbers.losses)
        state.lr.extend(numbers.steps, numbers.rates)
        state.grad_norm.extend(numbers.steps, numbers.norms)
        state.step_s.extend(numbers.steps, numbers.whole_s)
        state.num_steps_of_start += len(numbers.steps)
        wants_step = state.log.wants_step
        for place, (t, step) in enumerate(zip(numbers.times, numbers.steps, strict=True)):
            if wants_step(t, step):
                diary.chat_step(state, t, step, numbers.losses[place], numbers.whole_s[place])


def _numbers(gathered: list[re.Match[bytes]], state: RunState) -> _Numbers | None:
    """The numbers of lines that follow each other and what was before without gap or jump; None when they do not.

    Raises:
        ValueError: Something that looked like a number is none.
    """
    seqs = [int(found[1]) for found in gathered]
    times = [float(found[2]) for found in gathered]
    follows = state.last_seq < 0 or seqs[0] == state.last_seq + 1
    is_later = state.last_t is None or times[0] >= state.last_t
    if not follows or not is_later or seqs != list(range(seqs[0], seqs[0] + len(seqs))):
        return None
    if any(map(gt, times, times[1:])):
        return None
    rows = [found.groups() for found in gathered if found.lastindex == _IS_STEP]
    steps = [int(row[2]) for row in rows]
    if any(map(ge, steps, steps[1:])):
        return None
    return _Numbers(
        last_seq=seqs[-1],
        last_t=times[-1],
        times=[float(row[1]) for row in rows],
        steps=steps,
        losses=[float(row[3]) for row in rows],
        rates=[float(row[4]) for row in rows],
        norms=[math.nan if row[5] == b"null" else float(row[5]) for row in rows],
        whole_s=[float(row[6]) + float(row[7]) for row in rows],
    )


def _decoded(line: bytes) -> event_lines.Record:
    return event_lines.decode(line.decode("utf-8", errors="replace"))
