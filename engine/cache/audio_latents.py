"""From a file to the latents of a clip: decode, stereo, 48 kHz, cut exactly, encode (spec ace-step-v1.md 6.2, 9.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from engine.batches.bucket import Clip
from engine.cache.key import audio_key
from engine.cache.store import (
    LATENT_LENGTH,
    LATENTS,
    SSL_PREFIX,
    AudioEntry,
    CacheStore,
    read_audio_entry,
    shapes,
    write_audio,
)
from engine.dataset.audio_file import read_audio
from engine.model.card import SAMPLE_RATE
from engine.model.resample import resample

if TYPE_CHECKING:
    from engine.model.autoencoder import MusicCodec

SILENT_SHARE = 0.95
"""A clip with more exact zeros than this is left out, as upstream does (spec 9.1)."""

SILENT = "more than 95 % of it is silence"
NOT_FINITE = "its latents are not finite numbers"
"""Why a clip is left out, in words."""

# Names entries where nothing is known of the models their features were made with.
_UNKNOWN_ID = "unknown"

# Read beyond the clip's end, so that the resampler's filter sees music there and not a sudden stop.
_MARGIN_S = 0.01


class AudioLatents:
    """Cached latents of clips, by clip.

    Args:
        store: Where they are.
        encoder_id: `codec_fingerprint` of the codec.
        ssl_names: Names, as they are stored, of the self-supervised features in entries; none = latents alone.
        ssl_id: Identifies what those are made with.
        fallback: Read where there is no entry here: a clip without features still has its latents.
        follows_entries: An entry of another length than planned is whole too (``vae_cache_scan_behaviour`` sync).
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        encoder_id: str,
        ssl_names: Sequence[str] = (),
        ssl_id: str = "",
        fallback: AudioLatents | None = None,
        follows_entries: bool = False,
    ) -> None:
        self._store = store
        self._encoder_id = encoder_id
        self.ssl_names = tuple(ssl_names)
        self._ssl_id = ssl_id
        self._fallback = fallback
        self._follows_entries = follows_entries

    def path(self, clip: Clip) -> Path:
        """File of a clip's entry."""
        ssl_id = (self._ssl_id or _UNKNOWN_ID) if self.ssl_names else ""
        key = audio_key(clip, encoder_id=self._encoder_id, ssl_id=ssl_id)
        return self._store.audio_path(key, backend_id=clip.song.backend_id, relative_path=clip.song.relative_path)

    def folder(self, backend_id: str) -> Path:
        """Where the entries of a data set stand."""
        return self._store.audio_folders.get(backend_id, self._store.audio_folder)

    @property
    def plain(self) -> AudioLatents:
        """The entries without features: those that are read where this has none."""
        return self if self._fallback is None else self._fallback

    def is_whole(self, clip: Clip) -> bool:
        """Whether a whole entry of the right length is there, by its header alone."""
        found = shapes(self.path(clip))
        wanted = {LATENT_LENGTH, LATENTS, *(f"{SSL_PREFIX}{name}" for name in self.ssl_names)}
        if not wanted <= found.keys():
            return False
        return self._follows_entries or found[LATENTS][-1:] == (clip.num_frames,)

    def read(self, clip: Clip) -> AudioEntry:
        """The entry of a clip, memory-mapped.

        Raises:
            DamagedEntryError: Torn or not finite, and deleted.
            FileNotFoundError: Never encoded.
        """
        try:
            return read_audio_entry(self.path(clip))
        except FileNotFoundError:
            if self._fallback is None:
                raise
            return self._fallback.read(clip)

    def write(self, clip: Clip, entry: AudioEntry) -> None:
        """Store the entry of a clip.

        Raises:
            DiskError: The disk is full or not writable.
            ValueError: The latents are not finite.
        """
        write_audio(self.path(clip), entry)

    def forget(self, clip: Clip) -> None:
        """Delete the entry of a clip, if there is one."""
        self.path(clip).unlink(missing_ok=True)


def load_clip_audio(clip: Clip) -> Tensor:
    """Decode a clip as the codec wants it; mixed down first when ``clip.channels`` is 1.

    Returns:
        (2, clip.num_samples) float32 at 48 kHz, within ±1.

    Raises:
        UnreadableAudioError: The file cannot be decoded that far.
    """
    samples, rate = read_audio(clip.song.path, start_s=clip.start_s, duration_s=clip.length_s + _MARGIN_S)
    audio = to_stereo(torch.from_numpy(samples), channels=clip.channels)
    audio = resample(audio, rate, SAMPLE_RATE)[:, : clip.num_samples]
    # The resampler may give a sample or two less than the song's length says.
    return functional.pad(audio, (0, clip.num_samples - audio.shape[1])).clamp(-1.0, 1.0)


def to_stereo(audio: Tensor, *, channels: int = 2) -> Tensor:
    """(channels, n) of any kind to (2, n).

    Mono is doubled. Of more than two channels the first two are taken, as upstream does: they are front left and
    front right in 5.1 and 7.1 files (spec 9.1).

    Args:
        audio: (channels, n).
        channels: 1 = mix the two down to their mean and double that.
    """
    if audio.shape[0] == 1:
        return audio.repeat(2, 1)
    audio = audio[:2]
    return audio.mean(dim=0, keepdim=True).repeat(2, 1) if channels == 1 else audio


def is_silent(audio: Tensor) -> bool:
    """Whether more than 95 % of the samples are exactly zero in both channels."""
    return bool((audio == 0).all(dim=0).float().mean() > SILENT_SHARE)


def encode_clips(codec: MusicCodec, clips: Sequence[Tensor]) -> list[AudioEntry]:
    """Encode clips of equal length together.

    Args:
        codec: On any device.
        clips: (2, n) float32 at 48 kHz each.

    Returns:
        One entry per clip, on the CPU.
    """
    latents, lengths = codec.encode(torch.stack(list(clips)))
    return [
        AudioEntry(latents=latent, latent_length=int(length))
        for latent, length in zip(latents.float().cpu(), lengths, strict=True)
    ]
