"""Seconds that `acestep-tui scan` takes for many songs, with and without ``--quick``.

``python -m bench.scan --songs 1000 --seconds 200 --out FILE``. Nine of ten songs are mp3 (128 kbit/s, stereo, 44.1
kHz), the rest flac; each with a caption, four of five with lyrics. The mp3 come from twenty distinct pieces by starting
each at another frame, so no two hold the same sound; the flac are cut to different lengths likewise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 44_100
NUM_PIECES = 20
LYRICS = (
    "[verse]\nPaper lanterns on the bay\nHarbour lights go out one by one\n\n[chorus]\nCarry me away, carry me home\n"
)


def piece(seconds: float, *, seed: int) -> np.ndarray:
    """Chords with a beat, (samples, 2) float32: not silent, not clipped."""
    generator = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    pitches = generator.choice([110, 131, 147, 165, 196, 220, 262, 330], size=4)
    tone = sum(np.sin(2 * np.pi * pitch * t + generator.uniform(0, 6)) for pitch in pitches) / 12
    beat = np.exp(-8 * (t % 0.5)) * generator.standard_normal(len(t)) / 12
    return np.stack([tone + beat, tone - beat], axis=1).astype(np.float32)


def mp3_frames(sound: np.ndarray) -> list[bytes]:
    """The sound as mp3 frames."""
    import av

    stream = av.CodecContext.create("libmp3lame", "w")
    stream.sample_rate, stream.layout, stream.format, stream.bit_rate = RATE, "stereo", "fltp", 128_000
    frames = []
    for start in range(0, len(sound) - 1151, 1152):
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[start : start + 1152].T), "fltp", "stereo")
        block.sample_rate = RATE
        frames += [bytes(packet) for packet in stream.encode(block)]
    return frames


def write_songs(folder: Path, *, num_songs: int, seconds: float) -> None:
    """Fill a folder."""
    num_flac = num_songs // 10
    sounds = [piece(seconds, seed=seed) for seed in range(NUM_PIECES)]
    pieces = [mp3_frames(sound) for sound in sounds]
    for index in range(num_songs):
        if index < num_flac:
            path = folder / f"song_{index:04}.flac"
            soundfile.write(path, sounds[index % NUM_PIECES][1000 * (index // NUM_PIECES) :], RATE)
        else:
            path = folder / f"song_{index:04}.mp3"
            path.write_bytes(b"".join(pieces[index % NUM_PIECES][3 * (index // NUM_PIECES) :]))
        path.with_suffix(".txt").write_text(f"dream pop, female voice, take {index}")
        if index % 5:
            path.with_suffix(".lyrics").write_text(f"{LYRICS}Number {index}\n")


def timed(folder: Path, *switches: str) -> float:
    """Seconds of one command, from its start to its end."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "acestep_tui", "scan", str(folder), *switches]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print; with ``--out`` write it too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--out", type=Path)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="acestep-scan-") as made:
        write_songs(Path(made), num_songs=wanted.songs, seconds=wanted.seconds)
        found: dict[str, Any] = {
            "songs": wanted.songs,
            "seconds_a_song": wanted.seconds,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "quick_s": round(timed(Path(made), "--quick"), 1),
            "standard_s": round(timed(Path(made)), 1),
        }
    print(json.dumps(found, indent=1))
    if wanted.out:
        wanted.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
