"""One cache entry at a time, in the middle of a run: made when first needed, or again where one was damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.audio_latents import NOT_FINITE, encode_clips, is_silent, load_clip_audio
from engine.cache.clip_sound import SILENT, UnusableSoundError
from engine.cache.store import AudioEntry
from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.report import Problem

if TYPE_CHECKING:
    from engine.model.autoencoder import MusicCodec

AddFeatures = Callable[[AudioEntry, Tensor], AudioEntry]
"""Gives an entry its musical features from the clip's sound, (2, samples) float32 at 48 kHz."""


def encode_clip(clip: Clip, load_codec: Callable[[], MusicCodec], add_features: AddFeatures | None) -> AudioEntry:
    """The entry of a clip, made from its file; nothing is written.

    Args:
        clip: What to encode.
        load_codec: Called once the sound is known to be usable.
        add_features: None where no musical features are wanted.

    Raises:
        UnusableSoundError: There is nothing in it to train on.
    """
    try:
        samples = load_clip_audio(clip)
    except UnreadableAudioError as error:
        raise UnusableSoundError("unreadable", error.message) from error
    if is_silent(samples):
        raise UnusableSoundError("silent", SILENT)
    [entry] = encode_clips(load_codec(), [samples])
    if not bool(torch.isfinite(entry.latents).all()):
        raise UnusableSoundError("not_finite", NOT_FINITE)
    return entry if add_features is None else add_features(entry, samples)


def damaged_clip(clip: Clip) -> Problem:
    """What is said of a clip whose entry was found damaged."""
    return _damaged(clip.song.relative_path, "its cache entry was damaged: encoded again")


def damaged_caption(caption: str) -> Problem:
    """What is said of a caption whose states were found damaged."""
    return _damaged(caption, "the cached states of this caption were damaged: encoded again")


def _damaged(file: str, reason: str) -> Problem:
    return Problem(file=file, severity="warning", code="cache_damaged", reason=reason)
