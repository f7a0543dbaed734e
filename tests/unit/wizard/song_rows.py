"""Songs and rows made up for tests: nothing of them is on disk."""

from __future__ import annotations

from pathlib import Path

from acestep_tui.wizard.songs import SongRow, SongTable
from engine.dataset.lyrics_text import TimedLine
from engine.dataset.report import Problem, Song


def song(name: str, *, seconds: float = 200.0, lyrics: str | None = "one\ntwo", timed: bool = False, **more) -> Song:
    values = {
        "backend_id": "songs",
        "path": Path("/music") / name,
        "relative_path": name,
        "format": "flac",
        "sample_rate": 44_100,
        "num_channels": 2,
        "num_samples": round(seconds * 44_100),
        "duration_s": seconds,
        "size_bytes": 1000,
        "mtime_ns": 0,
        "captions": ("dream pop, female voice",),
        "lyrics": lyrics,
        "timed_lines": (TimedLine(0.0, "one"),) if timed else (),
    }
    return Song(**{**values, **more})


def row(name: str, *codes: str, used: bool = True, language: str = "", **more) -> SongRow:
    """A row with problems of these codes; one that cannot be used has no song."""
    problems = tuple(Problem(name, "error" if not used else "warning", code, REASONS.get(code, code)) for code in codes)
    lyrics = None if {"no_lyrics", "empty_lyrics"} & set(codes) else more.pop("lyrics", "one\ntwo")
    return SongRow(
        "songs",
        name,
        song(name, lyrics=lyrics, **more) if used else None,
        problems,
        lyrics_name=f"{name.rpartition('/')[2].rpartition('.')[0]}.lyrics",
        language=language,
    )


REASONS = {
    "unreadable": "left out: damaged after 0.4 s: the file is cut off there",
    "no_caption": "left out: no caption, add x.txt next to it",
    "empty_caption": "left out: empty caption, write one into x.txt",
    "too_short": "left out: 0.5 s long, min_duration_seconds is 3",
    "no_lyrics": "no lyrics: trains as an instrumental",
    "long_clip": "4 min 10 s long: cut to 4 min",
    "clipped": "clips 1.2 %",
    "duplicate": "the same as 01 Night Ferry.flac",
}


def table(*rows: SongRow, **more) -> SongTable:
    return SongTable(rows=rows, **more)


def night_ferry(**more) -> SongTable:
    """The mock-up's songs, a few of them."""
    return table(
        row("01 Night Ferry.flac", language="en", seconds=232, lyrics="\n".join(["[verse]", *["la"] * 34])),
        row("02 Harbour Lights.flac", "long_clip", language="en", seconds=250, lyrics="\n".join(["la"] * 28)),
        row("04 Paper Lanterns.flac", "no_lyrics", seconds=238),
        row("10 Åland.flac", language="sv", seconds=229, lyrics="\n".join(["la"] * 33)),
        row("13 Lighthouse demo.m4a", "unreadable", used=False),
        row("14 Cold Harbour.flac", "no_lyrics", seconds=240),
        **more,
    )
