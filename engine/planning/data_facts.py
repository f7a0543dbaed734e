"""The songs of a scan as a plan needs them: pieces and their lengths, by the same rule that groups them for training.

Only the songs kept aside are not told apart here, so a length may differ from the run's by a little.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

from engine.contract.backends import AudioBlock
from engine.contract.config import Config
from engine.dataset.report import Song
from engine.planning.facts import DataFacts
from engine.planning.lengths import MAX_CLIP_S, MIN_CLIP_S, SAMPLE_RATE, USED_SHARE, choose_lengths, interval_length

_HELD_OUT_FROM_SONGS = 20
_HELD_OUT_SHARE = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class SongUse:
    """How one song is trained.

    Attributes:
        length_s: Seconds of each of its pieces: the length of its group.
        num_pieces: Pieces; one of them is drawn each time.
    """

    length_s: float
    num_pieces: int = 1


def data_facts(
    songs: Sequence[Song], config: Config, audio: Mapping[str, AudioBlock] | None = None, *, num_cached: int = 0
) -> DataFacts:
    """What will be trained.

    Args:
        songs: The usable ones.
        config: For the songs of a step and those kept aside.
        audio: The ``audio`` block of each data set by its id; defaults for one that is not there.
        num_cached: Pieces that are prepared already.
    """
    uses = song_uses(songs, config, audio)
    clips = [use.length_s for use in uses if use is not None for _ in range(use.num_pieces)]
    used = [song for song, use in zip(songs, uses, strict=True) if use is not None]
    aside = num_held_out(config, len(used))
    return DataFacts(
        clip_s=tuple(clips),
        bucket_s=tuple(sorted(set(clips))),
        num_captions=len({caption for song in used for caption in song.captions}),
        num_held_out=aside,
        num_songs=sum(song.num_copies for song in used) - aside,
        num_cached=min(num_cached, len(clips)),
    )


def song_uses(
    songs: Sequence[Song], config: Config, audio: Mapping[str, AudioBlock] | None = None
) -> list[SongUse | None]:
    """How each song is trained; None when it is left out for its length."""
    batch_size = config.train_batch_size * config.gradient_accumulation_steps
    uses: list[SongUse | None] = [None] * len(songs)
    for backend_id in dict.fromkeys(song.backend_id for song in songs):
        block = (audio or {}).get(backend_id, AudioBlock())
        places = [
            place
            for place, song in enumerate(songs)
            if song.backend_id == backend_id and _is_admitted(_num_samples(song) / SAMPLE_RATE, block)
        ]
        whole = [_num_samples(songs[place]) for place in places]
        for place, samples, length in zip(places, whole, _grouped(whole, block, batch_size), strict=True):
            pieces = max(1, samples // length) if block.long_clip == "pieces" else 1
            uses[place] = SongUse(length / SAMPLE_RATE, pieces)
    return uses


def _grouped(samples: Sequence[int], block: AudioBlock, batch_size: int) -> list[int]:
    """The length of each song's group, in samples."""
    limit = round(_limit_s(block) * SAMPLE_RATE)
    capped = [min(one, limit) for one in samples]
    if block.duration_interval == "auto":
        return choose_lengths(capped, batch_size=batch_size, used_share=USED_SHARE)
    # Shorter than one interval: it keeps its own length.
    return [interval_length(one, float(block.duration_interval)) or one for one in capped]


def _is_admitted(seconds: float, block: AudioBlock) -> bool:
    if seconds < max(block.min_duration_s or 0.0, MIN_CLIP_S):
        return False
    return seconds <= _limit_s(block) or block.long_clip != "skip"


def _limit_s(block: AudioBlock) -> float:
    return min(block.max_duration_s or MAX_CLIP_S, MAX_CLIP_S)


def _num_samples(song: Song) -> int:
    """Samples at 48 kHz that the file surely has."""
    return song.num_samples * SAMPLE_RATE // song.sample_rate


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
