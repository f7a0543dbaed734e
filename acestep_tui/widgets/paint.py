"""Lines of text as the screens show them: styled, cut and filled to the exact cell. Pure functions.

Everything visible is made by `text` and `join`, so the ASCII set (design: screens.md, "State glyphs") is one switch.
Styles are Textual's, with theme variables: ``"$text-muted"``, ``"bold $primary"``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from rich.cells import cell_len
from textual.content import Content

from acestep_tui.format import to_ascii

MUTED = "$text-muted"
ACCENT = "$primary"
HAIRLINE = "$border-blurred"
SUCCESS = "$success"
WARNING = "$warning"
ERROR = "$error"
BOLD = "bold"

Part: TypeAlias = "str | Content | tuple[str, str]"

# What `to_ascii` of the headless output has no need for: arrows, blocks, the chart's lines.
_ASCII_MORE = str.maketrans(
    {
        "↓": "v", "↑": "^", "↵": "Enter", "←": "<", "⌫": "Bksp", "⇧": "Shift ", "▌": "|", "▏": "|", "▾": "v",
        "▸": ">", "│": "|", "◉": "(x)", "┈": ".", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "°": " deg ", "−": "-",
    }
)  # fmt: skip
# Rules and bars differ in shape where they cannot differ in colour (screens.md: hairline "-", heavy "=", bars "#").
_RULE, _HEAVY = "─", "━"


class _Glyphs:
    """Whether symbols are drawn in ASCII: one terminal, one answer, so one switch for the process."""

    ascii = False


def use_ascii(on: bool) -> None:
    """Draw all symbols in ASCII from now on (a setting, or a locale without UTF-8)."""
    _Glyphs.ascii = on


def is_ascii() -> bool:
    """Whether symbols are drawn in ASCII."""
    return _Glyphs.ascii


def text(value: str, style: str = "") -> Content:
    """A piece of one line; control characters (a song's name may hold some) are shown as a dot."""
    shown = "".join(sign if sign.isprintable() else "·" for sign in value)
    if _Glyphs.ascii:
        shown = to_ascii(shown.translate(_ASCII_MORE))
    return Content.styled(shown, style) if style else Content(shown)


def join(*parts: Part) -> Content:
    """Pieces side by side: plain strings, ``(text, style)`` pairs, contents."""
    return Content("").join(_content(part) for part in parts)


def _content(part: Part) -> Content:
    if isinstance(part, Content):
        return part
    return text(part) if isinstance(part, str) else text(*part)


def fit(part: Part, width: int, *, align: str = "left") -> Content:
    """Exactly ``width`` cells: cut with an ellipsis, or filled with blanks.

    Args:
        part: What to show.
        width: In cells; wide characters count two.
        align: ``left``, ``right`` or ``center``.
    """
    content = _content(part)
    width = max(width, 0)
    if content.cell_length > width:
        content = _cut(content, width)
    room = width - content.cell_length
    left = {"left": 0, "right": room, "center": room // 2}[align]
    return content.pad_left(left).pad_right(room - left)


def _cut(content: Content, width: int) -> Content:
    mark = "..." if _Glyphs.ascii else "…"
    if width <= len(mark):
        return content.truncate(width)
    return content.truncate(width - len(mark)).rstrip() + Content(mark)


def spread(left: Part, right: Part, width: int) -> Content:
    """Two pieces at the two ends of a line; the left one gives way."""
    end = fit(right, min(_content(right).cell_length, width))
    gap = 1 if 0 < end.cell_length < width else 0
    return fit(left, width - end.cell_length - gap) + Content(" " * gap) + end


def columns(cells: Sequence[Part], widths: Sequence[int], *, gap: int = 2) -> Content:
    """Cells in columns; a negative width means right-aligned."""
    fitted = [
        fit(cell, abs(width), align="right" if width < 0 else "left") for cell, width in zip(cells, widths, strict=True)
    ]
    return Content(" " * gap).join(fitted)


def title(width: int, name: str, *, number: str = "", live: Part = "", is_focused: bool = False) -> Content:
    """A panel's title on its rule: ``1 Loss ─────── live``; heavy and in the accent when focused."""
    style, rule = (f"bold {ACCENT}", _HEAVY) if is_focused else (BOLD, _RULE)
    head = join((f"{number} ", ACCENT if is_focused else MUTED) if number else "", (name, style), " ")
    tail = _content(live)
    tail = text(" ") + tail if tail.cell_length else tail
    room = width - head.cell_length - tail.cell_length
    if room < 1:
        tail = fit(tail, max(0, width - head.cell_length - 1))
        room = width - head.cell_length - tail.cell_length
    sign = ("=" if is_focused else "-") if _Glyphs.ascii else rule
    return fit(head + Content.styled(sign * max(room, 0), ACCENT if is_focused else HAIRLINE) + tail, width)


def bar(width: int, share: float | None, *, mark: float | None = None, style: str = ACCENT) -> Content:
    """A bar: ``━━━╸────``, with ``│`` at ``mark`` (a plan). Shares are 0 to 1; None = nothing known, an empty bar.

    It is never longer than what is done: a full bar means all of it.
    """
    width = max(width, 1)
    known = min(max(share, 0.0), 1.0) if share is not None and not math.isnan(share) else 0.0
    halves = int(known * width * 2 + 1e-6)
    full, half = divmod(halves, 2)
    if _Glyphs.ascii:
        signs = ["#"] * full + ["-"] * (width - full)
    else:
        signs = ["━"] * full + ["╸"] * half
        signs += ["─"] * (width - len(signs))
    filled = full + (0 if _Glyphs.ascii else half)
    content = join(("", "")) + Content.styled("".join(signs[:filled]), style)
    content += Content.styled("".join(signs[filled:]), HAIRLINE)
    if mark is None or math.isnan(mark):
        return content
    place = min(max(round(min(max(mark, 0.0), 1.0) * width), 0), width - 1)
    return content[:place] + text("│", "") + content[place + 1 :]


def wrap(part: Part, width: int, *, indent: int = 0) -> list[Content]:
    """A text over several lines; the second and later ones begin ``indent`` cells further right."""
    content = _content(part)
    lines: list[Content] = []
    rest = content
    while rest.cell_length > (room := max(width - (indent if lines else 0), 1)) and len(rest) > 1:
        place = _break_at(rest.plain, room)
        lines.append(rest[:place].rstrip().pad_left(indent if lines else 0))
        rest = rest[place:]
        while rest.plain.startswith(" "):
            rest = rest[1:]
    lines.append(rest.pad_left(indent if lines else 0))
    return lines


def _break_at(plain: str, room: int) -> int:
    """Where a line of at most ``room`` cells ends: at the last blank, else in the middle of the word."""
    width, last_blank = 0, 0
    for index, sign in enumerate(plain):
        width += cell_len(sign)
        if width > room:
            return (index if sign == " " else last_blank) or max(index, 1)
        if sign == " ":
            last_blank = index + 1
    return len(plain)
