"""Entries made in the middle of training, when they are first needed (spec config-formats.md 5.5).

The encoders stay on the training device and give the numbers that a preparation gives: same dtype, same device, one
clip at a time. One encodes at a time, whatever the number of loader threads: its memory is planned once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.audio_latents import AudioLatents
from engine.cache.clip_sound import UnusableSoundError
from engine.cache.policy import CachePolicy
from engine.cache.single import AddFeatures, damaged_caption, damaged_clip, encode_clip
from engine.cache.store import AudioEntry, DamagedEntryError
from engine.cache.text_states import TextStates
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
        before_write: Called with the folder that an entry is about to be written to, by one thread at a time.
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
        add_features: AddFeatures | None = None,
        before_write: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self.policy = policy
        self._audio = audio
        self._text = text
        self._load_codec = load_codec
        self._load_text_encoder = load_text_encoder
        self._add_features = add_features
        self._on_problem = on_problem
        self._before_write = before_write
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
            DiskError: The disk is full or not writable; also what ``before_write`` raises.
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
        self._on_problem(damaged_clip(clip))
        return self.audio(clip)

    def text(self, caption: str) -> Tensor:
        """The states (tokens, width) of a caption: as they stand in the cache, else encoded now.

        Raises:
            DiskError: The disk is full or not writable; also what ``before_write`` raises.
        """
        with self._lock:
            if caption in self._states:
                self._states.move_to_end(caption)
                return self._states[caption]
            try:
                return self._text.read(caption)
            except (FileNotFoundError, DamagedEntryError) as error:
                if isinstance(error, DamagedEntryError):
                    self._on_problem(damaged_caption(caption))
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
            self._on_problem(damaged_clip(clip))
            return None

    def _encode(self, clip: Clip) -> AudioEntry:
        try:
            entry = encode_clip(clip, self._loaded_codec, self._add_features)
        except UnusableSoundError as error:
            raise self._failed(clip, error) from error
        if clip.song.backend_id not in self.policy.unwritten:
            self._before_write(self._audio.path(clip).parent)
            self._audio.write(clip, entry)
        return entry

    def _loaded_codec(self) -> MusicCodec:
        if self._codec is None:
            self._codec = self._load_codec()
        return self._codec

    def _encode_text(self, caption: str) -> Tensor:
        if self._text_encoder is None:
            self._text_encoder = self._load_text_encoder()
        folder = self._text.path(caption).parent
        if folder not in self.policy.text_unwritten:
            self._before_write(folder)
            return self._text.encode_one(caption, self._text_encoder)
        [states] = self._text_encoder.encode([caption])
        states = states.cpu()
        self._states[caption] = states
        self._states_bytes += states.nbytes
        while self._states_bytes > KEPT_STATES_BYTES and len(self._states) > 1:
            _, oldest = self._states.popitem(last=False)
            self._states_bytes -= oldest.nbytes
        return states

    def _failed(self, clip: Clip, error: UnusableSoundError) -> UnusableClipError:
        reason = f"left out: {error.reason}"
        problem = Problem(file=clip.song.relative_path, severity="error", code=error.code, reason=reason)
        self._unusable[clip] = problem
        return UnusableClipError(problem)
