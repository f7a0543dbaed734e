"""The pass over the songs that adds musical features to their cache entries: resumable, stopped between clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from engine.batches.bucket import Clip, Entry
from engine.cache.audio_latents import AudioLatents
from engine.cache.clip_sound import UnusableSoundError
from engine.cache.decoding import ClipDecoder, Decoded
from engine.cache.progress import SongProgress
from engine.cache.store import SSL_PREFIX, AudioEntry, DamagedEntryError, shapes
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

    One model after the other hears all clips, so that only one is in memory at a time. An entry that has the features
    of one model alone is not whole: the next preparation makes the others.

    Attributes:
        plain: The entries with latents alone.
        featured: The entries with features, under names of their own.
        loaders: By the features' names, what loads the model that makes them; called only where some are missing: a
            prepared run loads no model at all.
        on_problem: Told of each clip that stays without.
        on_lost: Told why the models cannot be loaded; then all stay without. None = that is an error.
    """

    plain: AudioLatents
    featured: AudioLatents
    loaders: Mapping[str, Callable[[], Encoders]]
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
        for clip in clips:
            if clip in without:
                progress.failed(self.featured.path(clip), takes_song_along=False)
        wanted = [clip for clip in clips if clip not in without]
        failed: set[Clip] = set()
        for name, load in self.loaders.items():
            lacking = [clip for clip in wanted if clip not in failed and not self._has(clip, name)]
            encoders = self._loaded(load) if lacking else None
            if encoders is None and lacking:
                for clip in lacking:
                    self._give_up(clip, progress)
                failed.update(lacking)
            if encoders is None:
                continue
            with ClipDecoder(lacking, max_workers=max_workers) as decoded:
                for clip, samples in decoded:
                    if should_stop():
                        raise progress.stopped()
                    problem = self._make(clip, samples, encoders)
                    if problem is not None:
                        failed.add(clip)
                        self.on_problem(problem)
                        self._give_up(clip, progress)
                    elif self.featured.is_whole(clip):
                        path = self.featured.path(clip)
                        progress.ready(path, num_bytes=file_bytes(path), audio_s=clip.length_s)
            del encoders
        return len(clips) - len(wanted) + len(failed)

    def _has(self, clip: Clip, name: str) -> bool:
        return f"{SSL_PREFIX}{name}" in shapes(self.featured.path(clip))

    def _give_up(self, clip: Clip, progress: SongProgress) -> None:
        """A clip stays without features: what one model gave of it is of no use without the other's."""
        self.featured.forget(clip)
        progress.failed(self.featured.path(clip), takes_song_along=False)

    def _loaded(self, load: Callable[[], Encoders]) -> Encoders | None:
        try:
            return load()
        except ModelError as error:
            if self.on_lost is None:
                raise
            self.on_lost(f"the models for musical features cannot be used: {error.message}. {error.hint}".strip())
            return None

    def _make(self, clip: Clip, samples: Decoded, encoders: Encoders) -> Problem | None:
        """Add a model's features to the entry of one clip; gives the reason where that cannot be."""
        if isinstance(samples, UnusableSoundError):
            return _without(clip, samples.code, samples.reason)
        features = encoders.encode(samples)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in features.values()):
            return _without(clip, "not_finite", "they are not finite numbers")
        try:
            entry = self._begun(clip)
        except DamagedEntryError as error:
            return _without(clip, "cache_damaged", f"its cache entry is damaged ({error.reason})")
        except FileNotFoundError:
            return _without(clip, "cache_damaged", "its cache entry is gone")
        self.featured.write(clip, dataclasses.replace(entry, ssl=entry.ssl | features))
        return None

    def _begun(self, clip: Clip) -> AudioEntry:
        """The entry with what the models before gave, else the plain one."""
        is_begun = any(self._has(clip, name) for name in self.loaders)
        return self.featured.read(clip) if is_begun else self.plain.read(clip)


def _without(clip: Clip, code: str, reason: str) -> Problem:
    words = f"trains without musical features: {reason}{clip.piece_words}"
    return Problem(file=clip.song.relative_path, severity="warning", code=code, reason=words)
