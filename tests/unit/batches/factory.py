"""Songs, clips and audio settings for tests."""

from __future__ import annotations

from pathlib import Path

from engine.batches.bucket import Entry, plan_clips
from engine.contract.backends import AudioBlock
from engine.dataset.report import Song

RATE = 48_000


def make_song(
    name: str = "song.wav",
    *,
    seconds: float = 10.0,
    num_samples: int | None = None,
    rate: int = RATE,
    backend_id: str = "songs",
    captions: tuple[str, ...] = ("a song",),
    lyrics: str | None = None,
    path: Path | None = None,
    **more: object,
) -> Song:
    count = round(seconds * rate) if num_samples is None else num_samples
    values: dict[str, object] = {
        "backend_id": backend_id,
        "path": path or Path("/nowhere") / name,
        "relative_path": name,
        "format": "wav",
        "sample_rate": rate,
        "num_channels": 2,
        "num_samples": count,
        "duration_s": count / rate,
        "size_bytes": count * 4,
        "mtime_ns": 1,
        "captions": captions,
        "lyrics": lyrics,
        **more,
    }
    return Song(**values)  # type: ignore[arg-type]


def make_entries(count: int, *, seconds: float = 10.0, backend_id: str = "songs", **audio: object) -> tuple[Entry, ...]:
    songs = [make_song(f"{index:03}.wav", seconds=seconds, backend_id=backend_id) for index in range(count)]
    return plan_clips(songs, AudioBlock(**audio), 1).entries  # type: ignore[arg-type]
