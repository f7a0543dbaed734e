"""The songs of the demo: a dozen, synthesised, in the formats and the state that people's folders are in.

``python -m engine.demo.songs DIR`` writes them. They are read by the ordinary scanner and loader: nothing knows them.
One has no lyrics and one is no audio at all, so the first thing a user sees is an honest report.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.contract.files import sync_folder, write_atomic
from engine.demo.encode import encode
from engine.demo.synth import Score, play

_BROKEN = "11_broken.mp3"
_BROKEN_CAPTION = "folk, acoustic guitar, female voice, warm\n"
_BROKEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class DemoSong:
    """One song: its file, what is played in it, and the words that go with it."""

    name: str
    form: str
    rate: int
    num_channels: int
    seconds: float
    score: Score
    caption: str
    lyrics: str | None


# Three lengths, so that buckets of two songs lose nothing and no song is parted from its words.
SONGS = (
    DemoSong(
        *("01_harbour_lights", "flac", 44_100, 2, 8.5),
        Score(1, 60, ("I", "V", "vi", "IV"), 96, ("pluck", "bass", "lead", "drums")),
        "indie pop, bright guitar, soft drums, female voice, hopeful, 96 bpm\n",
        "[verse]\nHarbour lights are calling me\nAcross the quiet water\n\n[chorus]\nBring me home, bring me home\n",
    ),
    DemoSong(
        *("02_paper_kites", "wav", 48_000, 2, 6.0),
        Score(2, 62, ("I", "iii", "IV", "V"), 120, ("pluck", "bass", "drums", "lead")),
        "folk pop, plucked strings, hand drums, playful, 120 bpm\na cheerful folk tune with plucked strings\n",
        "[verse]\nPaper kites above the town\nHold the string and don't look down\n",
    ),
    DemoSong(
        *("03_kerosene_moon", "mp3", 44_100, 2, 8.5),
        Score(3, 57, ("i", "VI", "III", "VII"), 88, ("pluck", "bass", "lead", "pad")),
        "alternative rock, minor key, slow, dark, low male voice, 88 bpm\n",
        "[verse]\nKerosene moon on an empty road\nNobody knows what the engine knows\n",
    ),
    DemoSong(
        *("04_salt_and_static", "ogg", 44_100, 2, 12.0),
        Score(4, 55, ("i", "iv", "VI", "v"), 110, ("bass", "drums", "lead", "pad")),
        "synth pop, pulsing bass, electronic drums, melancholic, 110 bpm\n",
        "[00:00.00][verse]\n[00:00.50]Salt on the window, static in the wire\n[00:05.00]Your voice, a little fire\n",
    ),
    DemoSong(
        *("05_glasregen", "m4a", 44_100, 2, 6.0),
        Score(5, 64, ("I", "vi", "ii", "V"), 100, ("pluck", "pad", "lead")),
        "chanson, piano, warm, tender, German lyrics, 100 bpm\n",
        "[verse]\nGlasregen fällt auf die schlafende Stadt\nUnd ich zähle die Lichter am Ufer\n",
    ),
    DemoSong(
        *("06_sol_bajo", "opus", 48_000, 2, 8.5),
        Score(6, 59, ("i", "VII", "VI", "VII"), 104, ("pluck", "bass", "drums", "lead")),
        "latin pop, nylon guitar, light percussion, Spanish lyrics, sunny, 104 bpm\n",
        "[verse]\nEl sol se queda bajo sobre el mar\nY yo no quiero despertar\n",
    ),
    DemoSong(
        *("07_tide_no_words", "flac", 48_000, 2, 12.0),
        Score(7, 53, ("I", "IV", "vi", "V"), 70, ("pad", "pluck")),
        "ambient, slow pads, plucked harp, calm, no voice, 70 bpm\n",
        None,
    ),
    DemoSong(
        *("08_wren", "wav", 22_050, 1, 6.0),
        Score(8, 67, ("I", "IV", "V", "I"), 132, ("pluck", "lead")),
        "lullaby, music box, gentle, old recording, mono, 132 bpm\n",
        "[verse]\nLittle wren, little wren\nSing the morning in again\n",
    ),
    DemoSong(
        *("09_signal_fires", "mp3", 22_050, 1, 6.0),
        Score(9, 52, ("i", "III", "VII", "iv"), 140, ("bass", "drums", "lead")),
        "punk, fast drums, driving bass, shouted vocals, lo-fi, 140 bpm\n",
        "[chorus]\nSignal fires on every hill\nBurning still, burning still\n",
    ),
    DemoSong(
        *("10_northern_ferry", "flac", 48_000, 1, 8.5),
        Score(10, 58, ("vi", "IV", "I", "V"), 92, ("pluck", "bass", "pad", "lead")),
        "singer-songwriter, acoustic guitar, intimate, mono, 92 bpm\n",
        "[verse]\nThe ferry leaves at half past ten\nI count the islands home again\n",
    ),
    DemoSong(
        *("12_lantern_street", "aiff", 44_100, 2, 12.0),
        Score(12, 61, ("I", "vi", "IV", "V"), 84, ("pluck", "pad", "bass", "lead")),
        "city pop, electric piano, mellow bass, nostalgic, 84 bpm\n",
        "[verse]\nLantern street is wet with rain\n街灯在雨里发光\nSay my name, say my name\n",
    ),
)


def write_demo_songs(folder: Path) -> Path:
    """Write the demo's songs, captions and lyrics into ``folder``, all or nothing; one that is there stays as it is.

    The sound is the same on every call. 11 songs of 94 s in all, and one file that is no audio. Takes about a second.

    Raises:
        DiskError: The disk is full or not writable.
    """
    if folder.is_dir() and any(folder.iterdir()):
        return folder
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for song in SONGS:
            samples = play(song.score, seconds=song.seconds, rate=song.rate, num_channels=song.num_channels)
            _write(aside / f"{song.name}.{song.form}", encode(samples, song.rate, song.form))
            _write(aside / f"{song.name}.txt", song.caption.encode())
            if song.lyrics is not None:
                _write(aside / f"{song.name}.lyrics", song.lyrics.encode())
        _write(aside / _BROKEN, np.random.default_rng(11).bytes(_BROKEN_BYTES))
        _write((aside / _BROKEN).with_suffix(".txt"), _BROKEN_CAPTION.encode())
        sync_folder(aside)
        _rename(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _rename(aside: Path, folder: Path) -> None:
    """Put the finished folder in place, unless another process has just done so."""
    try:
        aside.rename(folder)
    except OSError:
        if not (folder.is_dir() and any(folder.iterdir())):
            raise
    sync_folder(folder.parent)


def _write(path: Path, content: bytes) -> None:
    write_atomic(path, content, action="writing the demo's songs")


def main() -> int:
    """``python -m engine.demo.songs DIR``."""
    if len(sys.argv) != 2:
        print("usage: python -m engine.demo.songs DIR", file=sys.stderr)
        return 2
    print(write_demo_songs(Path(sys.argv[1])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
