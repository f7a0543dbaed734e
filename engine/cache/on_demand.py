"""Entries made in the middle of training, when they are first needed (spec config-formats.md 5.5).

The encoders stay on the training device and give the numbers that a preparation gives: same dtype, same device, one
clip at a time. One encodes at a time, whatever the number of loader threads: its memory is planned once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.audio_latents import AudioLatents, encode_clips, is_silent, load_clip_audio
from engine.cache.policy import CachePolicy
from engine.cache.store import AudioEntry, DamagedEntryError
from engine.cache.text_states import TextStates
from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.report import Problem

if TYPE_CHECKING:
    from engine.model.autoencoder import MusicCodec
    from engine.model.text_encoder import TextEncoder

KEPT_STATES_BYTES = 256 * 2**20
"""Text states held in memory where none are written: captions come back every epoch, the songs' cuts may not."""


class UnusableClipError(Exception):
    """A clip cannot be trained on: not readable, silent, or its latents are no numbers. Nothing was written."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


class OnDemand:
    """Encodes what is missing. Safe to call from several threads.

    Args:
        audio: Cached latents.
        text: Cached text states.
        policy: What is written, and whose clips are made here.
        load_codec: Loads the audio codec on the training device; called once, at the first missing clip.
        load_text_encoder: Loads the text encoder, likewise.
        add_features: Gives an entry its self-supervised features from the clip's sound; None where none are wanted.
        on_problem: Told about each damaged entry.
    """

    def __init__(
        self,
        *,
        audio: AudioLatents,
        text: TextStates,
        policy: CachePolicy,
        load_codec: Callable[[], MusicCodec],
        load_text_encoder: Callable[[], TextEncoder],
        on_problem: Callable[[Problem], None],
        add_features: Callable[[AudioEntry, Tensor], AudioEntry] | None = None,
    ) -> None:
        self.policy = policy
        self._audio = audio
        self._text = text
        self._load_codec = load_codec
        self._load_text_encoder = load_text_encoder
        self._add_features = add_features
        self._on_problem = on_problem
        self._lock = threading.RLock()
        self._codec: MusicCodec | None = None
        self._text_encoder: TextEncoder | None = None
        self._unusable: dict[Clip, Problem] = {}
        self._states: OrderedDict[str, Tensor] = OrderedDict()
        self._states_bytes = 0

    def makes(self, clip: Clip) -> bool:
        """Whether a missing entry of this clip is made here; otherwise something deleted it."""
        return clip.song.backend_id in self.policy.ondemand | self.policy.cleared

    def makes_text(self, caption: str) -> bool:
        """Whether missing states of this caption are made here."""
        return self._text.path(caption).parent in self.policy.text_ondemand

    def audio(self, clip: Clip) -> AudioEntry:
        """The entry of a clip: as it stands in the cache, else encoded now.

        Raises:
            UnusableClipError: It cannot be trained on.
            DiskError: The disk is full or not writable.
        """
        with self._lock:
            if clip in self._unusable:
                raise UnusableClipError(self._unusable[clip])
            # Another thread may have been quicker with the same clip.
            if (entry := self._cached(clip)) is not None:
                return entry
            return self._encode(clip)

    def mended(self, clip: Clip) -> AudioEntry:
        """As `audio`, of a clip whose damaged entry was just deleted: that is said first."""
        self._say(clip.song.relative_path, "its cache entry was damaged: encoded again")
        return self.audio(clip)

    def text(self, caption: str) -> Tensor:
        """The states (tokens, width) of a caption: as they stand in the cache, else encoded now.

        Raises:
            DiskError: The disk is full or not writable.
        """
        with self._lock:
            if caption in self._states:
                self._states.move_to_end(caption)
                return self._states[caption]
            try:
                return self._text.read(caption)
            except (FileNotFoundError, DamagedEntryError) as error:
                if isinstance(error, DamagedEntryError):
                    self._say(caption, "the cached states of this caption were damaged: encoded again")
            return self._encode_text(caption)

    def _cached(self, clip: Clip) -> AudioEntry | None:
        """The entry in the cache, unless there is none or it is not what was planned."""
        if not self._audio.is_whole(clip):
            return None
        try:
            return self._audio.read(clip)
        except FileNotFoundError:
            return None
        except DamagedEntryError:
            self._say(clip.song.relative_path, "its cache entry was damaged: encoded again")
            return None

    def _encode(self, clip: Clip) -> AudioEntry:
        try:
            samples = load_clip_audio(clip)
        except UnreadableAudioError as error:
            raise self._failed(clip, "unreadable", error.message) from error
        if is_silent(samples):
            raise self._failed(clip, "silent", "more than 95 % of it is silence")
        if self._codec is None:
            self._codec = self._load_codec()
        [entry] = encode_clips(self._codec, [samples])
        if not bool(torch.isfinite(entry.latents).all()):
            raise self._failed(clip, "not_finite", "its latents are not finite numbers")
        if self._add_features is not None:
            entry = self._add_features(entry, samples)
        if clip.song.backend_id not in self.policy.unwritten:
            self._audio.write(clip, entry)
        return entry

    def _encode_text(self, caption: str) -> Tensor:
        if self._text_encoder is None:
            self._text_encoder = self._load_text_encoder()
        if self._text.path(caption).parent not in self.policy.text_unwritten:
            self._text.encode(
                [caption],
                self._text_encoder,
                batch_size=1,
                on_encoded=lambda _: None,
                should_stop=lambda: False,
            )
            return self._text.read(caption)
        [states] = self._text_encoder.encode([caption])
        states = states.cpu()
        self._states[caption] = states
        self._states_bytes += states.nbytes
        while self._states_bytes > KEPT_STATES_BYTES and len(self._states) > 1:
            _, oldest = self._states.popitem(last=False)
            self._states_bytes -= oldest.nbytes
        return states

    def _failed(self, clip: Clip, code: str, reason: str) -> UnusableClipError:
        problem = Problem(file=clip.song.relative_path, severity="error", code=code, reason=f"left out: {reason}")
        self._unusable[clip] = problem
        return UnusableClipError(problem)

    def _say(self, file: str, reason: str) -> None:
        self._on_problem(Problem(file=file, severity="warning", code="cache_damaged", reason=reason))
