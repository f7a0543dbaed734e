"""What the codec makes of sounds that are known: a tone and a drum loop, encoded and decoded again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from engine.model.card import CODEC_RATE
from engine.verify.outcome import Outcome

if TYPE_CHECKING:
    from engine.model.autoencoder import MusicCodec

TONE_HZ = 440.0
SECONDS = 4.0
BEATS_PER_MINUTE = 120.0

# What a good codec keeps with room to spare. The released one's own figures could not be measured while this was
# written, so what is beyond is noted, never a failure.
GOOD_ERROR_DB = 6.0
GOOD_PITCH_SHARE = 0.01
GOOD_BEAT = 0.7

_AUDIBLE_DB = 40.0  # below the loudest: what is quieter counts for nothing in the error
_DB_PER_NEPER = 20 / math.log(10)
_BLOCK_S = 0.01


def tone() -> Tensor:
    """A tone of `TONE_HZ` with soft ends, the same in both channels: (2, n) float32 at 44.1 kHz, peak 0.25."""
    t = torch.arange(round(SECONDS * CODEC_RATE), dtype=torch.float64) / CODEC_RATE
    ends = (torch.minimum(t, SECONDS - t) / 0.05).clamp(0, 1)
    wave = 0.25 * torch.sin(2 * math.pi * TONE_HZ * t) * ends
    return wave.float().repeat(2, 1)


def drum_loop() -> Tensor:
    """Kick and snare in turn, hats between: (2, n) float32 at 44.1 kHz; always the same."""
    rng = np.random.default_rng(0)
    beat = round(CODEC_RATE * 60 / BEATS_PER_MINUTE)
    wave = np.zeros(round(SECONDS * CODEC_RATE))
    t = np.arange(beat) / CODEC_RATE
    kick = 0.7 * np.sin(2 * np.pi * (50 * t + 8 * (1 - np.exp(-30 * t)))) * np.exp(-12 * t)
    snare = 0.4 * (rng.standard_normal(beat) * 0.5 + np.sin(2 * np.pi * 190 * t)) * np.exp(-18 * t)
    hat = 0.1 * rng.standard_normal(beat) * np.exp(-60 * t)
    for index in range(len(wave) // beat):
        begin = index * beat
        wave[begin : begin + beat] += kick if index % 2 == 0 else snare
        half = begin + beat // 2
        wave[half : half + beat] += hat[: len(wave) - half]
    return torch.from_numpy(wave).float().repeat(2, 1)


def round_trip(codec: MusicCodec, wave: Tensor) -> Tensor:
    """A wave (2, n) at 44.1 kHz through encoder, decoder and vocoder, as long as it was."""
    latents, _ = codec.encode(wave[None], sample_rate=CODEC_RATE)
    [decoded] = codec.decode(latents, sample_rate=CODEC_RATE, lengths=[wave.shape[-1]])
    return decoded


def error_db(codec: MusicCodec, wave: Tensor, decoded: Tensor) -> float:
    """Mean difference of the two log-mel spectra in dB, over what of the first is not 40 dB below its loudest."""
    before, after = codec.log_mel(wave), codec.log_mel(decoded)
    audible = before >= before.max() - _AUDIBLE_DB / _DB_PER_NEPER
    return float((before - after)[audible].abs().mean() * _DB_PER_NEPER)


def pitch_hz(wave: Tensor) -> float:
    """The strongest frequency of a wave (2, n) at 44.1 kHz, between the bins of its spectrum."""
    mono = wave.mean(dim=0).double()
    spectrum = torch.fft.rfft(mono * torch.hann_window(len(mono), dtype=torch.float64)).abs()
    peak = int(spectrum[1:-1].argmax()) + 1
    left, middle, right = (float(torch.log(spectrum[peak + step] + 1e-30)) for step in (-1, 0, 1))
    curve = left - 2 * middle + right
    offset = 0.0 if curve == 0 else 0.5 * (left - right) / curve
    return (peak + offset) * CODEC_RATE / len(mono)


def beat_correlation(wave: Tensor, decoded: Tensor) -> float:
    """How alike the loudness of two waves rises and falls: 1 = alike, 0 = not at all."""
    curves = torch.stack([_loudness(wave), _loudness(decoded)])
    if not bool((curves.std(dim=1) > 0).all()):
        return 0.0
    return float(torch.corrcoef(curves)[0, 1])


def _loudness(wave: Tensor) -> Tensor:
    block = round(_BLOCK_S * CODEC_RATE)
    mono = wave.mean(dim=0).double()
    return mono[: len(mono) // block * block].reshape(-1, block).square().mean(dim=1).sqrt()


def check_tone(codec: MusicCodec, *, is_judged: bool) -> Outcome:
    """A tone keeps its pitch, and how far its sound is off."""
    wave = tone()
    decoded = round_trip(codec, wave)
    if (broken := _broken(decoded)) is not None:
        return broken
    error, hertz = error_db(codec, wave, decoded), pitch_hz(decoded)
    values = {"error_db": round(error, 2), "pitch_hz": round(hertz, 2), "expected_hz": TONE_HZ}
    words = f"{TONE_HZ:g} Hz comes back as {hertz:.1f} Hz, its sound {error:.1f} dB off"
    is_good = abs(hertz / TONE_HZ - 1) <= GOOD_PITCH_SHARE and error <= GOOD_ERROR_DB
    expected = f"within {100 * GOOD_PITCH_SHARE:g} % and {GOOD_ERROR_DB:g} dB"
    return judged(words, is_good=is_good, expected=expected, is_judged=is_judged, values=values)


def check_drums(codec: MusicCodec, *, is_judged: bool) -> Outcome:
    """A drum loop keeps its beat, and how far its sound is off."""
    wave = drum_loop()
    decoded = round_trip(codec, wave)
    if (broken := _broken(decoded)) is not None:
        return broken
    error, beat = error_db(codec, wave, decoded), beat_correlation(wave, decoded)
    values = {"error_db": round(error, 2), "beat_correlation": round(beat, 3)}
    words = f"the beat comes back {100 * max(beat, 0.0):.0f} % alike, its sound {error:.1f} dB off"
    is_good = beat >= GOOD_BEAT and error <= GOOD_ERROR_DB
    expected = f"{100 * GOOD_BEAT:g} % and within {GOOD_ERROR_DB:g} dB"
    return judged(words, is_good=is_good, expected=expected, is_judged=is_judged, values=values)


def judged(words: str, *, is_good: bool, expected: str, is_judged: bool, values: dict[str, float]) -> Outcome:
    """The outcome of a sound that came back: only the released codec can be compared with what a good one does."""
    if not is_judged:
        return Outcome("noted", f"{words} (not judged: not the released codec)", values)
    if not is_good:
        return Outcome("noted", f"{words}; of a good codec one expects {expected}", values)
    return Outcome("passed", words, values)


def _broken(decoded: Tensor) -> Outcome | None:
    if not bool(torch.isfinite(decoded).all()):
        return Outcome("failed", "what comes back holds numbers that are not finite")
    if not bool(decoded.abs().max() > 1e-4):
        return Outcome("failed", "what comes back is silent")
    return None
