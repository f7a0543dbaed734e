"""A very small band: plucked chords, bass, a sung-like lead and drums, for the songs of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    Signal = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

# Semitones above the key's root, by the chord's Roman numeral.
_CHORDS = {
    "I": (0, 4, 7),
    "ii": (2, 5, 9),
    "iii": (4, 7, 11),
    "IV": (5, 9, 12),
    "V": (7, 11, 14),
    "vi": (9, 12, 16),
    "i": (0, 3, 7),
    "III": (3, 7, 10),
    "iv": (5, 8, 12),
    "v": (7, 10, 14),
    "VI": (8, 12, 15),
    "VII": (10, 14, 17),
}
_PEAK = 0.8
_FADE_S = 0.5


@dataclass(frozen=True, slots=True)
class Score:
    """What the band plays.

    Attributes:
        seed: Seed of the melody and of the drums' noise.
        key: MIDI number of the root.
        chords: Roman numerals, one a half bar, repeated to the end.
        beats_per_minute: Tempo.
        parts: Of "pluck", "bass", "lead", "drums", "pad".
    """

    seed: int
    key: int
    chords: tuple[str, ...]
    beats_per_minute: float
    parts: tuple[str, ...]


def play(
    score: Score, *, seconds: float, rate: int, num_channels: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The score as samples (channels, n), float32, peak 0.8; the same score gives the same samples."""
    rng = np.random.default_rng(score.seed)
    mix = np.zeros((2, round(seconds * rate)))
    beat_s = 60.0 / score.beats_per_minute
    for index in range(int(seconds / (2 * beat_s)) + 1):
        chord = [score.key + step for step in _CHORDS[score.chords[index % len(score.chords)]]]
        _play_half_bar(mix, score, chord, start_s=index * 2 * beat_s, beat_s=beat_s, rate=rate, rng=rng)
    fade = min(round(_FADE_S * rate), mix.shape[1])
    mix[:, -fade:] *= np.linspace(1.0, 0.0, fade)
    if num_channels == 1:
        mix = mix.mean(axis=0, keepdims=True)
    samples: np.ndarray[tuple[int, int], np.dtype[np.float32]] = mix * (_PEAK / np.abs(mix).max())
    return samples.astype(np.float32)


def _play_half_bar(
    mix: Signal,
    score: Score,
    chord: Sequence[int],
    *,
    start_s: float,
    beat_s: float,
    rate: int,
    rng: np.random.Generator,
) -> None:
    """Two beats of all parts."""
    if "pluck" in score.parts:
        for eighth, tone in enumerate((0, 1, 2, 1)):
            note = _pluck(_hertz(chord[tone]), 1.2, rate)
            _add(mix, 0.30 * note, start_s + eighth * beat_s / 2, rate, pan=-0.5 if eighth % 2 else 0.5)
    if "pad" in score.parts:
        for tone, pan in zip(chord, (-0.7, 0.0, 0.7), strict=True):
            _add(mix, 0.12 * _swell(_hertz(tone), 2 * beat_s + 0.3, rate), start_s, rate, pan=pan)
    if "bass" in score.parts:
        for beat in range(2):
            _add(mix, 0.45 * _pluck(_hertz(chord[0] - 24), 0.6, rate), start_s + beat * beat_s, rate, pan=0.0)
    if "lead" in score.parts:
        tones = rng.choice([chord[0] + 12, chord[1] + 12, chord[2] + 12, chord[1] + 24], size=2)
        for beat, tone in enumerate(tones):
            _add(mix, 0.25 * _sing(_hertz(int(tone)), 0.9 * beat_s, rate), start_s + beat * beat_s, rate, pan=0.1)
    if "drums" in score.parts:
        _add(mix, 0.6 * _kick(rate), start_s, rate, pan=0.0)
        _add(mix, 0.25 * _noise(0.12, 18.0, rate, rng), start_s + beat_s, rate, pan=0.0)
        for eighth in range(4):
            _add(mix, 0.08 * _noise(0.05, 70.0, rate, rng), start_s + eighth * beat_s / 2, rate, pan=0.3)


def _hertz(midi: int) -> float:
    return float(440.0 * 2.0 ** ((midi - 69) / 12))


def _add(mix: Signal, note: Signal, start_s: float, rate: int, *, pan: float) -> None:
    """Add a note in place; pan is -1 (left) to 1 (right), of equal power."""
    start = round(start_s * rate)
    note = note[: max(0, mix.shape[1] - start)]
    angle = (pan + 1.0) * np.pi / 4
    mix[0, start : start + len(note)] += np.cos(angle) * note
    mix[1, start : start + len(note)] += np.sin(angle) * note


def _seconds(length_s: float, rate: int) -> Signal:
    return np.arange(round(length_s * rate)) / rate


@cache
def _pluck(hertz: float, length_s: float, rate: int) -> Signal:
    """A string: harmonics of which the high ones die first."""
    t = _seconds(length_s, rate)
    harmonics = [k for k in range(1, 9) if k * hertz < 0.45 * rate]
    note: Signal = sum((np.exp(-(1.5 + 1.2 * k) * t) / k * np.sin(2 * np.pi * k * hertz * t) for k in harmonics), 0 * t)
    return note * _ramp(len(t), rate)


@cache
def _swell(hertz: float, length_s: float, rate: int) -> Signal:
    """A soft chord tone that comes and goes; two voices a little apart."""
    t = _seconds(length_s, rate)
    shape = np.sin(np.pi * np.minimum(t / length_s, 1.0)) ** 0.7
    return shape * sum(np.sin(2 * np.pi * hertz * detune * t) for detune in (0.997, 1.0, 1.003)) / 3


@cache
def _sing(hertz: float, length_s: float, rate: int) -> Signal:
    """A lead with vibrato and a few harmonics, nearer to a hummed vowel than to an organ."""
    t = _seconds(length_s, rate)
    phase = 2 * np.pi * hertz * t + 0.25 * np.sin(2 * np.pi * 5.5 * t)
    shape = np.minimum(1.0, t / 0.06) * np.minimum(1.0, (length_s - t) / 0.1)
    return shape * (np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)) / 1.5


@cache
def _kick(rate: int) -> Signal:
    """A drum: a sine that falls from 120 to 45 Hz."""
    t = _seconds(0.25, rate)
    return np.exp(-14 * t) * np.sin(2 * np.pi * (45 * t + 75 / 30 * (1 - np.exp(-30 * t)))) * _ramp(len(t), rate)


def _noise(length_s: float, decay: float, rate: int, rng: np.random.Generator) -> Signal:
    """A snare or a hat: noise that dies."""
    t = _seconds(length_s, rate)
    return np.exp(-decay * t) * rng.standard_normal(len(t))


def _ramp(length: int, rate: int) -> Signal:
    """3 ms of attack, so that a note does not click."""
    ramp = np.ones(length)
    attack = min(length, round(0.003 * rate))
    ramp[:attack] = np.linspace(0.0, 1.0, attack)
    return ramp
