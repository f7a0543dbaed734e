"""A hundred mp3 songs in seconds: ten distinct ones, each ten times with another first second.

Encoding a hundred songs of four minutes takes a quarter of an hour of processor time and is not what is measured. So a
minute of each distinct song is encoded, and its frames are repeated; each file begins with other frames.
"""

from __future__ import annotations

import io
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from engine.demo.synth import Score, play

RATE = 44_100
_FRAME_SAMPLES = 1152
_ENCODED_S, _HEAD_S = 60.0, 1.0
_CHORDS = (("I", "V", "vi", "IV"), ("i", "VI", "III", "VII"), ("ii", "V", "I", "I"))
_PARTS = ("pluck", "bass", "lead", "drums", "pad")
# Layer III of MPEG 1 by the upper half of a header's third byte, kbit/s.
_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_INFO_BYTES = 64


def write_mp3_songs(folder: Path, *, distinct: int, takes: int, seconds: float, num_processes: int) -> Path:
    """``distinct × takes`` mp3 files of 160 kbit/s, each with a caption of its own; what is there stays.

    Args:
        folder: Where.
        distinct: Songs that sound different.
        takes: Files of each, whose first second is another.
        seconds: Length of each file.
        num_processes: Encode at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(min(num_processes, distinct)) as pool:
        list(pool.map(partial(_write_takes, folder, takes=takes, seconds=seconds), range(distinct)))
    return folder


def _write_takes(folder: Path, song: int, *, takes: int, seconds: float) -> None:
    if (folder / f"song_{song}_take_{takes - 1}.txt").is_file():
        return
    parts = (_PARTS[song % 5], "bass", "lead", "drums")
    score = Score(song, 50 + song, _CHORDS[song % 3], 80.0 + 7 * song, parts)
    encoded_s = min(_ENCODED_S, seconds)
    body = _frames(play(score, seconds=encoded_s, rate=RATE, num_channels=2))
    num_frames = -(-round(seconds * RATE) // _FRAME_SAMPLES)
    rng = np.random.default_rng(song)
    for take in range(takes):
        head = _frames(rng.normal(0.0, 0.1, (2, round(_HEAD_S * RATE))).astype(np.float32))
        repeats = -(-num_frames // len(body))
        path = folder / f"song_{song}_take_{take}.mp3"
        path.write_bytes(b"".join((head + body * repeats)[:num_frames]))
        words = f"take {take}, {' and '.join(parts)}, {score.beats_per_minute:g} beats a minute\n"
        path.with_suffix(".txt").write_text(words, encoding="utf-8")


def _frames(samples: np.ndarray) -> list[bytes]:
    """The frames of an mp3 without the one that only counts them."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5)
    data, place, frames = buffer.getvalue(), 0, []
    while place + 4 <= len(data):
        third = data[place + 2]
        length = 144_000 * _KBITS[third >> 4] // RATE + (third >> 1 & 1)
        frames.append(data[place : place + length])
        place += length
    return [frame for frame in frames if b"Info" not in frame[:_INFO_BYTES] and b"Xing" not in frame[:_INFO_BYTES]]
