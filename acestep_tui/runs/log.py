"""The run's log in words: bounded, newest last, so that a run of weeks costs no more memory than one of an hour."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from heapq import merge
from typing import Literal, NamedTuple

Severity = Literal["plain", "good", "busy", "paused", "warning", "error"]

# Lines that only say that work goes on must not push out those that say what happened.
_MAX_CHATTER = 500
_MAX_FACTS = 1500

# A step is written every ten steps, but at most once in three seconds and at least once in thirty.
STEP_EVERY = 10
_STEP_SOONEST_S = 3.0
_STEP_LATEST_S = 30.0


class LogEntry(NamedTuple):
    """One line: when, glyph (a blank for plain lines), words. `number` rises with every line written."""

    t: float
    glyph: str
    text: str
    severity: Severity
    number: int

    @property
    def is_warning(self) -> bool:
        """Whether `!` (warnings only) shows it."""
        return self.severity in ("warning", "error")


class RunLog:
    """Lines of a run. What is under way ("saving …") is taken away when its result is written."""

    __slots__ = ("_busy", "_chatter", "_facts", "_last_step_t", "_number", "num_warnings")

    def __init__(self) -> None:
        self._chatter: deque[LogEntry] = deque(maxlen=_MAX_CHATTER)
        self._facts: deque[LogEntry] = deque(maxlen=_MAX_FACTS)
        self._busy: LogEntry | None = None
        self._number = 0
        self._last_step_t: float | None = None
        self.num_warnings = 0

    def __len__(self) -> int:
        return len(self._chatter) + len(self._facts)

    @property
    def version(self) -> int:
        """Changes with every line, so that a panel can tell whether it has to draw."""
        return self._number

    def add(self, t: float, glyph: str, text: str, severity: Severity = "plain") -> None:
        """Write one line."""
        self._number += 1
        if severity in ("warning", "error"):
            self.num_warnings += 1
        self._facts.append(LogEntry(t, glyph, text, severity, self._number))

    def chat(self, t: float, glyph: str, text: str, severity: Severity = "plain") -> None:
        """Write a line that only says that work goes on."""
        self._number += 1
        self._chatter.append(LogEntry(t, glyph, text, severity, self._number))

    def begin(self, t: float, text: str) -> None:
        """Write what is under way now, until `end`."""
        self.end()
        self.add(t, "◐", text, "busy")
        self._busy = self._facts[-1]

    def end(self) -> None:
        """Take away what was under way."""
        if self._busy is not None:
            with contextlib.suppress(ValueError):  # so long ago that it fell out by itself
                self._facts.remove(self._busy)
            self._busy = None
            self._number += 1

    def wants_step(self, t: float, step: int) -> bool:
        """Whether this step gets a line; says yes to few enough of them."""
        last = self._last_step_t
        if last is not None and last <= t < last + _STEP_LATEST_S and (step % STEP_EVERY or t < last + _STEP_SOONEST_S):
            return False
        self._last_step_t = t
        return True

    def forget_pace(self) -> None:
        """Give the next step a line: a new start."""
        self._last_step_t = None

    def oldest_first(self) -> Iterator[LogEntry]:
        """All lines in the order they were written."""
        return merge(self._chatter, self._facts, key=_number)

    def newest(self, num_lines: int, *, warnings_only: bool = False, containing: str = "") -> list[LogEntry]:
        """The newest lines first, those that match."""
        wanted = containing.casefold()
        found: list[LogEntry] = []
        if num_lines < 1:
            return found
        for entry in merge(reversed(self._chatter), reversed(self._facts), key=_number, reverse=True):
            if (warnings_only and not entry.is_warning) or (wanted and wanted not in entry.text.casefold()):
                continue
            found.append(entry)
            if len(found) == num_lines:
                break
        return found


def _number(entry: LogEntry) -> int:
    return entry.number
