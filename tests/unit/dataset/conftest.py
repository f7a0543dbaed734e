"""Sound made on the spot, in every format, and folders of songs around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.demo.encode import encode

# Suffix → how `encode` calls what is inside.
FORMS = {
    ".wav": "wav",
    ".flac": "flac",
    ".aiff": "aiff",
    ".ogg": "ogg",
    ".mp3": "mp3",
    ".m4a": "m4a",
    ".aac": "aac",
    ".alac": "alac",
    ".opus": "opus",
    ".wma": "wma",
    ".mkv": "mkv",
    ".webm": "webm",
}


def tones(*hertz: float, rate: int = 44_100, seconds: float = 2.0) -> np.ndarray:
    """One sine a channel."""
    t = np.arange(round(rate * seconds)) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * one * t) for one in hertz]).astype(np.float32)


def dominant_hertz(signal: np.ndarray, rate: int) -> float:
    """Frequency of the strongest partial, to about 0.1 Hz."""
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), n=1 << 19))
    return float(np.argmax(spectrum) * rate / (1 << 19))


@pytest.fixture(scope="session")
def sounds() -> Callable[[str], bytes]:
    """Two seconds of stereo (440 and 660 Hz) by suffix, encoded once a session."""
    made: dict[str, bytes] = {}

    def get(suffix: str) -> bytes:
        if suffix not in made:
            rate = 48_000 if FORMS[suffix] in ("opus", "webm") else 44_100
            made[suffix] = encode(tones(440, 660, rate=rate), rate, FORMS[suffix])
        return made[suffix]

    return get


@pytest.fixture
def album(tmp_path: Path, sounds: Callable[[str], bytes]) -> Callable[..., Path]:
    """A maker of songs: `album("a/x.flac", lyrics="la")` writes song, caption and lyrics; returns the album."""

    def add(name: str, *, caption: str | None = "rock", lyrics: str | None = "la la") -> Path:
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sounds(path.suffix.lower()))
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        if lyrics is not None:
            path.with_suffix(".lyrics").write_text(lyrics, encoding="utf-8")
        return tmp_path / "album"

    return add
