"""The songs of a scan as a plan needs them: lengths are those of the pieces before they are grouped.

Grouping cuts a few per cent more off (`engine.batches.bucket`); the plan event of the run itself has the very lengths.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from engine.contract.backends import AudioBlock
from engine.contract.config import Config
from engine.dataset.report import Song
from engine.planning.facts import DataFacts

MAX_PIECE_S = 240.0
_HELD_OUT_FROM_SONGS = 20
_HELD_OUT_SHARE = 0.05


def data_facts(
    songs: Sequence[Song], config: Config, audio: Mapping[str, AudioBlock] | None = None, *, num_cached: int = 0
) -> DataFacts:
    """What will be trained.

    Args:
        songs: The usable ones.
        config: For the songs kept aside.
        audio: The ``audio`` block of each data set by its id; defaults for one that is not there.
        num_cached: Pieces that are prepared already.
    """
    blocks = audio or {}
    clips = [length for song in songs for length in piece_lengths(song, blocks.get(song.backend_id, AudioBlock()))]
    return DataFacts(
        clip_s=tuple(clips),
        bucket_s=(max(clips),) if clips else (),
        num_captions=len({caption for song in songs for caption in song.captions}),
        num_held_out=num_held_out(config, len(songs)),
        num_cached=min(num_cached, len(clips)),
    )


def piece_lengths(song: Song, audio: AudioBlock) -> list[float]:
    """Seconds of each piece that a song is trained in; none when it is left out for its length."""
    limit = min(audio.max_duration_s or MAX_PIECE_S, MAX_PIECE_S)
    if song.duration_s <= limit:
        return [song.duration_s]
    if audio.long_clip == "skip":
        return []
    if audio.long_clip == "cut":
        return [limit]
    return [limit] * int(song.duration_s // limit)


def num_held_out(config: Config, num_songs: int) -> int:
    """Songs that are kept aside: by ``validation_split``, else one in twenty from twenty songs on; never all."""
    share = config.validation_split
    if share is None:
        share = _HELD_OUT_SHARE if num_songs >= _HELD_OUT_FROM_SONGS else 0.0
    return min(max(1, round(share * num_songs)), max(num_songs - 1, 0)) if share > 0 else 0


def audio_now(block: AudioBlock, *, then: Config, now: Config) -> AudioBlock:
    """A data set's block after settings for all data sets changed: what it took from them is taken anew."""
    longest = block.max_duration_s
    if longest == then.audio_max_duration_seconds:
        longest = now.audio_max_duration_seconds
    long_clip = block.long_clip
    if long_clip == (then.long_clip or _long_clip(block.max_duration_s)):
        long_clip = now.long_clip or _long_clip(longest)
    return dataclasses.replace(block, max_duration_s=longest, long_clip=long_clip)


def _long_clip(longest_s: float | None) -> Literal["skip", "cut"]:
    """What happens to long songs where nothing is said about it."""
    return "cut" if longest_s is None else "skip"
