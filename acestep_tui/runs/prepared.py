"""Preparing (the cache) as it goes on: a row a song, what of it is ready, and at which pace."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from engine.contract.events import CacheProgress

# Pace and time left look back this far: long enough for a song of four minutes, short enough to notice a change.
_WINDOW_S = 30.0


@dataclass(slots=True)
class PreparedSong:
    """One song: the parts that are ready, its bytes on disk so far, and when the last part came."""

    file: str
    parts: set[str] = field(default_factory=set)
    bytes: int = 0
    audio_s: float = 0.0
    t: float = 0.0


@dataclass(slots=True)
class Preparation:
    """All songs in the order they were first heard of. Empty until the first `cache_progress`.

    `num_there` counts the entries that an earlier preparation left; None until the first one is made.
    """

    songs: dict[str, PreparedSong] = field(default_factory=dict)
    bytes: int = 0
    audio_s: float = 0.0
    done: int = 0
    total: int = 0
    num_there: int | None = None
    started_t: float | None = None
    tells_parts: bool = False
    _recent: deque[tuple[float, str, float, int]] = field(default_factory=deque)

    def begin(self, t: float) -> None:
        """The phase begins."""
        self.started_t = t

    def add(self, event: CacheProgress, t: float) -> None:
        """One entry is ready."""
        if self.num_there is None:
            # An event of no file says where it begins; older runs begin with the first entry that they made.
            self.num_there = max(event.done - 1, 0) if event.file else event.done
        self.done, self.total = event.done, event.total
        self.tells_parts |= bool(event.part) or (not event.file and not self._recent)
        part = self.part_of(event)
        if part:
            song = self.songs.setdefault(event.file, PreparedSong(event.file))
            song.parts.add(part)
            song.bytes += event.bytes
            song.audio_s += event.audio_s
            song.t = t
        self.bytes += event.bytes
        self.audio_s += event.audio_s
        self._recent.append((t, part, event.audio_s, event.done))
        while self._recent and self._recent[0][0] < t - _WINDOW_S:
            self._recent.popleft()

    def part_of(self, event: CacheProgress) -> str:
        """What became ready; empty when it is nothing of a song (another piece of it, a song left out)."""
        # Runs of before the parts were told: sound has a length, captions have none and no song's name.
        return event.part or ("sound" if event.audio_s > 0 and not self.tells_parts else "")

    def pace(self, part: str = "sound") -> float | None:
        """Seconds of sound made ready per second of late, for one part; None while that cannot be told."""
        if self.started_t is None or not self._recent:
            return None
        since = max(self.started_t, self._recent[-1][0] - _WINDOW_S)
        took_s = self._recent[-1][0] - since
        audio_s = sum(each_s for t, name, each_s, _ in self._recent if name == part and t > since)
        return audio_s / took_s if took_s > 0 and audio_s > 0 else None

    def eta_s(self, now: float) -> float | None:
        """Seconds left at the pace of late; None while that cannot be told."""
        if self.started_t is None or len(self._recent) < 2 or not self.total:
            return None
        (first_t, _, _, first_done), (last_t, _, _, last_done) = self._recent[0], self._recent[-1]
        if last_done <= first_done or last_t <= first_t:
            return None
        left_s = (last_t - first_t) / (last_done - first_done) * (self.total - last_done)
        return max(left_s - max(now - last_t, 0.0), 0.0)

    def num_ready(self) -> int:
        """Songs whose sound is ready."""
        return sum("sound" in song.parts for song in self.songs.values())
