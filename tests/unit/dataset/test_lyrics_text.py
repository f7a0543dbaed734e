"""LRC stamps become times, never words."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.dataset.lyrics_text import TimedLine, parse_lyrics
from engine.dataset.scan import Song

PLAIN = "[verse]\nLa la  \n\n[chorus: loud]\n[ar] is no header here\nOh at 12:30\n"
LRC = (
    "[ti:Night Ferry]\n[ar:Nobody]\n[length: 03:20]\n"
    "[chorus]\n[00:12.00][01:02.5]Take me <00:12.80>over\n[00:20]\n[verse]\n[00:21:50]Slow <00:22.00>water\n[outro]\n"
)


def test_plain_lyrics_stay_as_they_are():
    lyrics = parse_lyrics(PLAIN)
    assert lyrics.text == "[verse]\nLa la\n\n[chorus: loud]\n[ar] is no header here\nOh at 12:30"
    assert lyrics.timed_lines == ()


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_stamps_headers_and_word_stamps_go(newline):
    lyrics = parse_lyrics(LRC.replace("\n", newline))
    assert lyrics.text == "[chorus]\nTake me over\n\n[verse]\nSlow water\nTake me over\n[outro]"
    assert lyrics.timed_lines == (
        TimedLine(12.0, "[chorus]"),
        TimedLine(12.0, "Take me over"),
        TimedLine(20.0, ""),
        TimedLine(21.5, "[verse]"),
        TimedLine(21.5, "Slow water"),
        TimedLine(62.5, "Take me over"),
        TimedLine(62.5, "[outro]"),
    )


@pytest.mark.parametrize(
    ("stamp", "start_s"),
    [
        ("[00:01]", 1.0),
        ("[00:01.5]", 1.5),
        ("[00:01.50]", 1.5),
        ("[00:01.050]", 1.05),
        ("[01:02:03.5]", 3723.5),
        ("[100:00]", 6000.0),
    ],
)
def test_forms_of_a_stamp(stamp, start_s):
    assert parse_lyrics(f"{stamp} la").timed_lines == (TimedLine(start_s, "la"),)


def test_an_offset_moves_all_lines_and_none_before_the_start():
    lyrics = parse_lyrics("[offset:+500]\n[00:00.20]a\n[00:10.00]b")
    assert [line.start_s for line in lyrics.timed_lines] == [0.0, 9.5]
    assert lyrics.text == "a\nb"
    assert parse_lyrics("[offset: nonsense]\n[00:10.00]b").timed_lines == (TimedLine(10.0, "b"),)


def test_nothing_sung():
    assert parse_lyrics(" \n\n").text == ""
    assert parse_lyrics("[ti:x]\n[00:01.00]\n[00:09.00] ").text == ""


def _song(raw: str | None) -> Song:
    lyrics = parse_lyrics(raw) if raw is not None else None
    return Song(
        backend_id="songs",
        path=Path("a.flac"),
        relative_path="a.flac",
        format="flac",
        sample_rate=44_100,
        num_channels=2,
        num_samples=4_410_000,
        duration_s=100.0,
        size_bytes=1,
        mtime_ns=1,
        captions=("rock",),
        lyrics=lyrics.text if lyrics else None,
        timed_lines=lyrics.timed_lines if lyrics else (),
    )


def test_lyrics_of_a_piece():
    timed = _song(LRC)
    assert timed.lyrics_between(0.0, 100.0) == timed.lyrics
    assert timed.lyrics_between(0.0, 90.0) == timed.lyrics
    assert timed.lyrics_between(0.0, 20.0) == "[chorus]\nTake me over"
    assert timed.lyrics_between(20.0, 60.0) == "[verse]\nSlow water"
    assert timed.lyrics_between(63.0, 100.0) is None
    plain = _song("la\nla")
    assert plain.lyrics_between(0.0, 95.0) == "la\nla"
    assert plain.lyrics_between(0.0, 89.0) is None
    assert plain.lyrics_between(1.0, 100.0) is None
    assert _song(None).lyrics_between(0.0, 100.0) is None
