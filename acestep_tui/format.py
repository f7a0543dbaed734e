"""Numbers, units and times as people read them (design: screens.md, "Typography"): pure functions of their arguments.

An unknown value is always `UNKNOWN`, never 0.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

from engine.contract.errors import UserError

UNKNOWN = "–"
KB, MB, GB = 2**10, 2**20, 2**30

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


class _Wishes:
    """How this user reads numbers: one process, one reader, so one switch each (settings: Time, Memory)."""

    has_12_hours = False
    has_binary_names = False


def use_wishes(*, has_12_hours: bool = False, has_binary_names: bool = False) -> None:
    """Write times as ``2:42 pm``, and sizes with the names of binary units (``GiB``), from now on."""
    _Wishes.has_12_hours, _Wishes.has_binary_names = has_12_hours, has_binary_names


def time_of_day(t: float, *, has_seconds: bool = False) -> str:
    """A moment of its day in this computer's zone: ``14:42``, ``14:21:07``, or ``2:42 pm``."""
    moment = datetime.fromtimestamp(t)
    rest = f"{moment:%M:%S}" if has_seconds else f"{moment:%M}"
    if _Wishes.has_12_hours:
        return f"{moment.hour % 12 or 12}:{rest} {'am' if moment.hour < 12 else 'pm'}"
    return f"{moment:%H}:{rest}"


def count(number: int | None) -> str:
    """A count with thousands: ``1,240``."""
    return UNKNOWN if number is None else f"{number:,}"


def part_of(done: int | None, total: int | None) -> str:
    """Part and whole: ``1,240 of 2,000``; only the part where the whole is unknown."""
    return f"{count(done)} of {count(total)}" if total is not None else count(done)


def plural(number: int, one: str, many: str = "") -> str:
    """A count with its noun: ``1 song``, ``1,240 songs``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """How long something takes: ``0.2 s``, ``9 s``, ``2 min 41 s``, ``58 min``, ``1 h 05 min``, ``34 days``."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    seconds = max(seconds, 0.0)
    if seconds < 0.95:
        return f"{seconds:.1f} s" if seconds >= 0.05 or seconds == 0 else "< 0.1 s"
    whole, minutes = round(seconds), round(seconds / _MINUTE_S)
    if whole < 10 * _MINUTE_S:
        return _short_duration(whole)
    if minutes < 60:
        return f"{minutes} min"
    if seconds < 2 * _DAY_S:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest:02d} min" if rest else f"{hours} h"
    return f"{count(round(seconds / _DAY_S))} days"


def _short_duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, _MINUTE_S)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def clip_length(seconds: float | None) -> str:
    """The length of one clip, to a tenth: ``4.0 s``; a minute or more as `song_length`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    return f"{seconds:.1f} s" if seconds < _MINUTE_S else song_length(seconds)


def song_length(seconds: float | None) -> str:
    """The length of a song: ``3:52``."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    return f"{minutes}:{rest:02d}"


def size(num_bytes: float | None) -> str:
    """Bytes with binary units: ``6.5 GB`` (2^30 bytes), ``41 GB``, ``125 MB``, ``0.2 MB``, ``12 KB``."""
    if num_bytes is None or not math.isfinite(num_bytes):
        return UNKNOWN
    text = _size(num_bytes)
    return text.replace("B", "iB") if _Wishes.has_binary_names and text[-2] in "GMK" else text


def _size(num_bytes: float) -> str:
    if num_bytes >= 256 * MB:
        value = num_bytes / GB
        return f"{value:,.0f} GB" if value >= 20 else f"{value:.1f} GB"
    if num_bytes >= 0.95 * MB:
        return f"{num_bytes / MB:.0f} MB"
    if num_bytes >= 0.1 * MB:
        return f"{num_bytes / MB:.1f} MB"
    return f"{num_bytes / KB:.0f} KB" if num_bytes >= KB else f"{num_bytes:.0f} bytes"


def loss(value: float | None) -> str:
    """A loss with four decimals; not a number is said as such, since it is news and not absence."""
    if value is None:
        return UNKNOWN
    return f"{value:.4f}" if math.isfinite(value) else "not a number"


def pace(step_s: float | None) -> str:
    """Speed of training, in the form with the larger number: ``1.6 steps/s`` or ``1.48 s a step``."""
    if not step_s or not math.isfinite(step_s):
        return UNKNOWN
    if step_s < 1:
        rate = 1 / step_s
        return f"{rate:,.0f} steps/s" if rate >= 20 else f"{rate:.1f} steps/s"
    return f"{step_s:.2f} s a step" if step_s < 10 else f"{duration(step_s)} a step"


def ago(then: float, now: float) -> str:
    """How long ago, in words that stay true when read: ``3 s ago``, ``4 min ago``, ``yesterday 23:10``, ``12 Nov``.

    What another computer's clock wrote may lie in the future: ``just now`` within a minute, else ``3 days ahead``.
    """
    passed = now - then
    if not math.isfinite(passed):
        return UNKNOWN
    if passed < 0:
        return "just now" if passed >= -_MINUTE_S else f"{_coarse(-passed)} ahead"
    if passed < _MINUTE_S:
        return f"{passed:.0f} s ago"
    return f"{passed / _MINUTE_S:.0f} min ago" if passed < _HOUR_S else _day_and_time(then, now)


def _day_and_time(then: float, now: float) -> str:
    """``09:05``, ``yesterday 23:10``, ``12 Nov``, ``12 Nov 2025``."""
    try:
        moment, today = datetime.fromtimestamp(then), datetime.fromtimestamp(now)
    except (ValueError, OverflowError, OSError):  # no calendar holds it
        return UNKNOWN
    if moment.date() == today.date():
        return time_of_day(then)
    if moment.date() == (today - timedelta(days=1)).date():
        return f"yesterday {time_of_day(then)}"
    day = f"{moment.day} {_MONTHS[moment.month - 1]}"
    return day if moment.year == today.year else f"{day} {moment.year}"


def _coarse(seconds: float) -> str:
    """``4 min``, ``5 h``, ``3 days``."""
    if seconds < _HOUR_S - _MINUTE_S / 2:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{count(round(seconds / _DAY_S))} days"


# strftime("%b") follows the locale; the screens speak one language.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def timestamp(t: float) -> str:
    """A moment in UTC to the second: ``2026-11-22T14:12:03Z``."""
    return datetime.fromtimestamp(t, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def few_words(error: UserError | OSError) -> str:
    """Why something could not be written, in the few words that fit into a header: ``disk full``."""
    text = error.message if isinstance(error, UserError) else str(error.strerror or error)
    if "no space" in text.casefold():
        return "disk full"
    reason = text.rpartition(": ")[2] or text
    return f"{reason[:1].lower()}{reason[1:]}"


# What stands for a symbol where the terminal's encoding cannot carry it (screens.md, "State glyphs").
_ASCII = str.maketrans(
    {
        "●": "*", "◐": "~", "‖": "=", "◌": "?", "✓": "+", "■": "#", "✗": "x", "○": "o", "▲": "!", "◆": "<>",
        "❯": ">", "▶": ">", "♪": "*", "━": "#", "╸": "#", "─": "-", "→": "->", "–": "-", "…": "...", "·": "-",
        "±": "+-", "×": "x", "≤": "<=", "≥": ">=", "≈": "about", "“": '"', "”": '"', "’": "'", "‘": "'",
    }
)  # fmt: skip


def to_ascii(text: str) -> str:
    """The same text with our symbols in their ASCII form; other letters (names of songs) are left alone."""
    return text.translate(_ASCII)
