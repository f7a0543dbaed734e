"""Duration buckets: which songs are trained together, at which length, cut where (spec config-formats.md 2.2).

All members of a bucket have the same number of samples at 48 kHz and therefore equal latents. The one exception is
the bucket of clips shorter than one fixed interval, which keep their own length and are padded and masked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.batches.crop import clip_lyrics
from engine.contract.events import RunWarning
from engine.dataset.report import WHOLE_SONG_SHARE, Problem, Song
from engine.model.card import SAMPLE_RATE, encoded_frames, whole_frames
from engine.planning.cuts import piece_starts
from engine.planning.lengths import MAX_CLIP_S, MIN_CLIP_S, USED_SHARE, choose_lengths, interval_length

if TYPE_CHECKING:
    from engine.contract.backends import AudioBlock


@dataclass(frozen=True, slots=True)
class Clip:
    """A part of a song that is cached as one entry.

    Attributes:
        song: Where it is from.
        piece: Index of the piece in the song, from 0.
        num_pieces: Pieces of that song.
        start_s: Where it begins, seconds.
        length_s: How long it is, seconds; a whole number of samples at 48 kHz.
        num_frames: Frames of its latent tensor: ``ceil(n44 / 4096)``, the last one may be partly zero padding.
        valid_frames: Frames filled with sound to their end: ``floor(s * 44100 / 4096)``. Only these are trained on;
            a bucket of one length is cropped to them, so that it needs no mask and its shapes are static.
        bucket: Label of its bucket, such as ``75s``.
        whole: It starts at 0 and holds at least 90 % of the song, so the whole text belongs to it.
        channels: 1 = mixed down to mono before it is encoded, 2 = stereo (``audio.channels``).
    """

    song: Song
    piece: int
    num_pieces: int
    start_s: float
    length_s: float
    num_frames: int
    valid_frames: int
    bucket: str
    whole: bool
    channels: int = 2

    @property
    def num_samples(self) -> int:
        """Length at 48 kHz."""
        return round(self.length_s * SAMPLE_RATE)

    @property
    def start_sample(self) -> int:
        """Beginning at 48 kHz."""
        return round(self.start_s * SAMPLE_RATE)

    @property
    def piece_words(self) -> str:
        """What a message about one of several pieces ends with: ``" (piece 2 of 3)"``; empty for a whole song."""
        return f" (piece {self.piece + 1} of {self.num_pieces})" if self.num_pieces > 1 else ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One song of a bucket: what the sampler visits. One of its clips is drawn per visit."""

    song: Song
    bucket: str
    clips: tuple[Clip, ...]

    @property
    def key(self) -> str:
        """Names the song among all backends."""
        return song_key(self.song)


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """What becomes of the songs of one backend.

    Attributes:
        entries: One per song that is used, in the order of the songs.
        problems: Songs left out, with the reason.
        notices: What concerns all of them.
        total_s: Seconds of the songs used, each counted up to the longest clip allowed (in full with ``pieces``).
        used_s: Seconds of them that lie in a clip.
    """

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    notices: tuple[RunWarning, ...]
    total_s: float
    used_s: float

    @property
    def sizes(self) -> dict[str, int]:
        """Songs per bucket label, shortest clips first."""
        by_length = sorted(self.entries, key=lambda entry: entry.clips[0].length_s)
        return dict(Counter(entry.bucket for entry in by_length))


def song_key(song: Song) -> str:
    """Names a song for everything that must not change when other songs come and go."""
    return f"{song.backend_id}/{song.relative_path}"


def plan_clips(songs: Sequence[Song], audio: AudioBlock, batch_size: int) -> BucketPlan:
    """Give every song of one backend a bucket and its clips. A pure function: same songs, same plan.

    Args:
        songs: Of one backend.
        audio: Its ``audio`` block.
        batch_size: Songs of one optimizer step (``train_batch_size`` × ``gradient_accumulation_steps``), so that
            accumulating changes nothing about the buckets.
    """
    problems: list[Problem] = []
    limit_s = min(audio.max_duration_s or MAX_CLIP_S, MAX_CLIP_S)
    limit = round(limit_s * SAMPLE_RATE)
    kept = [song for song in songs if _admitted(song, audio, limit_s, problems)]
    capped = [min(_num_samples(song), limit) for song in kept]

    if audio.duration_interval == "auto":
        lengths: list[int | None] = list(choose_lengths(capped, batch_size=batch_size, used_share=USED_SHARE))
    else:
        lengths = [interval_length(samples, float(audio.duration_interval)) for samples in capped]

    entries = []
    for song, samples, length in zip(kept, capped, lengths, strict=True):
        if length is None:
            bucket = f"<{_seconds_label(float(audio.duration_interval))}"
        else:
            bucket = _seconds_label(length / SAMPLE_RATE)
        entries.append(_entry(song, length or samples, bucket, audio))
    usable = [_num_samples(song) for song in kept] if audio.long_clip == "pieces" else capped
    total_s = sum(usable) / SAMPLE_RATE
    used_s = sum(clip.length_s for entry in entries for clip in entry.clips)
    return BucketPlan(
        entries=tuple(entries),
        problems=tuple(problems),
        notices=tuple(_notices(entries, used_s=used_s, total_s=total_s)),
        total_s=total_s,
        used_s=used_s,
    )


def _num_samples(song: Song) -> int:
    """Samples at 48 kHz that the file surely has."""
    return song.num_samples * SAMPLE_RATE // song.sample_rate


def _admitted(song: Song, audio: AudioBlock, limit_s: float, problems: list[Problem]) -> bool:
    """Whether a song is used at all. (Cut ones are used; the scan has named those beyond 240 s.)"""
    duration_s = _num_samples(song) / SAMPLE_RATE
    shortest_s = max(audio.min_duration_s or 0.0, MIN_CLIP_S)
    if duration_s < shortest_s:
        reason = f"left out: {duration_s:.2f} s is shorter than {shortest_s:g} s"
        problems.append(Problem(song.relative_path, "error", "too_short", reason))
        return False
    if duration_s > limit_s and audio.long_clip == "skip":
        reason = f"left out: {duration_s:.1f} s is longer than {limit_s:g} s (long_clip cut or pieces would keep it)"
        problems.append(Problem(song.relative_path, "error", "too_long", reason))
        return False
    return True


def _entry(song: Song, length: int, bucket: str, audio: AudioBlock) -> Entry:
    samples = _num_samples(song)
    num_pieces = samples // length if audio.long_clip == "pieces" else 1
    starts = piece_starts(samples, length, num_pieces=num_pieces, mode=audio.truncation_mode, key=song_key(song))
    clips = tuple(
        Clip(
            song=song,
            piece=piece,
            num_pieces=num_pieces,
            start_s=start / SAMPLE_RATE,
            length_s=length / SAMPLE_RATE,
            num_frames=encoded_frames(length),
            valid_frames=whole_frames(length),
            bucket=bucket,
            whole=start == 0 and length >= WHOLE_SONG_SHARE * samples,
            channels=audio.channels,
        )
        for piece, start in enumerate(starts)
    )
    return Entry(song=song, bucket=bucket, clips=clips)


def _seconds_label(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _notices(entries: Iterable[Entry], *, used_s: float, total_s: float) -> list[RunWarning]:
    notices = []
    if total_s and used_s < USED_SHARE * total_s:
        message = (
            f"{100 * used_s / total_s:.0f} % of the seconds are used: the songs differ so much in length that more "
            "cannot be had with full batches of equal clips. A smaller batch or long_clip pieces uses more."
        )
        notices.append(RunWarning(code="seconds_unused", message=message))
    clips = [clip for entry in entries for clip in entry.clips]
    withheld = sum(clip_lyrics(clip).withheld for clip in clips)
    if withheld:
        message = (
            f"{withheld} of {len(clips)} clips train without their lyrics: they are parts of a song, and the lyrics "
            "have no time stamps ([mm:ss.xx] before each line) that say which lines are sung there."
        )
        notices.append(RunWarning(code="lyrics_withheld", message=message))
    return notices
