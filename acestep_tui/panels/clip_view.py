"""How clips look on their own page: the list's rows, wave and mel picture, what was asked, how to listen. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.samples import RAW, clip_name, verdict
from acestep_tui.sound.clip import Clip
from acestep_tui.widgets.paint import (
    ACCENT,
    BOLD,
    ERROR,
    HAIRLINE,
    MUTED,
    Part,
    fit,
    is_ascii,
    join,
    spread,
    text,
    title,
    wrap,
)
from acestep_tui.widgets.spark import wave
from engine.contract.events import SampleSaved

# Narrow: the page is one column of blocks; from here on list and pictures stand beside each other.
TWO_COLUMNS = 110
# From here on the list has a column for the closest song.
_WIDE_LIST = 70
_LETTER_STYLES = {"A": f"bold {ACCENT}", "B": "bold $chart-2"}
# Levels of the mel picture, dark to bright, with their colours.
_SHADES = ((" ", ""), ("·", RAW), ("░", HAIRLINE), ("▒", RAW), ("▓", ACCENT), ("█", ""))
_SHADES_ASCII = " .:+*#"
_SCORE = "not measured: this run has no musical features"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How the page's height is shared out, in rows."""

    list_rows: int
    wave_rows: int
    mel_rows: int
    has_axis: bool
    has_b: bool = True
    has_scores: bool = False

    @property
    def clip_rows(self) -> int:
        """Rows of one clip: title, wave, picture, time axis."""
        return 1 + self.wave_rows + self.mel_rows + self.has_axis


# From this height on: rows of the wave and of the picture, and what else there is room for. The list takes the rest.
_ONE_COLUMN = (
    (36, Sizes(0, 4, 6, has_axis=True)),
    (26, Sizes(0, 3, 3, has_axis=False)),
    (20, Sizes(0, 2, 2, has_axis=False)),
    (13, Sizes(0, 2, 2, has_axis=False, has_b=False)),
    (0, Sizes(0, 0, 0, has_axis=False, has_b=False)),
)
_TWO_COLUMNS = (
    (30, Sizes(6, 4, 6, has_axis=True, has_scores=True)),
    (16, Sizes(0, 2, 2, has_axis=False)),
    (0, Sizes(0, 1, 0, has_axis=False, has_b=False)),
)
# Beside the list in its own column: two rows of heading, what was asked, how to listen.
_HEADING, _ASKED, _LISTEN = 2, 5, 4
_LISTEN_LABEL = 42


def share_out(width: int, height: int) -> Sizes:
    """Rows for each part on a page of this size."""
    if width >= TWO_COLUMNS:
        sizes = next(sizes for least, sizes in _TWO_COLUMNS if height >= least)
        return sizes if sizes.list_rows else replace(sizes, list_rows=max(height - _HEADING - _ASKED - _LISTEN, 2))
    sizes = next(sizes for least, sizes in _ONE_COLUMN if height >= least)
    num_clips = (2 if sizes.has_b else 1) if sizes.wave_rows else 0
    # Each clip has a blank row above it; the last two rows are how to listen and a blank one.
    return replace(sizes, list_rows=max(height - _HEADING - num_clips * (sizes.clip_rows + 1) - 3, 1))


def list_heading(width: int) -> Content:
    """The names of the list's columns."""
    wide = "     Step  Style hit  Closest song        Verdict"
    if width < _WIDE_LIST:
        return fit(("     Step   Style hit   Verdict", MUTED), width)
    return spread((wide, MUTED), ("– needs musical features", MUTED), width)


def list_row(
    clip: SampleSaved, width: int, *, mark: str, is_selected: bool, is_playing: bool, tag: str = ""
) -> Content:
    """One clip of the list; style hit and closest song have their place, – while they are not measured."""
    glyph, word, style = verdict(clip)
    if clip.clipped_share > 0 and clip.verdict in ("clips", "clipped"):
        word = f"clips {100 * clip.clipped_share:.1f} %"
    told = join((glyph, style), " ", (word, MUTED), (f"  {tag}" if tag else "", MUTED))
    head = join(
        ("❯" if is_selected else " ", f"bold {ACCENT}"),
        (mark or " ", _LETTER_STYLES.get(mark, "")),
        fit((clip_name(clip), BOLD if is_selected else ""), 7, align="right"),
    )
    hit = fit((fmt.UNKNOWN, MUTED), 9, align="right")
    closest = join(" " * 4, fit((fmt.UNKNOWN, MUTED), 20)) if width >= _WIDE_LIST else " " * 6
    row = join(head, hit, closest, told)
    row = spread(row, join(("▶ " if is_playing else "", ACCENT), (fmt.song_length(clip.seconds), MUTED)), width)
    return row.stylize("on $block-cursor-background") if is_selected else row


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown as A or B.

    Attributes:
        letter: A or B.
        clip: What the event told; None where nothing is marked.
        picture: What reading the file gave; None while it is not read.
        position_s: Where in the clip it is played; None while it is not.
        top: The level that fills the wave's height; the same for A and B, so that they compare.
    """

    letter: str
    clip: SampleSaved | None
    picture: Clip | None = None
    position_s: float | None = None
    top: float = 1.0

    @property
    def envelope(self) -> tuple[float, ...]:
        """Loudness over time from the file, else from the event."""
        if self.picture is not None and self.picture.envelope:
            return self.picture.envelope
        return self.clip.envelope if self.clip is not None else ()


def together(shown: Sequence[Shown]) -> list[Shown]:
    """The same clips, their waves on one scale: the loudest moment of all fills the height."""
    levels = [level for each in shown for level in each.envelope if math.isfinite(level)]
    return [replace(each, top=max(levels, default=0.0) or 1.0) for each in shown]


def clip_lines(shown: Shown, width: int, sizes: Sizes) -> list[Content]:
    """A clip: title with place and loudness, wave, mel picture, time axis."""
    clip, letter = shown.clip, shown.letter
    if clip is None:
        told = fit((f"{letter.lower()} marks the selected clip as {letter}", MUTED), width)
        return _filled([title(width, "nothing marked", number=f"{letter} "), told], sizes.clip_rows)
    name = f"step {clip_name(clip)}" if clip.step > 0 else "base model"
    lines = [title(width, name, number=f"{letter} ", live=_live(shown, clip))]
    lines += _wave(shown, clip, width, sizes.wave_rows)
    lines += _mel(shown.picture, width, sizes.mel_rows)
    if sizes.has_axis:
        lines.append(spread(("0:00", MUTED), (fmt.song_length(clip.seconds), MUTED), width))
    return _filled(lines, sizes.clip_rows)


def _filled(lines: list[Content], num_rows: int) -> list[Content]:
    return [*lines[:num_rows], *[Content("")] * (num_rows - len(lines))]


def _live(shown: Shown, clip: SampleSaved) -> Part:
    length = fmt.song_length(clip.seconds)
    lufs = shown.picture.lufs if shown.picture is not None else None
    parts: list[Part] = []
    if shown.position_s is not None:
        parts = [("▶ ", ACCENT), _place(shown.position_s), (f" of {length}", MUTED)]
    elif lufs is None:
        parts = [(length, MUTED)]
    if lufs is not None:
        parts += ["   " if parts else "", (f"{lufs:.1f} LUFS".replace("-", "−"), MUTED)]
    return join(*parts)


def _place(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _wave(shown: Shown, clip: SampleSaved, width: int, num_rows: int) -> list[Content]:
    """The wave; what has been played is in the accent."""
    if not num_rows:
        return []
    if shown.picture is not None and shown.picture.problem:
        return [fit((f"✗ {shown.picture.problem}", ERROR), width)]
    if not shown.envelope:
        return [fit(("reading the clip …", MUTED), width)]
    share = shown.position_s / clip.seconds if shown.position_s is not None and clip.seconds > 0 else 0.0
    played = round(width * min(share, 1.0))
    rows = wave(shown.envelope, width, num_rows, top=shown.top, is_ascii=is_ascii())
    return [join((row[:played], ACCENT), (row[played:], RAW)) for row in rows]


def _mel(picture: Clip | None, width: int, num_rows: int) -> list[Content]:
    """The mel picture, the highest band on top; blank while the file is not read."""
    if picture is None or not picture.mel or not num_rows:
        return [Content("")] * num_rows
    rows = []
    for place in reversed(range(num_rows)):
        levels = _row_levels(picture.mel, place, num_rows, width)
        rows.append(join(*_shaded(levels)))
    return rows


def _row_levels(mel: Sequence[Sequence[float]], place: int, num_rows: int, width: int) -> list[int]:
    """One row of the picture in `width` cells: the mean over its bands and columns, as an index of `_SHADES`."""
    bands = mel[
        place * len(mel) // num_rows : max((place + 1) * len(mel) // num_rows, place * len(mel) // num_rows + 1)
    ]
    num_columns = len(bands[0])
    levels = []
    for x in range(width):
        start, end = x * num_columns // width, max((x + 1) * num_columns // width, x * num_columns // width + 1)
        values = [value for band in bands for value in band[start:end]]
        levels.append(min(int(sum(values) / len(values) * len(_SHADES)), len(_SHADES) - 1))
    return levels


def _shaded(levels: Sequence[int]) -> list[Part]:
    """Cells of equal level together, so that a row is few changes of colour."""
    parts: list[Part] = []
    start = 0
    for place in range(1, len(levels) + 1):
        if place == len(levels) or levels[place] != levels[start]:
            sign, style = _SHADES[levels[start]]
            sign = _SHADES_ASCII[levels[start]] if is_ascii() else sign
            parts.append((sign * (place - start), style))
            start = place
    return parts


def score_lines(width: int, total: int | None) -> list[Content]:
    """The place of style hit over time: its axes, and why nothing is drawn in them."""
    right = width - 6
    grid = Content.styled(("." if is_ascii() else "┈") * right, HAIRLINE)
    blank = Content("")
    reason = [fit(line, right, align="center") for line in wrap((_SCORE, MUTED), right - 4)]
    middle = [*reason, blank, blank][:2]
    rows = [
        title(width, "Style hit over time", live=("0 none, 1 like your songs", MUTED)),
        join(("  1.0 ", MUTED), grid),
        join(" " * 6, middle[0]),
        join(" " * 6, middle[1]),
        join(("  0.5 ", MUTED), grid),
        blank,
        blank,
        join(("  0.0 ", MUTED), grid),
    ]
    end = fmt.count(total) if total else ""
    half = fmt.count(total // 2) if total else ""
    axis = f"      0{half:>24}" if half else "      0"
    rows.append(spread((axis, MUTED), (end, MUTED), width))
    legend = (
        ("━", ACCENT),
        (" style hit   ", MUTED),
        ("━", "$chart-2"),
        (" closest single song (alarm 0.90)", MUTED),
    )
    return [*rows, fit(join(*legend), width)]


def asked_lines(asked: Mapping[str, Any], width: int, height: int) -> list[Content]:
    """What the clips were asked for: prompt, lyrics, length, seed, steps, guidance."""
    lines = [title(width, "What was asked")]
    prompt = str(asked.get("prompt") or "")
    lines += wrap(text(prompt), width)[: max(height - 3, 1)] if prompt else [text("no prompt", MUTED)]
    lyrics = " ".join(str(asked.get("lyrics") or "").split())
    lines.append(fit(join(("lyrics  ", MUTED), lyrics or ("none, an instrumental", MUTED)), width))
    numbers = [
        f"{asked['duration']:.0f} s" if isinstance(asked.get("duration"), int | float) else "",
        f"seed {asked['seed']}" if asked.get("seed") is not None else "",
        f"{asked['steps']} steps" if asked.get("steps") is not None else "",
        f"guidance {asked['guidance']:.1f}" if isinstance(asked.get("guidance"), int | float) else "",
    ]
    lines.append(fit((", ".join(number for number in numbers if number), MUTED), width))
    return lines[:height]


def listen_lines(width: int, height: int, *, player: str, command: str, key: str = "y") -> list[Content]:
    """How to hear a clip: here, or on one's own computer.

    Args:
        width: In cells.
        height: In rows; one is the short form.
        player: The program that plays here; empty when this computer has none.
        command: The line that takes the selected clip to one's own computer.
        key: The key that copies it.
    """
    copy = join((key, f"bold {ACCENT}"), (" copy", MUTED))
    if height < 2:
        if player:
            return [fit(join(("Listen: ", MUTED), ("space", f"bold {ACCENT}"), f" plays here with {player}"), width)]
        return [spread(join(("Listen: ", MUTED), command), copy, width)]
    where = f"space plays here with {player}" if player else "this machine has no loudspeaker"
    take = spread(join(("Take the file:".ljust(_LISTEN_LABEL), MUTED), command), copy, width)
    later = join(
        ("In your browser, through ssh -L:".ljust(_LISTEN_LABEL), MUTED), ("comes with a later version", MUTED)
    )
    return [title(width, "Listen on your own computer", live=(where, MUTED)), take, fit(later, width)][:height]


def listen_room(width: int, height: int) -> int:
    """Cells that `listen_lines` has for the command."""
    return width - (len("Listen: ") if height < 2 else _LISTEN_LABEL) - len(" y copy")
