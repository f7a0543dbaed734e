"""A thread that says "alive" every ten seconds, also inside a long compile, and reads the hardware beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from engine.contract.errors import DiskError
from engine.contract.event_base import Event
from engine.contract.events import Heartbeat
from engine.telemetry.emitter import Emitter

HEARTBEAT_S = 10.0


class HeartbeatThread:
    """Emits a heartbeat with the current phase, and a hardware reading, every `interval_s` seconds until stopped.

    The first reading comes at once: a viewer need not wait for it.

    Args:
        emitter: Where the events go.
        phase: Returns the identifier of the phase under way.
        read_hardware: Returns a hardware event, or None where nothing can be read.
        interval_s: Seconds between beats.
    """

    def __init__(
        self,
        emitter: Emitter,
        *,
        phase: Callable[[], str],
        read_hardware: Callable[[], Event | None],
        interval_s: float = HEARTBEAT_S,
    ) -> None:
        self._emitter = emitter
        self._phase = phase
        self._read_hardware = read_hardware
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin beating."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and wait for the thread."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        self._tell(with_beat=False)
        while not self._stopped.wait(self._interval_s):
            self._tell(with_beat=True)

    def _tell(self, *, with_beat: bool) -> None:
        # A full disk is the training thread's to report, by its own next write; a beat may be lost.
        with contextlib.suppress(DiskError):
            if with_beat:
                self._emitter.emit(Heartbeat(phase=self._phase()))
            reading = self._read_hardware()
            if reading is not None:
                self._emitter.emit(reading)
