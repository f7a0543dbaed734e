"""Phases of a run as spans: started, ended, how long, and which one the heartbeat names."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from engine.contract.events import PhaseEnded, PhaseStarted
from engine.telemetry.emitter import Emitter


@dataclass
class Span:
    """What a phase says about itself when it ends; set by the code inside the block."""

    done: int | None = None
    total: int | None = None
    summary: str = ""


class Phases:
    """Emits phase events and knows the innermost phase under way."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self._stack: list[str] = []

    def current(self) -> str:
        """Identifier of the innermost phase, empty between phases."""
        return self._stack[-1] if self._stack else ""

    @contextlib.contextmanager
    def span(self, phase: str, *, total: int | None = None) -> Iterator[Span]:
        """A phase around a block. An exception leaves it without an end: `run_ended` says why."""
        started = time.monotonic()
        span = Span(total=total)
        self._stack.append(phase)
        self._emitter.emit(PhaseStarted(phase=phase, total=total))
        try:
            yield span
        finally:
            self._stack.pop()
        seconds = time.monotonic() - started
        self._emitter.emit(
            PhaseEnded(phase=phase, done=span.done, total=span.total, seconds=round(seconds, 3), summary=span.summary)
        )
