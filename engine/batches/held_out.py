"""Songs set aside to measure on: which ones, and the fixed visits of a measurement."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from engine.batches.bucket import Entry, song_key
from engine.batches.sampler import Group, Visit
from engine.dataset.report import Song


def split_held_out(songs: Sequence[Song], share: float, seed: int) -> tuple[list[Song], list[Song]]:
    """Set songs aside that are never trained on.

    The choice hangs on each song's own key, so songs that come later change it little. Backends, and songs with and
    without lyrics, give in proportion. A file that stands in several backends is set aside in all of them.

    Args:
        songs: All usable songs.
        share: 0 … 0.5, of the files; above 0 at least one file is set aside, and never all.
        seed: The run's seed.

    Returns:
        Training songs and held-out songs, both in the order given.
    """
    files: dict[str, Song] = {}
    for song in sorted(songs, key=lambda song: _rank(song, seed)):
        files.setdefault(_file(song), song)
    wanted = min(max(1, round(share * len(files))), len(files) - 1) if share > 0 else 0
    if wanted <= 0:
        return list(songs), []
    strata: dict[tuple[str, bool], list[Song]] = {}
    for song in files.values():
        strata.setdefault((song.backend_id, bool(song.lyrics)), []).append(song)
    # The i-th of n songs of a stratum stands at (i + ½) / n: the first `wanted` over all strata are in proportion.
    queue = sorted(
        ((place + 0.5) / len(members), _rank(song, seed), _file(song))
        for members in strata.values()
        for place, song in enumerate(members)
    )
    held = {file for _, _, file in queue[:wanted]}
    return [song for song in songs if _file(song) not in held], [song for song in songs if _file(song) in held]


def held_out_groups(entries: Sequence[Entry], *, num_draws: int = 8, batch_size: int = 1) -> list[Group]:
    """The visits of one measurement: each held-out song with ``num_draws`` fixed noise and timestep pairs.

    A visit's position is made of the song's key and the index of the draw, so a song's pairs do not depend on which
    other songs are there, nor on the batch size.
    """
    groups: list[Group] = []
    for entry in entries:
        visits = [
            Visit(entry=entry, position=_position(entry.key, draw), held_out_draw=draw) for draw in range(num_draws)
        ]
        # Draws of one song share its length, so a batch of them needs no padding.
        micro_batches = tuple(tuple(visits[begin : begin + batch_size]) for begin in range(0, num_draws, batch_size))
        groups.append(Group(len(groups), entry.song.backend_id, entry.bucket, micro_batches))
    return groups


def _file(song: Song) -> str:
    """The file behind a song, whatever links lead to it."""
    return os.path.realpath(song.path)


def _rank(song: Song, seed: int) -> str:
    return hashlib.sha256(f"{seed}/held-out/{song_key(song)}".encode()).hexdigest()


def _position(key: str, draw: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{key}/{draw}".encode()).digest()[:7], "big")
