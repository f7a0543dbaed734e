"""From a file to the latents of a clip: decode, stereo, 48 kHz, cut exactly, encode (spec ace-step-v1.md 6.2, 9.1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.clip_sound import ClipOrder, as_heard, is_silence, read_clip, stereo
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
from engine.model.card import CODEC_RATE, whole_frames

if TYPE_CHECKING:
    from engine.model.autoencoder import MusicCodec

NOT_FINITE = "its latents are not finite numbers"
"""Why a clip is left out, in words; `engine.cache.clip_sound` has the other reason."""

# Names entries where nothing is known of the models their features were made with.
_UNKNOWN_ID = "unknown"


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
    """Decode a clip as `encode_clips` wants it, silent or not; mixed down first when ``clip.channels`` is 1.

    Returns:
        (2, clip.num_samples) float32 at 48 kHz, within ±1.

    Raises:
        UnreadableAudioError: The file cannot be decoded that far.
    """
    return torch.from_numpy(read_clip(ClipOrder.of(clip)))


def to_stereo(audio: Tensor, *, channels: int = 2) -> Tensor:
    """`engine.cache.clip_sound.stereo` of a tensor: (channels, n) of any kind to (2, n)."""
    return torch.from_numpy(stereo(audio.numpy(), channels=channels).copy())


def is_silent(audio: Tensor) -> bool:
    """Whether more than 95 % of the samples are exactly zero in both channels."""
    return is_silence(audio.numpy())


def encode_clips(codec: MusicCodec, clips: Sequence[Tensor]) -> list[AudioEntry]:
    """Encode clips of equal length together.

    Args:
        codec: On any device.
        clips: (2, n) float32 at 48 kHz each.

    Returns:
        One entry per clip, on the CPU.
    """
    num_samples = clips[0].shape[-1]
    heard = [torch.from_numpy(as_heard(clip.numpy(), CODEC_RATE)) for clip in clips]
    return finished_entries(codec, heard, begin_encoding(codec, heard), num_samples=num_samples)


def begin_encoding(codec: MusicCodec, heard: Sequence[Tensor]) -> Tensor:
    """Have the device encode sounds of one length; on a CUDA card this does not wait for it.

    Args:
        codec: On any device.
        heard: (2, n) float32 each, at the codec's own rate.

    Returns:
        (B, 8, H, F) float32 latents on the codec's device.
    """
    sounds = torch.stack(list(heard)) if len(heard) > 1 else heard[0][None]
    return codec.encode(sounds, sample_rate=CODEC_RATE, is_exact=False)[0]


def finished_entries(
    codec: MusicCodec, heard: Sequence[Tensor], latents: Tensor, *, num_samples: int
) -> list[AudioEntry]:
    """The entries of what `begin_encoding` began, once the device is done.

    Where numbers of few digits did not suffice and latents are not finite, those sounds are encoded again in the
    format that the codec was loaded in.

    Args:
        codec: The same.
        heard: The same.
        latents: What it gave.
        num_samples: Length of the clips at 48 kHz.
    """
    entries = []
    for sound, latent in zip(heard, latents.float().cpu(), strict=True):
        is_finite = bool(torch.isfinite(latent).all())
        sure = latent if is_finite else codec.encode(sound[None], sample_rate=CODEC_RATE)[0][0].float().cpu()
        entries.append(AudioEntry(latents=sure, latent_length=whole_frames(num_samples)))
    return entries
