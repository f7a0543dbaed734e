"""Preparing everything a run trains on: text states of all captions, latents of all clips; resumable at any point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip, Entry
from engine.cache.audio_latents import NOT_FINITE, AudioLatents, begin_encoding, finished_entries
from engine.cache.behind import Behind
from engine.cache.clip_sound import UnusableSoundError
from engine.cache.decoding import ClipDecoder
from engine.cache.progress import SongProgress
from engine.cache.text_states import TextStates
from engine.contract.errors import DataError
from engine.contract.events import CacheProgress
from engine.contract.files import file_bytes, remove_left_behind
from engine.dataset.report import Problem
from engine.model.card import CODEC_RATE

if TYPE_CHECKING:
    from engine.cache.ssl_build import FeaturePass
    from engine.model.autoencoder import MusicCodec
    from engine.model.text_encoder import TextEncoder

# Of a piece: a file that breaks off is damaged as a whole. A silent piece goes alone.
_TAKES_SONG_ALONG = "unreadable"


@dataclass(frozen=True, slots=True)
class CacheIndex:
    """What a preparation gave.

    Attributes:
        entries: The songs that can be trained on, with the clips that can.
        num_encoded: Entries (audio and text) made now.
        num_reused: Entries that were there.
        audio_s: Seconds of sound encoded now.
    """

    entries: tuple[Entry, ...]
    num_encoded: int
    num_reused: int
    audio_s: float


@dataclass(frozen=True, slots=True)
class _Missing:
    """What is not in the cache yet: captions, clips without latents, clips without musical features."""

    captions: Sequence[str]
    clips: Sequence[Clip]
    features: Sequence[Clip]

    def __len__(self) -> int:
        return len(self.captions) + len(self.clips) + len(self.features)

    def clean_up(self, audio: AudioLatents, text: TextStates) -> None:
        """Delete what a preparation that was killed in the middle of a write left aside, next to what is missing."""
        folders = {audio.path(clip).parent for clip in (*self.clips, *self.features)}
        for folder in folders | (text.folders if self.captions else set()):
            remove_left_behind(folder)


def build_cache(
    entries: Sequence[Entry],
    captions: Sequence[str],
    *,
    audio: AudioLatents,
    text: TextStates,
    load_codec: Callable[[], MusicCodec],
    load_text_encoder: Callable[[], TextEncoder],
    on_progress: Callable[[CacheProgress], None],
    on_problem: Callable[[Problem], None],
    should_stop: Callable[[], bool],
    vae_batch_size: int = 1,
    text_encoder_batch_size: int = 1,
    max_workers: int = 32,
    features: FeaturePass | None = None,
    write_behind: int = 0,
) -> CacheIndex:
    """Encode what is not cached yet. Everything finished is on disk at once, so any end of it can be gone on from.

    Args:
        entries: All songs, held-out ones too.
        captions: All captions, the empty one and the validation prompts; repeated ones count once.
        audio: The cache of latents.
        text: The cache of text states.
        load_codec: Called only when a clip is missing: a prepared run loads no encoder at all.
        load_text_encoder: Called only when a caption is missing; dropped before the codec is loaded.
        on_progress: Told where it begins, what of each song is there already, then each entry; see `SongProgress`.
        on_problem: Called for each file that is left out.
        should_stop: Asked between entries.
        vae_batch_size: Clips of equal length encoded together.
        text_encoder_batch_size: Captions encoded together.
        max_workers: Most threads or processes that decode; see `ClipDecoder`.
        features: Makes the clips' musical features in a last pass; None = they are not wanted.
        write_behind: Batches that a CUDA card may have encoded, or still encodes, and that are not written yet; 0 =
            each is on disk before the next one is begun.

    Raises:
        StopRequested: ``should_stop`` said so.
        DataError: Nothing could be decoded.
        DiskError: The disk is full or not writable.
    """
    # Two entries may share a file: the same song in two backends with one folder.
    clips = list({audio.path(clip): clip for entry in entries for clip in entry.clips}.values())
    missing = _Missing(
        captions=text.missing(captions),
        clips=[clip for clip in clips if not audio.is_whole(clip)],
        features=features.missing(clips) if features is not None else [],
    )
    missing.clean_up(audio, text)
    num_entries = len(set(captions)) + len(clips) * (1 if features is None else 2)
    num_reused = num_entries - len(missing)
    progress = SongProgress(done=num_reused, total=num_entries, report=on_progress)
    _expect_songs(progress, entries, audio=audio, text=text, missing=missing)
    if features is not None:
        features.expect(progress, entries, missing.features)
    progress.begin()
    batches = _ClipBatches(missing.clips, batch_size=vae_batch_size)
    # Begun now: while the captions are encoded, clips are decoded already.
    with ClipDecoder(batches.ordered, max_workers=max_workers, rate=CODEC_RATE, pin=write_behind > 0) as decoded:
        _encode_captions(
            missing.captions,
            text=text,
            load_text_encoder=load_text_encoder,
            progress=progress,
            should_stop=should_stop,
            batch_size=text_encoder_batch_size,
            write_behind=write_behind,
        )
        if missing.clips:
            _encode_clips(
                batches,
                decoded,
                audio=audio,
                load_codec=load_codec,
                progress=progress,
                should_stop=should_stop,
                write_behind=write_behind,
            )
    failed = batches.failed
    num_without = 0
    if features is not None:
        num_without = features.run(
            missing.features,
            without=failed,
            progress=progress,
            should_stop=should_stop,
            max_workers=max_workers,
        )
    for problem in failed.values():
        on_problem(problem)
    return CacheIndex(
        entries=_without_failed(entries, failed),
        num_encoded=progress.done - num_reused - len(failed) - num_without,
        num_reused=num_reused,
        audio_s=progress.audio_s,
    )


def _expect_songs(
    progress: SongProgress,
    entries: Sequence[Entry],
    *,
    audio: AudioLatents,
    text: TextStates,
    missing: _Missing,
) -> None:
    """Tell ``progress`` what each song consists of: its captions by their texts, its clips by their files."""
    absent: set[str | Path] = {*missing.captions, *(audio.path(clip) for clip in missing.clips)}
    for entry in entries:
        captions = {
            caption: None if caption in absent else file_bytes(text.path(caption)) for caption in entry.song.captions
        }
        progress.expect(entry.song.relative_path, "captions", captions)
        paths = [audio.path(clip) for clip in entry.clips]
        sound = {path: None if path in absent else file_bytes(path) for path in paths}
        progress.expect(entry.song.relative_path, "sound", sound)


def _encode_captions(
    captions: Sequence[str],
    *,
    text: TextStates,
    load_text_encoder: Callable[[], TextEncoder],
    progress: SongProgress,
    should_stop: Callable[[], bool],
    batch_size: int,
    write_behind: int,
) -> None:
    """Encode and write captions; the encoder lives no longer than this call, the codec needs its memory."""
    if not captions:
        return
    finished = text.encode(
        captions,
        load_text_encoder(),
        batch_size=batch_size,
        on_encoded=lambda caption: progress.ready(caption, num_bytes=file_bytes(text.path(caption))),
        should_stop=should_stop,
        write_behind=write_behind,
    )
    if not finished:
        raise progress.stopped()


_Batch = list[tuple[Clip, Tensor]]
"""Clips of one length with their sound as the codec hears it."""


class _ClipBatches:
    """Gathers decoded clips of equal length.

    Args:
        clips: What is encoded.
        batch_size: How many together.

    Attributes:
        ordered: The clips in the order in which they must be decoded.
        failed: Those that cannot be used, with the reason.
    """

    def __init__(self, clips: Sequence[Clip], *, batch_size: int) -> None:
        # Stable: songs stay in their order inside each length, and equal lengths meet in a batch.
        self.ordered = sorted(clips, key=lambda clip: clip.num_samples) if batch_size > 1 else clips
        self.failed: dict[Clip, Problem] = {}
        self._batch_size = batch_size

    def of(self, decoded: ClipDecoder, *, on_failed: Callable[[Clip], None]) -> Iterator[_Batch]:
        """Batches; what cannot be used goes to ``failed``, and ``on_failed`` is told."""
        batch: _Batch = []
        for clip, sound in decoded:
            if isinstance(sound, UnusableSoundError):
                self.failed[clip] = _left_out(clip, sound.code, sound.reason)
                on_failed(clip)
                continue
            if batch and batch[0][0].num_samples != clip.num_samples:
                yield batch
                batch = []
            batch.append((clip, sound))
            if len(batch) == self._batch_size:
                yield batch
                batch = []
        if batch:
            yield batch


def _encode_clips(
    batches: _ClipBatches,
    decoded: ClipDecoder,
    *,
    audio: AudioLatents,
    load_codec: Callable[[], MusicCodec],
    progress: SongProgress,
    should_stop: Callable[[], bool],
    write_behind: int,
) -> None:
    """Encode and write clips: while a thread waits for latents and writes them, the device has the next sounds."""
    codec = load_codec()

    def failed(clip: Clip) -> None:
        takes_song_along = batches.failed[clip].code == _TAKES_SONG_ALONG
        progress.failed(audio.path(clip), takes_song_along=takes_song_along)

    def tell(batch: _Batch, written: Sequence[int | None]) -> None:
        for (clip, _), num_bytes in zip(batch, written, strict=True):
            if num_bytes is None:
                batches.failed[clip] = _left_out(clip, "not_finite", NOT_FINITE)
                failed(clip)
            else:
                progress.ready(audio.path(clip), num_bytes=num_bytes, audio_s=clip.length_s)

    with Behind(write_behind, tell) as behind:
        for batch in batches.of(decoded, on_failed=failed):
            behind.settle(write_behind)
            # Asked before the work, not after: a stop must not cost the encoding of one more song.
            if should_stop():
                behind.settle()
                raise progress.stopped()
            latents = begin_encoding(codec, [sound for _, sound in batch])
            behind.submit(batch, partial(_write, batch, latents, codec=codec, audio=audio))
        behind.settle()


def _write(batch: _Batch, latents: Tensor, *, codec: MusicCodec, audio: AudioLatents) -> list[int | None]:
    """Wait for the latents of a batch and write them; gives each entry's bytes, None where latents are no numbers."""
    sounds = [sound for _, sound in batch]
    entries = finished_entries(codec, sounds, latents, num_samples=batch[0][0].num_samples)
    written: list[int | None] = []
    for (clip, _), entry in zip(batch, entries, strict=True):
        is_finite = bool(torch.isfinite(entry.latents).all())
        if is_finite:
            audio.write(clip, entry)
        written.append(file_bytes(audio.path(clip)) if is_finite else None)
    return written


def _left_out(clip: Clip, code: str, reason: str) -> Problem:
    return Problem(
        file=clip.song.relative_path, severity="error", code=code, reason=f"left out: {reason}{clip.piece_words}"
    )


def _without_failed(entries: Sequence[Entry], failed: dict[Clip, Problem]) -> tuple[Entry, ...]:
    """Songs with the clips that can be used: silent pieces go alone, an unreadable piece takes its song with it.

    Raises:
        DataError: There are songs, and none of them can be used.
    """
    kept = []
    for entry in entries:
        clips = tuple(clip for clip in entry.clips if clip not in failed)
        damaged = any(failed[clip].code == _TAKES_SONG_ALONG for clip in entry.clips if clip in failed)
        if clips and not damaged:
            kept.append(replace(entry, clips=clips))
    if entries and not kept:
        raise DataError(
            f"none of the {len(entries)} songs can be decoded",
            hint="The reason for each file is named above. Convert one to WAV or FLAC and try again.",
        )
    return tuple(kept)
