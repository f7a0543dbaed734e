"""Following events.jsonl while it grows: whole lines only, a torn last line means "not yet"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.contract import event_lines

# Read in slices, so that attaching to a long run does not hold its whole file twice.
_CHUNK_BYTES = 4 * 2**20


class Line(NamedTuple):
    """One event as it stands on disk (without the newline) and as parsed."""

    raw: str
    record: event_lines.Record


class EventTail:
    """Reads the lines that were added to a file since the last look.

    Only the offset of the last whole line is kept: a half-written line is read again from its start at the next look,
    so a worker that repairs a torn end after a crash (cuts it off, then goes on) is followed correctly.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.num_unreadable = 0

    def chunks(self, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[bytes]:
        """Whole lines since the last call, some megabytes at a time; nothing while the file does not exist yet.

        Raises:
            OSError: The file is there and cannot be read.
        """
        try:
            file = self.path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return
        with file:
            file.seek(self.offset)
            while chunk := file.read(chunk_bytes):
                whole = chunk[: chunk.rfind(b"\n") + 1]
                if not whole:
                    if len(chunk) < chunk_bytes:
                        return
                    chunk_bytes *= 2  # one line longer than a chunk
                self.offset += len(whole)
                file.seek(self.offset)
                if whole:
                    yield whole

    def poll(self) -> list[Line]:
        """All whole lines since the last call, in order, each with its text; empty while there is no file yet."""
        lines: list[Line] = []
        for whole in self.chunks():
            for raw in whole.decode("utf-8", errors="replace").split("\n")[:-1]:
                record = self.read_line(raw)
                if record is not None:
                    lines.append(Line(raw, record))
        return lines

    def read_line(self, raw: str) -> event_lines.Record | None:
        """One line parsed; None when it is blank or cannot be read (which is counted)."""
        if not raw.strip():
            return None
        try:
            return event_lines.decode(raw)
        except (ValueError, RecursionError):
            self.num_unreadable += 1  # a line torn by a crash in the middle of the file
            return None
