"""Preparing everything a run trains on: text states of all captions, latents of all clips; resumable at any point."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip, Entry
from engine.cache.audio_latents import NOT_FINITE, SILENT, AudioLatents, encode_clips, is_silent
from engine.cache.decoding import decoded_clips
from engine.cache.progress import SongProgress
from engine.cache.text_states import TextStates
from engine.contract.errors import DataError
from engine.contract.events import CacheProgress
from engine.contract.files import file_bytes, remove_left_behind
from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.report import Problem

if TYPE_CHECKING:
    from engine.cache.ssl_build import FeaturePass
    from engine.model.autoencoder import MusicCodec
    from engine.model.text_encoder import TextEncoder

MAX_WORKERS_PER_CORE = 4

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
        max_workers: Decoding threads, capped at four per core.
        features: Makes the clips' musical features in a last pass; None = they are not wanted.

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
    _encode_captions(
        missing.captions,
        text=text,
        load_text_encoder=load_text_encoder,
        progress=progress,
        should_stop=should_stop,
        batch_size=text_encoder_batch_size,
    )
    failed = _encode_clips(
        missing.clips,
        audio=audio,
        load_codec=load_codec,
        progress=progress,
        should_stop=should_stop,
        batch_size=vae_batch_size,
        max_workers=max_workers,
    )
    num_without = 0
    if features is not None:
        num_without = features.run(
            missing.features,
            without=failed,
            progress=progress,
            should_stop=should_stop,
            num_workers=_workers(max_workers),
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


def _workers(max_workers: int) -> int:
    return max(1, min(max_workers, MAX_WORKERS_PER_CORE * (os.cpu_count() or 1)))


def _encode_captions(
    captions: Sequence[str],
    *,
    text: TextStates,
    load_text_encoder: Callable[[], TextEncoder],
    progress: SongProgress,
    should_stop: Callable[[], bool],
    batch_size: int,
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
    )
    if not finished:
        raise progress.stopped()


def _encode_clips(
    clips: Sequence[Clip],
    *,
    audio: AudioLatents,
    load_codec: Callable[[], MusicCodec],
    progress: SongProgress,
    should_stop: Callable[[], bool],
    batch_size: int,
    max_workers: int,
) -> dict[Clip, Problem]:
    """Encode and write clips; gives those that failed, with the reason."""
    failed: dict[Clip, Problem] = {}
    if not clips:
        return failed
    # Stable: songs stay in their order inside each length, and equal lengths meet in a batch.
    ordered = sorted(clips, key=lambda clip: clip.num_samples) if batch_size > 1 else clips
    workers = _workers(max_workers)
    codec = load_codec()
    with contextlib.closing(decoded_clips(ordered, num_workers=workers)) as decoded:
        for batch in _batches_of_equal_length(decoded, batch_size, audio=audio, failed=failed, progress=progress):
            # Asked before the work, not after: a stop must not cost the encoding of one more song.
            if should_stop():
                raise progress.stopped()
            for (clip, _), entry in zip(batch, encode_clips(codec, [samples for _, samples in batch]), strict=True):
                path = audio.path(clip)
                if bool(torch.isfinite(entry.latents).all()):
                    audio.write(clip, entry)
                    progress.ready(path, num_bytes=file_bytes(path), audio_s=clip.length_s)
                else:
                    failed[clip] = _left_out(clip, "not_finite", NOT_FINITE)
                    progress.failed(path, takes_song_along=False)
    return failed


def _batches_of_equal_length(
    decoded: Iterator[tuple[Clip, Tensor | UnreadableAudioError]],
    batch_size: int,
    *,
    audio: AudioLatents,
    failed: dict[Clip, Problem],
    progress: SongProgress,
) -> Iterator[list[tuple[Clip, Tensor]]]:
    """Gather decoded clips; what cannot be used goes to ``failed``."""
    batch: list[tuple[Clip, Tensor]] = []
    for clip, samples in decoded:
        if isinstance(samples, UnreadableAudioError):
            failed[clip] = _left_out(clip, "unreadable", samples.message)
        elif is_silent(samples):
            failed[clip] = _left_out(clip, "silent", SILENT)
        else:
            if batch and batch[0][1].shape != samples.shape:
                yield batch
                batch = []
            batch.append((clip, samples))
            if len(batch) == batch_size:
                yield batch
                batch = []
            continue
        progress.failed(audio.path(clip), takes_song_along=failed[clip].code == _TAKES_SONG_ALONG)
    if batch:
        yield batch


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
