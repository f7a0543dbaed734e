"""The sound of a clip, from its file to what an encoder hears; numpy alone (spec ace-step-v1.md 6.2, 9.1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.dataset.audio_file import UnreadableAudioError, read_audio
from engine.model.card import CODEC_RATE, SAMPLE_RATE
from engine.model.sinc import resampled

if TYPE_CHECKING:
    from engine.batches.bucket import Clip
    from engine.dataset.audio_file import Samples

SILENT_SHARE = 0.95
"""A clip with more exact zeros than this is left out, as upstream does (spec 9.1)."""

SILENT = "more than 95 % of it is silence"
"""Why such a clip is left out, in words."""

# Read beyond the clip's end, so that the resampler's filter sees music there and not a sudden stop.
_MARGIN_S = 0.01

# Samples looked at together for zeros.
_ZEROS_AT_ONCE = 1 << 20


class UnusableSoundError(Exception):
    """A clip gives no entry: not readable, silent, or its latents are no numbers.

    Attributes:
        code: That of a `Problem`.
        reason: In words.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ClipOrder:
    """What is wanted of a file; plain values, so that it can be sent to another process.

    Attributes:
        path: The file.
        start_s: Where the clip begins, seconds.
        length_s: How long it is, seconds.
        num_samples: How long it is at 48 kHz.
        channels: 1 = mixed down to the mean of its channels, which both channels then are; 2 = stereo.
        rate: Hz wanted: 48,000, or 44,100 as the codec hears it.
    """

    path: str
    start_s: float
    length_s: float
    num_samples: int
    channels: int
    rate: int

    @classmethod
    def of(cls, clip: Clip, *, rate: int = SAMPLE_RATE) -> ClipOrder:
        """The sound of a clip."""
        return cls(str(clip.song.path), clip.start_s, clip.length_s, clip.num_samples, clip.channels, rate)

    def to_dict(self) -> dict[str, Any]:
        """Its values by name."""
        return asdict(self)


def read_sound(order: ClipOrder) -> Samples:
    """Decode a clip.

    Returns:
        (2, n) float32 within ±1 at 48 kHz, resampled to ``order.rate`` afterwards: n is ``order.num_samples`` or
        ``ceil(num_samples·rate/48000)``.

    Raises:
        UnusableSoundError: The file cannot be decoded that far, or the clip is silent.
    """
    try:
        sound = read_clip(order)
    except UnreadableAudioError as error:
        raise UnusableSoundError("unreadable", error.message) from error
    if is_silence(sound):
        raise UnusableSoundError("silent", SILENT)
    return as_heard(sound, order.rate)


def as_heard(sound: Samples, rate: int) -> Samples:
    """(2, n) float32 at 48 kHz as an encoder wants it: at ``rate``, either 48 kHz or the codec's."""
    assert rate in (SAMPLE_RATE, CODEC_RATE)
    return resampled(sound, SAMPLE_RATE, rate)


def read_clip(order: ClipOrder) -> Samples:
    """Decode a clip, silent or not.

    Returns:
        (2, order.num_samples) float32 within ±1 at 48 kHz, whatever ``order.rate`` is.

    Raises:
        UnreadableAudioError: The file cannot be decoded that far.
    """
    samples, rate = read_audio(Path(order.path), start_s=order.start_s, duration_s=order.length_s + _MARGIN_S)
    sound = resampled(stereo(samples, channels=order.channels), rate, SAMPLE_RATE)
    # The resampler may give a sample or two more or less than the song's length says.
    clip = np.zeros((2, order.num_samples), dtype=np.float32)
    num_samples = min(order.num_samples, sound.shape[1])
    np.clip(sound[:, :num_samples], -1.0, 1.0, out=clip[:, :num_samples])
    return clip


def stereo(samples: Samples, *, channels: int = 2) -> Samples:
    """(channels, n) of any kind to (2, n).

    Mono is doubled. Of more than two channels the first two are taken, as upstream does: they are front left and
    front right in 5.1 and 7.1 files (spec 9.1).

    Args:
        samples: (channels, n).
        channels: 1 = mix the two down to their mean and double that.
    """
    if len(samples) == 1:
        return np.broadcast_to(samples, (2, samples.shape[1]))
    samples = samples[:2]
    if channels == 1:
        return np.broadcast_to(samples.mean(axis=0, dtype=np.float32, keepdims=True), samples.shape)
    return samples


def is_silence(sound: Samples) -> bool:
    """Whether more than 95 % of the samples are exactly zero in both channels."""
    num_samples = sound.shape[1]
    num_zero = sum(
        int(np.count_nonzero(~sound[:, begin : begin + _ZEROS_AT_ONCE].any(axis=0)))
        for begin in range(0, num_samples, _ZEROS_AT_ONCE)
    )
    return num_zero > SILENT_SHARE * num_samples
