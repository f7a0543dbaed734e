"""The loudness of a clip in little space: one row of blocks, or a mirrored wave of Braille. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from acestep_tui.widgets.braille import DOTS_ACROSS, DOTS_DOWN, Canvas

BLOCKS = "▁▂▃▄▅▆▇█"
BLOCKS_ASCII = ".:-=+*#"


def spark(envelope: Sequence[float | None], width: int, *, top: float | None = 1.0, is_ascii: bool = False) -> str:
    """A row of blocks: ``▃▃▆▆▅▄▆▅``.

    Args:
        envelope: Loudness over time, 0 to ``top``; what is not a finite number leaves a blank.
        width: In cells; each shows the loudest value that falls into it.
        top: The value of a full block; None takes the loudest one.
        is_ascii: Whether to draw in ASCII.
    """
    blocks = BLOCKS_ASCII if is_ascii else BLOCKS
    levels = _levels(envelope, max(width, 0), top)
    return "".join(" " if level is None else blocks[min(int(level * len(blocks)), len(blocks) - 1)] for level in levels)


def wave(
    envelope: Sequence[float | None], width: int, height: int, *, top: float | None = 1.0, is_ascii: bool = False
) -> list[str]:
    """A mirrored wave, ``height`` rows of ``width`` cells; silence is a thin line in the middle.

    Args:
        envelope: Loudness over time, 0 to ``top``; what is not a finite number leaves a blank.
        width: In cells, two values each.
        height: In rows.
        top: The loudness that reaches the edge; None takes the loudest one.
        is_ascii: Whether to draw whole cells in ASCII.
    """
    canvas = Canvas(width, height, is_ascii=is_ascii)
    loud = canvas.layer("line", ascii_faint=".")
    half = canvas.height * DOTS_DOWN // 2
    for x, level in enumerate(_levels(envelope, canvas.width * DOTS_ACROSS, top)):
        if level is not None:
            num_dots = max(round(level * half), 1)
            loud.column(x, half - num_dots, half + num_dots - 1)
    return ["".join(text for text, _ in canvas.row(y)) for y in range(canvas.height)]


def _levels(envelope: Sequence[float | None], num_parts: int, top: float | None) -> list[float | None]:
    """The loudest value of each part as a share of ``top``; None where there is no number."""
    known = [None if value is None or not math.isfinite(value) else max(value, 0.0) for value in envelope]
    most = max((value for value in known if value is not None), default=0.0)
    full = most if top is None else top
    levels: list[float | None] = []
    for part in range(num_parts):
        first = part * len(known) // num_parts
        end = max(-(-(part + 1) * len(known) // num_parts), first + 1)
        heard = [value for value in known[first:end] if value is not None]
        levels.append(min(max(heard) / full, 1.0) if heard and full > 0 else (0.0 if heard else None))
    return levels
