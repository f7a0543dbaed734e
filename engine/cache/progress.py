"""What of each song is prepared, said as it becomes so: a viewer shows a row a song, its sound and its captions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.contract.errors import StopRequested
from engine.contract.events import CacheProgress


@dataclass(slots=True)
class _SongPart:
    """One part of one song: sound is one entry a piece, captions are one a text.

    Attributes:
        file: The song's name.
        part: ``sound``, ``captions`` or ``features``.
        missing: Entries that are not on disk.
        bytes: Of those that are.
        audio_s: Seconds of sound encoded now.
        num_ready: Entries on disk.
        is_left_out: The song takes no part any more.
    """

    file: str
    part: str
    missing: set[Hashable]
    bytes: int
    num_ready: int
    audio_s: float = 0.0
    is_left_out: bool = False


class SongProgress:
    """Counts entries; tells each song's part once, when its last entry is ready, with the bytes of all of them.

    Args:
        done: Entries that are there already.
        total: Entries in all.
        report: Takes the events.
    """

    def __init__(self, *, done: int, total: int, report: Callable[[CacheProgress], None]) -> None:
        self.done = done
        self.total = total
        self.audio_s = 0.0
        self._report = report
        self._parts: list[_SongPart] = []
        self._waiting: dict[Hashable, list[_SongPart]] = {}

    def expect(self, file: str, part: str, entries: Mapping[Any, int | None]) -> None:
        """Announce a song's part: its entries, each with its bytes on disk or None where it is missing."""
        there = [num_bytes for num_bytes in entries.values() if num_bytes is not None]
        missing = {entry for entry, num_bytes in entries.items() if num_bytes is None}
        song_part = _SongPart(file, part, missing, bytes=sum(there), num_ready=len(there))
        self._parts.append(song_part)
        for entry in missing:
            self._waiting.setdefault(entry, []).append(song_part)

    def begin(self) -> None:
        """Say where the preparation begins (an event of no file), then every song's part that is there already."""
        self._tell("")
        for song_part in self._parts:
            if not song_part.missing:
                self._tell_part(song_part)

    def ready(self, entry: Hashable, *, num_bytes: int, audio_s: float = 0.0) -> None:
        """An entry is on disk."""
        self.audio_s += audio_s
        song_parts = self._waiting.get(entry, [])
        for song_part in song_parts:
            song_part.bytes += num_bytes
            song_part.audio_s += audio_s
            song_part.num_ready += 1
        self._settle(entry)

    def failed(self, entry: Hashable, *, takes_song_along: bool) -> None:
        """An entry cannot be made; its song goes on without it, unless it is taken along."""
        for song_part in self._waiting.get(entry, []):
            song_part.is_left_out |= takes_song_along
        self._settle(entry)

    def stopped(self) -> StopRequested:
        """What is raised when somebody asks to stop: everything finished stays."""
        return StopRequested(
            f"stopped while preparing: {self.done} of {self.total} entries are ready",
            hint="The same command goes on from there.",
        )

    def _settle(self, entry: Hashable) -> None:
        self.done += 1
        song_parts = self._waiting.pop(entry, [])
        for song_part in song_parts:
            song_part.missing.discard(entry)
        complete = [song_part for song_part in song_parts if not song_part.missing]
        for song_part in complete:
            self._tell_part(song_part)
        if not complete:
            # A piece of a longer song, or a caption of no song (the empty one, a test clip's).
            self._tell(song_parts[0].file if song_parts else "")

    def _tell_part(self, song_part: _SongPart) -> None:
        if song_part.num_ready and not song_part.is_left_out:
            self._tell(song_part.file, song_part.audio_s, part=song_part.part, num_bytes=song_part.bytes)
        else:
            self._tell(song_part.file, song_part.audio_s)

    def _tell(self, file: str, audio_s: float = 0.0, *, part: str = "", num_bytes: int = 0) -> None:
        self._report(
            CacheProgress(done=self.done, total=self.total, file=file, audio_s=audio_s, part=part, bytes=num_bytes)
        )
