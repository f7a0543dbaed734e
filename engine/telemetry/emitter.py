"""The one writer of a run's events.jsonl."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from engine.contract.errors import as_disk_error, is_disk_failure
from engine.contract.event_base import Event
from engine.contract.event_lines import decode, encode
from engine.contract.events import RunStarted, Step


class Emitter:
    """Appends events, one whole line in one call; `seq` goes on without gaps across resumes. Thread-safe.

    Args:
        path: The events file; made if absent. A torn last line of an earlier worker is cut off first.

    Raises:
        DiskError: The file cannot be opened or a line cannot be written; the file never keeps a torn line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if is_disk_failure(error):
                raise as_disk_error(error, action="opening the event log", path=path) from error
            raise
        self._end, self._next_seq = _whole_end(self._descriptor)
        self._last_step = 0
        self._listeners: list[Callable[[Event], None]] = []
        os.ftruncate(self._descriptor, self._end)

    @property
    def next_seq(self) -> int:
        """The sequence number that the next event gets."""
        return self._next_seq

    @property
    def last_step(self) -> int:
        """The step this worker has reached, told or resumed from: what its last event says, however it ends."""
        return self._last_step

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` with each event once it is written, in the thread that emits it; it must not raise."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Append one event."""
        with self._lock:
            line = encode(event, seq=self._next_seq, t=time.time()).encode()
            try:
                os.lseek(self._descriptor, self._end, os.SEEK_SET)
                written = os.write(self._descriptor, line)
                if written != len(line):
                    os.ftruncate(self._descriptor, self._end)
                    # A short write to a regular file means that the disk filled up in the middle of the line.
                    raise OSError(28, os.strerror(28))
            except OSError as error:
                if is_disk_failure(error):
                    raise as_disk_error(error, action="writing the event log", path=self._path) from error
                raise
            self._end += len(line)
            self._next_seq += 1
            if isinstance(event, Step):
                self._last_step = event.step
            elif isinstance(event, RunStarted):
                self._last_step = event.resumed_step or 0
        # Outside the lock: a listener may emit.
        for listener in self._listeners:
            listener(event)

    def sync(self) -> None:
        """Make everything written so far durable (at checkpoints and at the end)."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Sync and close."""
        with self._lock:
            os.fsync(self._descriptor)
            os.close(self._descriptor)

    def __enter__(self) -> Emitter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _whole_end(descriptor: int) -> tuple[int, int]:
    """Byte offset after the last whole line, and the sequence number that follows the last readable one."""
    size = os.fstat(descriptor).st_size
    window = 1 << 16
    while True:
        start = max(0, size - window)
        os.lseek(descriptor, start, os.SEEK_SET)
        tail = os.read(descriptor, size - start)
        end = tail.rfind(b"\n") + 1
        # The first piece of a window that begins inside a line is not a line.
        lines = tail[:end].split(b"\n")[0 if start == 0 else 1 :]
        for line in reversed(lines):
            with contextlib.suppress(ValueError):
                return start + end, decode(line.decode("utf-8", errors="replace")).seq + 1
        if start == 0:
            return end, 0
        window *= 4
