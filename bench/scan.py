"""Seconds that `acestep-tui scan` takes for many songs, with and without ``--quick``.

``python -m bench.scan --songs 1000 --seconds 200 --out FILE``. Nine of ten songs are mp3 (128 kbit/s, stereo, 44.1
kHz), the rest flac; each with a caption, four of five with forty different lines of lyrics. The mp3 come from twenty
distinct pieces by starting each at another frame, so no two hold the same sound; the flac are cut likewise.
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
NUM_LINES = 40
WORDS = {
    "en": "paper lanterns on the bay harbour lights go out one by one carry me away home the river runs",
    "pt": "saudade da noite meu coração vem dançar na chuva sob a lua cheia o rio corre devagar e eu espero por você",
}
"""Lyrics are of one or the other, each line different: what is read twice is remembered and costs nothing."""


def lyrics(index: int) -> str:
    """Forty lines of seven words, with headings."""
    generator = np.random.default_rng(index)
    words = WORDS["pt" if index % 3 == 0 else "en"].split()
    lines = [" ".join(generator.choice(words, size=7)) for _ in range(NUM_LINES)]
    return "\n".join(["[verse]", *lines[: NUM_LINES // 2], "", "[chorus]", *lines[NUM_LINES // 2 :]]) + "\n"


def piece(seconds: float, *, seed: int) -> np.ndarray:
    """Chords with a beat, (samples, 2) float32: not silent, not clipped."""
    generator = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    pitches = generator.choice([110, 131, 147, 165, 196, 220, 262, 330], size=4)
    tone = sum(np.sin(2 * np.pi * pitch * t + generator.uniform(0, 6)) for pitch in pitches) / 12
    beat = np.exp(-8 * (t % 0.5)) * generator.standard_normal(len(t)) / 12
    return np.stack([tone + beat, tone - beat], axis=1).astype(np.float32)


def write_mp3(path: Path, sound: np.ndarray) -> None:
    """The sound as an mp3 with a header that counts its frames, as every encoder of today writes it."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="stereo")
        stream.bit_rate = 128_000
        for start in range(0, len(sound) - 1151, 1152):
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[start : start + 1152].T), "fltp", "stereo")
            block.sample_rate = RATE
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))


def write_later(path: Path, source: Path, *, num_skipped: int) -> None:
    """The same mp3 without its first frames, which makes it another song for everybody who compares."""
    import av

    with av.open(str(source)) as original, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(original.streams.audio[0])
        for number, packet in enumerate(original.demux(audio=0)):
            if number >= num_skipped and packet.size:
                packet.stream = stream
                container.mux(packet)


def write_songs(folder: Path, *, num_songs: int, seconds: float) -> None:
    """Fill a folder."""
    num_flac = num_songs // 10
    sounds = [piece(seconds, seed=seed) for seed in range(NUM_PIECES)]
    pieces = [folder.parent / f"{folder.name}-{seed}.mp3" for seed in range(NUM_PIECES)]
    for source, sound in zip(pieces, sounds, strict=True):
        write_mp3(source, sound)
    for index in range(num_songs):
        if index < num_flac:
            path = folder / f"song_{index:04}.flac"
            soundfile.write(path, sounds[index % NUM_PIECES][1000 * (index // NUM_PIECES) :], RATE)
        else:
            path = folder / f"song_{index:04}.mp3"
            write_later(path, pieces[index % NUM_PIECES], num_skipped=3 * (index // NUM_PIECES))
        path.with_suffix(".txt").write_text(f"dream pop, female voice, take {index}")
        if index % 5:
            path.with_suffix(".lyrics").write_text(lyrics(index), encoding="utf-8")


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
        folder = Path(made) / "songs"
        folder.mkdir()
        write_songs(folder, num_songs=wanted.songs, seconds=wanted.seconds)
        found: dict[str, Any] = {
            "songs": wanted.songs,
            "seconds_a_song": wanted.seconds,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "quick_s": round(timed(folder, "--quick"), 1),
            "standard_s": round(timed(folder), 1),
        }
    print(json.dumps(found, indent=1))
    if wanted.out:
        wanted.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
