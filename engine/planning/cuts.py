"""Where a song is cut: the parts of it that are trained (spec config-formats.md 2.2), for the run and for the eye."""

from __future__ import annotations

import hashlib


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


def piece_starts(num_samples: int, length: int, *, num_pieces: int, mode: str, key: str) -> list[int]:
    """First sample of each piece of a song: one after the other, or where the one cut is."""
    if num_pieces > 1:
        return [piece * length for piece in range(num_pieces)]
    return [cut_start(num_samples, length, mode=mode, key=key)]
