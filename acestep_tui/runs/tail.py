"""Following events.jsonl while it grows: whole lines only, a torn last line means "not yet"."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.contract import events

# Read in slices, so that attaching to a long run does not hold its whole file twice.
_CHUNK_BYTES = 4 * 2**20


class Line(NamedTuple):
    """One event as it stands on disk (without the newline) and as parsed."""

    raw: str
    record: events.Record


class EventTail:
    """Reads the lines that were added to a file since the last look.

    Only the offset of the last whole line is kept: a half-written line is read again from its start at the next look,
    so a worker that repairs a torn end after a crash (cuts it off, then goes on) is followed correctly.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self.num_unreadable = 0

    def poll(self) -> list[Line]:
        """All whole lines since the last call, in order; empty while the file does not exist yet."""
        lines: list[Line] = []
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                while chunk := file.read(_CHUNK_BYTES):
                    whole = chunk[: chunk.rfind(b"\n") + 1]
                    if not whole:
                        break
                    self.offset += len(whole)
                    file.seek(self.offset)
                    self._parse(whole, lines)
        except (FileNotFoundError, NotADirectoryError):
            return lines
        return lines

    def _parse(self, whole: bytes, lines: list[Line]) -> None:
        for raw in whole.decode("utf-8", errors="replace").split("\n")[:-1]:
            if not raw.strip():
                continue
            try:
                lines.append(Line(raw, events.decode(raw)))
            except ValueError:
                self.num_unreadable += 1  # a line torn by a crash in the middle of the file
