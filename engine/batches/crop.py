"""Which of a song's lyrics belong to a part of it (spec config-formats.md 2.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.batches.bucket import Clip


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
