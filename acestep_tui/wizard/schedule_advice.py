"""How long to train, how often to listen and to what: proposals drawn from the songs. Pure functions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acestep_tui import format as fmt
from engine.planning.advice import Advice

if TYPE_CHECKING:
    from engine.dataset.report import Song

# How often each song should be heard: the proposal, and the range that suits.
_PASSES, _FEW_PASSES, _MANY_PASSES = 90, 45, 136
RARELY, TOO_OFTEN = 20, 300
# Many songs: fewer passes do, since each of them teaches something of the others.
_LONG_RUN_STEPS = 10_000
_ROUND = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_INTERVALS = (1.0, 2.0, 2.5, 5.0, 10.0)
_ROUNDS_OF_CLIPS = 8
_WARMUP_SHARE, _MOST_WARMUP = 0.05, 500
_MOST_LINES = 8
_TAG = re.compile(r"\s*\[([^\]]+)\]\s*$")


@dataclass(frozen=True, slots=True)
class Example:
    """What the test song is made of: a song's caption, and a few of its lines to sing."""

    song: str
    caption: str
    verse: str = ""


def example_of(songs: Sequence[Song]) -> Example | None:
    """The first song with words, else the first song; None without songs."""
    chosen = next((song for song in songs if song.lyrics), None) or next(iter(songs), None)
    if chosen is None:
        return None
    name = chosen.relative_path.rpartition("/")[2].rpartition(".")[0]
    return Example(name, chosen.captions[0] if chosen.captions else "", first_verse(chosen.lyrics or ""))


def first_verse(lyrics: str) -> str:
    """The first lines that are sung, with their tag: a verse if the lyrics name one, else the first lines."""
    blocks: list[tuple[str, list[str]]] = [("", [])]
    for line in lyrics.splitlines():
        tag = _TAG.match(line)
        if tag:
            blocks.append((tag[1].strip(), []))
        elif line.strip():
            blocks[-1][1].append(line.strip())
        elif blocks[-1][1]:
            blocks.append((blocks[-1][0], []))
    sung = [(tag, lines) for tag, lines in blocks if lines]
    if not sung:
        return ""
    name, lines = next((block for block in sung if block[0].casefold().startswith("verse")), sung[0])
    return "\n".join([f"[{name}]" if name else "[verse]", *lines[:_MOST_LINES]])


def suited_steps(num_clips: int, clips_per_step: int) -> tuple[int, int, int]:
    """Proposed steps, and the least and the most that suit so many songs."""
    per_pass = max(num_clips, 1) / max(clips_per_step, 1)
    most = max(_rounded(_MANY_PASSES * per_pass, _ROUND), 1)
    least = max(_rounded(_FEW_PASSES * per_pass, _ROUND), 1)
    wanted = _PASSES * per_pass
    if wanted > _LONG_RUN_STEPS:
        wanted = max(_LONG_RUN_STEPS, RARELY * per_pass)
        least = min(least, _rounded(wanted, _ROUND))
    return _rounded(wanted, _ROUND), least, most


def schedule_advice(
    *, num_clips: int, clips_per_step: int, num_steps: int, example: Example | None, duration_s: float
) -> dict[str, Advice]:
    """Values for the schedule with their reasons.

    Args:
        num_clips: Pieces that are trained; 0 before the songs are known.
        clips_per_step: Songs at once times steps gathered.
        num_steps: The length that is chosen now; 0 = the proposed one.
        example: What the test song may be made of.
        duration_s: Length of the test clip.
    """
    advice: dict[str, Advice] = {}
    if num_clips:
        steps = suited_steps(num_clips, clips_per_step)[0]
        num_steps = num_steps or steps
        advice["max_train_steps"] = Advice(steps, f"Each song is heard about {_PASSES} times.")
        interval = max(_rounded(num_steps / _ROUNDS_OF_CLIPS, _INTERVALS), 1)
        said = f"{fmt.plural(num_steps // interval, 'time')} in the run, enough to hear how it goes."
        advice["validation_step_interval"] = Advice(interval, said)
        advice["checkpointing_steps"] = Advice(interval, "With each test clip, so that what you hear can be had.")
        warmup = min(_rounded(num_steps * _WARMUP_SHARE, _ROUND), _MOST_WARMUP)
        advice["lr_warmup_steps"] = Advice(warmup, "A gentle start: the first steps are the roughest.")
        advice["lr_scheduler"] = Advice("cosine", "Small steps at the end settle what was learned.")
        advice["validation_on_startup"] = Advice(True, "A clip of the model as it is, to compare with.")
    if example is not None and example.caption:
        length = fmt.duration(duration_s)
        sung = f"Sung with verse 1 of {example.song}: {length}, same seed."
        if not example.verse:
            sung = f"Without words: {length}, same seed."
        advice["validation_prompt"] = Advice(example.caption, sung)
        advice["validation_lyrics"] = Advice(example.verse or None, f"From {example.song}." if example.verse else "")
    return advice


def heard(num_steps: int, num_clips: int, clips_per_step: int) -> int | None:
    """How often each song is heard; None before the songs are known."""
    return round(num_steps * clips_per_step / num_clips) if num_clips else None


def _rounded(value: float, among: Sequence[float]) -> int:
    """The nearest number with one of these leading digits; whole, since steps are."""
    if value < 1:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    return max(1, round(min(among, key=lambda one: abs(one * power - value)) * power))
