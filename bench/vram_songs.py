"""Songs, captions and lyrics of a given size for whole runs: 128 tokens of text, 512 of lyrics."""

from __future__ import annotations

from pathlib import Path

from engine.demo.encode import encode
from engine.demo.synth import Score, play
from engine.lyrics.tokenizer import LyricTokenizer

NUM_TEXT_TOKENS, NUM_LYRIC_TOKENS = 128, 512
_RATE = 44_100
_LINES = (
    "Harbour lights are calling me across the quiet water",
    "Every window holds a lamp and every lamp a daughter",
    "Paper kites above the town are leaning on the weather",
    "Hold the string and do not let the evening slip its tether",
    "Salt upon the railing and the engine running slow",
    "Nobody knows the morning as the early ferries know",
)


def write_songs(folder: Path, *, seconds: float, count: int, num_channels: int = 2) -> Path:
    """``count`` flac files of one length, each with a caption and lyrics of its own; what is there stays.

    Args:
        folder: Where.
        seconds: Length of each.
        count: How many.
        num_channels: 1 or 2.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lyrics = lyrics_of(NUM_LYRIC_TOKENS)
    score = Score(1, 60, ("I", "V", "vi", "IV"), 96, ("pluck", "bass", "lead", "drums"))
    samples = None
    for number in range(count):
        path = folder / f"song_{number}.flac"
        if path.is_file():
            continue
        if samples is None:
            samples = play(score, seconds=seconds, rate=_RATE, num_channels=num_channels)
        # Each song another sound, without a second's work for each.
        path.write_bytes(encode(samples * (1.0 - 0.05 * number), _RATE, "flac"))
        path.with_suffix(".txt").write_text(f"take {number}, {caption()}\n", encoding="utf-8")
        path.with_suffix(".lyrics").write_text(lyrics, encoding="utf-8")
    return folder


def caption() -> str:
    """More words than the text encoder is given tokens."""
    return ", ".join(f"warm indie pop number {number}, bright guitar, soft drums" for number in range(24))


def lyrics_of(num_tokens: int) -> str:
    """The most lines whose tokens are not more than so many; within a line of it.

    Args:
        num_tokens: As the model reads them in training.
    """
    tokenizer = LyricTokenizer("script")
    text = "[verse]\n"
    for number in range(1000):
        longer = f"{text}{_LINES[number % len(_LINES)]}\n"
        if len(tokenizer.train_ids(longer)) > num_tokens:
            break
        text = longer
    return text
