"""Making a damaged cache entry anew in the middle of a run: said, encoded again, never replaced by zeros."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.audio_latents import AudioLatents
from engine.cache.clip_sound import UnusableSoundError
from engine.cache.single import AddFeatures, damaged_caption, damaged_clip, encode_clip
from engine.cache.store import AudioEntry
from engine.cache.text_states import TextStates
from engine.contract.errors import DataError
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
        add_features: AddFeatures | None = None,
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
            DataError: The song cannot be decoded any more, is silent now, or its latents are not finite.
            DiskError: The disk is full or not writable.
        """
        with self._lock:
            self._on_problem(damaged_clip(clip))
            try:
                entry = encode_clip(clip, self.load_codec, self._add_features)
            except UnusableSoundError as error:
                raise _hopeless(clip.song.relative_path, error.reason) from error
            self._audio.write(clip, entry)
        return entry

    def text(self, caption: str) -> Tensor:
        """Encode a caption again and store it.

        Raises:
            DiskError: The disk is full or not writable.
        """
        with self._lock:
            self._on_problem(damaged_caption(caption))
            return self._text.encode_one(caption, self.load_text_encoder())


def _hopeless(file: str, reason: str) -> DataError:
    return DataError(
        f"{file}: its cache entry was damaged and cannot be made again: {reason}",
        hint="Mend the file or leave it out (exclude_files), then run the same command again.",
    )
