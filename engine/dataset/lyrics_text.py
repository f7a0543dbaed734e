"""Lyrics as text: LRC time stamps are read and taken out, so that the model never sees them as words."""

from __future__ import annotations

import re
from dataclasses import dataclass

# [mm:ss], [mm:ss.xx], [mm:ss:xx], [hh:mm:ss.xx]: the stamps found in files of players and of lyric editors.
_STAMP = re.compile(r"\[(?:(\d{1,2}):(?=\d{1,2}:\d{1,2}\.))?(\d{1,3}):(\d{1,2})(?:[.:](\d{1,3}))?\]")
_LINE_START = re.compile(rf"\s*((?:{_STAMP.pattern}\s*)+)")
# <mm:ss.xx> inside a line: the word stamps of "enhanced" LRC.
_WORD_STAMP = re.compile(r"<\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?>\s?")
# Header lines of an LRC file. Only these names: [verse], [chorus: loud] and the like are lyrics and stay.
_HEADER = re.compile(r"\s*\[(ar|al|ti|au|by|re|ve|la|lang|tool|length|offset|#)\s*:([^\]]*)\]\s*", re.IGNORECASE)
_NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class TimedLine:
    """One line of lyrics and the second of the song at which it starts."""

    start_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Lyrics:
    """Lyrics ready for training: `text` without any time stamp, `timed_lines` when the file had stamps."""

    text: str
    timed_lines: tuple[TimedLine, ...] = ()


def parse_lyrics(raw: str) -> Lyrics:
    """Lyrics from the text of a file, LRC or plain (spec config-formats.md 2.2 `long_clip`, 2.4).

    A file with LRC stamps loses them, its header lines (`[ar:…]`) and its word stamps; a line with several stamps is
    sung several times and stands once for each; lines are in the order of time. A line without a stamp between
    stamped ones (a `[chorus]` heading) belongs to the next stamped line. A file without stamps is taken as it is,
    stripped.
    """
    lines = _NEWLINE.split(raw)
    if not any(_LINE_START.match(line) for line in lines):
        return Lyrics(text="\n".join(line.rstrip() for line in lines).strip())
    timed: list[TimedLine] = []
    untimed: list[str] = []
    offset_s = 0.0
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is not None:
            if header[1].lower() == "offset":
                offset_s = _offset_seconds(header[2])
            continue
        start = _LINE_START.match(line)
        if start is None:
            untimed.append(_WORD_STAMP.sub("", line).strip())
            continue
        text = _WORD_STAMP.sub("", line[start.end() :]).strip()
        for stamp in _STAMP.finditer(start[1]):
            start_s = _stamp_seconds(stamp)
            timed += [TimedLine(start_s, heading) for heading in untimed if heading]
            timed.append(TimedLine(start_s, text))
            untimed = []
    last_s = max(line.start_s for line in timed)
    timed += [TimedLine(last_s, text) for text in untimed if text]
    # A positive offset means that the lyrics come sooner than the stamps say. The sort is stable: headings stay first.
    timed = sorted(
        (TimedLine(max(0.0, line.start_s - offset_s), line.text) for line in timed), key=lambda one: one.start_s
    )
    return Lyrics(text=join_lines(timed), timed_lines=tuple(timed))


def join_lines(lines: list[TimedLine]) -> str:
    """The text of timed lines, stripped."""
    return "\n".join(line.text for line in lines).strip()


def _stamp_seconds(stamp: re.Match[str]) -> float:
    hours, minutes, seconds, fraction = stamp.groups()
    return int(hours or 0) * 3600.0 + int(minutes) * 60.0 + int(seconds) + (float(f"0.{fraction}") if fraction else 0.0)


def _offset_seconds(text: str) -> float:
    """`[offset:+250]`, milliseconds; what is not a number is no offset."""
    try:
        return float(text) / 1000.0
    except ValueError:
        return 0.0
