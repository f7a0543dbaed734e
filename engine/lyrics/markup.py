"""Reading rules of the segmenter's explicit mark-up: `<number>`, `<telephone>`, `<currency>`, `<date>` (spec 8.4).

They put digits into Chinese words: `<telephone>110</telephone>` becomes 幺幺零.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.lyrics.chinese_numbers import cardinal, spell_digits

_DIGITS = re.compile(r"\d+")


def read_number(text: str) -> str:
    """Digit by digit, a dot as 点."""
    return _DIGITS.sub(lambda match: spell_digits(match[0]), text).replace(".", "点")


def read_telephone(text: str) -> str:
    """Digit by digit without the country code, one as 幺."""
    return read_number(text.replace("+86", "")).replace("一", "幺")


def read_currency(text: str) -> str:
    """Each number as a cardinal."""
    return re.sub(r"\d+(?:\.\d+)?", lambda match: cardinal(match[0], has_liang=False), text)


def read_date(text: str) -> str:
    """A date (Y-M-D, Y-M, M-D, Y or D; separators - / . _ 年 月), after a space a time (H:M:S, H:M or H) if wanted."""
    date, _, time = text.strip().partition(" ")
    if not time and ":" in date:
        date, time = "", date
    return _read_day(date) + _read_time(time)


def _read_day(text: str) -> str:
    parts = [part for part in re.split(r"[/._年月-]", text.replace("日", "")) if part]
    if not parts:
        return ""
    has_year = len(parts) > 2 or len(parts[0]) == 4
    units = ("年", "月", "日") if has_year else ("月", "日") if len(parts) == 2 else ("日",)
    readers = (read_number, read_currency, read_currency) if has_year else (read_currency, read_currency)
    return "".join(read(part) + unit for part, unit, read in zip(parts, units, readers, strict=False) if part != "0")


def _read_time(text: str) -> str:
    parts = [part for part in re.split(r"[/.\-：_:]", text) if part]
    return "".join(
        read_currency(part) + unit for part, unit in zip(parts, ("点", "分", "秒"), strict=False) if part != "0"
    )


READINGS: dict[str, Callable[[str], str]] = {
    "number": read_number,
    "telephone": read_telephone,
    "currency": read_currency,
    "date": read_date,
}
