"""Which part of a song a clip is, and which of its lyrics belong to that part (spec config-formats.md 2.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.batches.bucket import Clip


def stable_fraction(key: str) -> float:
    """A number in [0, 1) that depends on ``key`` alone, the same on every machine and in every run."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48


def cut_start(num_samples: int, length: int, *, mode: str, key: str) -> int:
    """First sample of the part of a song that survives a cut.

    Args:
        num_samples: Length of the song.
        length: Length of the cut, at most ``num_samples``.
        mode: ``beginning``, ``end`` or ``random`` (``truncation_mode``).
        key: What a random start is drawn from: the same song starts at the same place in every run, because the
            place is frozen into its cache entry.
    """
    spare = num_samples - length
    if mode == "end":
        return spare
    if mode == "random":
        return int(stable_fraction(key) * (spare + 1))
    return 0


@dataclass(frozen=True, slots=True)
class ClipLyrics:
    """What is sung in a clip.

    Attributes:
        text: The words; empty when nothing is sung there or nothing is known.
        withheld: The song has words, but nobody knows which of them belong to this piece, so it trains without.
    """

    text: str
    withheld: bool = False


def clip_lyrics(clip: Clip) -> ClipLyrics:
    """Words of one clip: all of them, the timed lines inside it, or none (spec 2.2, ``long_clip``)."""
    text = clip.song.lyrics_between(clip.start_s, clip.start_s + clip.length_s)
    # With known times an empty piece is an instrumental passage; without them the words are merely unknown.
    return ClipLyrics(text or "", withheld=bool(clip.song.lyrics) and text is None and not clip.song.timed_lines)
