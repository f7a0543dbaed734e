"""How a run stands, from the end of its events alone: for lists of many runs, each looked at every few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acestep_tui.runs.state import RunState
from acestep_tui.runs.tail import EventTail
from engine.contract import event_lines, events

_WINDOW_BYTES = 2**16
# A run that has been paused for a week has nothing but heartbeats in this; its own last word then says "training".
_MOST_BYTES = 2**22
_SPANS = ("validate", "save")
_PROGRESS = {"cache_progress": "cache", "scan_progress": "scan"}


def read_end(path: Path) -> tuple[RunState, EventTail]:
    """A state that knows the newest step, phase, pause and end of a run, and the tail that goes on from there.

    Its series, lists and counts cover only what was read.

    Raises:
        OSError: The file is there and cannot be read.
    """
    tail = EventTail(path)
    window = _WINDOW_BYTES
    while True:
        records, is_whole = _last_records(tail, window)
        if is_whole or window >= _MOST_BYTES or any(map(_is_decisive, records)):
            break
        window *= 4
    state = RunState()
    if not is_whole:
        state.phase = _phase_before(records)
    for record in records:
        state.fold(record)
    state.news.clear()
    return state, tail


def _last_records(tail: EventTail, window: int) -> tuple[list[event_lines.Record], bool]:
    """The events in the last ``window`` bytes, and whether these are all there are; the tail stands at their end."""
    try:
        with tail.path.open("rb") as file:
            start = max(file.seek(0, 2) - window, 0)
            file.seek(start)
            data = file.read(window)
    except (FileNotFoundError, NotADirectoryError):
        return [], True
    end = data.rfind(b"\n") + 1
    begin = data.find(b"\n") + 1 if start else 0  # a window that begins inside a line
    tail.offset, tail.num_unreadable = start + end, 0
    lines = data[begin:end].decode("utf-8", errors="replace").split("\n")[:-1]
    return [record for record in map(tail.read_line, lines) if record is not None], start == 0


def _is_decisive(record: event_lines.Record) -> bool:
    return isinstance(
        record.event, events.Step | events.PhaseStarted | events.RunStarted | events.RunEnded | events.Paused
    )


def _phase_before(records: Sequence[event_lines.Record]) -> str:
    """The phase that was under way before the first of these events, as far as they tell."""
    return next((phase for phase in map(_phase_around, records) if phase is not None), "")


def _phase_around(record: event_lines.Record) -> str | None:
    """The phase in which an event is said; empty for one that stands between phases, None when it does not tell."""
    match record.event:
        case events.RunStarted():
            return ""
        case events.PhaseStarted() as begun:
            return "train" if begun.phase in _SPANS else ""
        case events.PhaseEnded() | events.Heartbeat() as said:
            return "train" if said.phase in _SPANS else said.phase or None
        case events.Step() | events.Paused():
            return "train"
    return _PROGRESS.get(record.kind)
