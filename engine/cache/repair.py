"""Making a damaged cache entry anew in the middle of a run: said, encoded again, never replaced by zeros."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.audio_latents import AudioLatents, encode_clips, load_clip_audio
from engine.cache.store import AudioEntry
from engine.cache.text_states import TextStates
from engine.contract.errors import DataError
from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.report import Problem

if TYPE_CHECKING:
    from engine.model.autoencoder import MusicCodec
    from engine.model.text_encoder import TextEncoder


class Repair:
    """Encodes single entries again. Rare, so the encoder is loaded for each and let go of.

    Args:
        audio: Cached latents.
        text: Cached text states.
        load_codec: Loads the audio codec, where there is room for it beside the training (the CPU).
        load_text_encoder: Loads the text encoder, likewise.
        on_problem: Told about each repair.
        add_features: Gives an entry its musical features from the clip's sound; None where none are wanted.
    """

    def __init__(
        self,
        *,
        audio: AudioLatents,
        text: TextStates,
        load_codec: Callable[[], MusicCodec],
        load_text_encoder: Callable[[], TextEncoder],
        on_problem: Callable[[Problem], None],
        add_features: Callable[[AudioEntry, Tensor], AudioEntry] | None = None,
    ) -> None:
        self._audio = audio
        self._text = text
        self.load_codec = load_codec
        self.load_text_encoder = load_text_encoder
        self._on_problem = on_problem
        self._add_features = add_features
        # Loader threads may meet two damaged entries at once: one encoder in memory is enough.
        self._lock = threading.Lock()

    def audio(self, clip: Clip) -> AudioEntry:
        """Encode a clip again and store it.

        Raises:
            DataError: The song cannot be decoded any more, or its latents are not finite.
            DiskError: The disk is full or not writable.
        """
        file = clip.song.relative_path
        with self._lock:
            self._say(file, "its cache entry was damaged: encoded again")
            try:
                samples = load_clip_audio(clip)
                [entry] = encode_clips(self.load_codec(), [samples])
            except UnreadableAudioError as error:
                raise _hopeless(file, error.message) from error
            if not bool(torch.isfinite(entry.latents).all()):
                raise _hopeless(file, "its latents are not finite numbers")
            if self._add_features is not None:
                entry = self._add_features(entry, samples)
            self._audio.write(clip, entry)
        return entry

    def text(self, caption: str) -> Tensor:
        """Encode a caption again and store it.

        Raises:
            DiskError: The disk is full or not writable.
        """
        with self._lock:
            self._say(caption, "the cached states of this caption were damaged: encoded again")
            self._text.encode(
                [caption],
                self.load_text_encoder(),
                batch_size=1,
                on_encoded=lambda _: None,
                should_stop=lambda: False,
            )
        return self._text.read(caption)

    def _say(self, file: str, reason: str) -> None:
        self._on_problem(Problem(file=file, severity="warning", code="cache_damaged", reason=reason))


def _hopeless(file: str, reason: str) -> DataError:
    return DataError(
        f"{file}: its cache entry was damaged and cannot be made again: {reason}",
        hint="Mend the file or leave it out (exclude_files), then run the same command again.",
    )
