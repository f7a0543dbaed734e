"""The pass over the songs that adds musical features to their cache entries: resumable, stopped between clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import torch
from torch import Tensor

from engine.batches.bucket import Clip, Entry
from engine.cache.audio_latents import AudioLatents
from engine.cache.clip_sound import UnusableSoundError
from engine.cache.decoding import ClipDecoder, Decoded
from engine.cache.progress import SongProgress
from engine.cache.store import DamagedEntryError
from engine.contract.errors import ModelError
from engine.contract.files import file_bytes
from engine.dataset.report import Problem


class Encoders(Protocol):
    """What gives a clip's features; `engine.model.ssl_encoder.FeatureEncoders` is the real one."""

    def encode(self, audio: Tensor) -> dict[str, Tensor]:
        """(channels, n) float32 at 48 kHz to (frames, width) float16 by name."""


@dataclasses.dataclass(frozen=True)
class FeaturePass:
    """Writes, beside each clip's plain entry, the one with its features.

    Attributes:
        plain: The entries with latents alone.
        featured: The entries with features, under names of their own.
        load_encoders: Called only when features are missing: a prepared run loads no model at all.
        on_problem: Told of each clip that stays without.
        on_lost: Told why the models cannot be loaded; then all stay without. None = that is an error.
    """

    plain: AudioLatents
    featured: AudioLatents
    load_encoders: Callable[[], Encoders]
    on_problem: Callable[[Problem], None]
    on_lost: Callable[[str], None] | None = None

    def missing(self, clips: Sequence[Clip]) -> list[Clip]:
        """Those without a whole entry with features (told by the headers alone)."""
        return [clip for clip in clips if not self.featured.is_whole(clip)]

    def expect(self, progress: SongProgress, entries: Sequence[Entry], missing: Collection[Clip]) -> None:
        """Tell ``progress`` which features each song consists of."""
        absent = {self.featured.path(clip) for clip in missing}
        for entry in entries:
            paths = [self.featured.path(clip) for clip in entry.clips]
            there = {path: None if path in absent else file_bytes(path) for path in paths}
            progress.expect(entry.song.relative_path, "features", there)

    def run(
        self,
        clips: Sequence[Clip],
        *,
        without: Collection[Clip],
        progress: SongProgress,
        should_stop: Callable[[], bool],
        max_workers: int,
    ) -> int:
        """Make the features of ``clips``; each is on disk as soon as it is made.

        Args:
            clips: Those without features.
            without: Clips that have no latents: nothing is made of them.
            progress: Counts.
            should_stop: Asked before each clip.
            max_workers: Most threads or processes that decode.

        Returns:
            How many stay without features.

        Raises:
            StopRequested: ``should_stop`` said so.
            ModelError: The models cannot be loaded, and nothing is to be done without them (no ``on_lost``).
            DiskError: The disk is full or not writable.
        """
        wanted = [clip for clip in clips if clip not in without]
        num_failed = len(clips) - len(wanted)
        for clip in clips:
            if clip in without:
                progress.failed(self.featured.path(clip), takes_song_along=False)
        if not wanted:
            return num_failed
        encoders = self._loaded()
        if encoders is None:
            for clip in wanted:
                progress.failed(self.featured.path(clip), takes_song_along=False)
            return len(clips)
        with ClipDecoder(wanted, max_workers=max_workers) as decoded:
            for clip, samples in decoded:
                if should_stop():
                    raise progress.stopped()
                problem = self._make(clip, samples, encoders)
                path = self.featured.path(clip)
                if problem is None:
                    progress.ready(path, num_bytes=file_bytes(path), audio_s=clip.length_s)
                else:
                    num_failed += 1
                    self.on_problem(problem)
                    progress.failed(path, takes_song_along=False)
        return num_failed

    def _loaded(self) -> Encoders | None:
        try:
            return self.load_encoders()
        except ModelError as error:
            if self.on_lost is None:
                raise
            self.on_lost(f"the models for musical features cannot be used: {error.message}. {error.hint}".strip())
            return None

    def _make(self, clip: Clip, samples: Decoded, encoders: Encoders) -> Problem | None:
        """Write the entry of one clip; gives the reason where that cannot be."""
        if isinstance(samples, UnusableSoundError):
            return _without(clip, samples.code, samples.reason)
        features = encoders.encode(samples)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in features.values()):
            return _without(clip, "not_finite", "they are not finite numbers")
        try:
            entry = self.plain.read(clip)
        except DamagedEntryError as error:
            return _without(clip, "cache_damaged", f"its cache entry is damaged ({error.reason})")
        except FileNotFoundError:
            return _without(clip, "cache_damaged", "its cache entry is gone")
        self.featured.write(clip, dataclasses.replace(entry, ssl=features))
        return None


def _without(clip: Clip, code: str, reason: str) -> Problem:
    words = f"trains without musical features: {reason}{clip.piece_words}"
    return Problem(file=clip.song.relative_path, severity="warning", code=code, reason=words)
