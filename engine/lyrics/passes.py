"""The eight extraction passes of the segmenter: how a line is cut up before anything is classified (spec 8.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial


class Kind(Enum):
    """What an extracted span is, and so who decides about its language."""

    MARKUP = auto()
    HANGUL = auto()
    THAI = auto()
    RUSSIAN = auto()
    NUMBER = auto()
    LATIN = auto()
    QUOTED = auto()


@dataclass(frozen=True, slots=True)
class Span:
    """One extracted span.

    Attributes:
        kind: Which pass took it.
        text: The whole span.
        inner: What stands inside the mark-up or the quotes; the whole span otherwise.
        language: The name in the mark-up; empty otherwise.
    """

    kind: Kind
    text: str
    inner: str
    language: str = ""


# A place-holder must count as one word for every pattern below and be longer than two characters; this Cyrillic letter
# occurs in a single phrase of a 15th-century psalter, so no lyrics hold it.
_MARK = "ꙮ"
PLACE_HOLDER = re.compile(rf"({_MARK}\d{{6}}{_MARK})")

_OPENING = "【《（(“‘\"'"
_FRENCH = "àáâãäåæçèéêëìíîïðñòóôõöùúûüýþÿ"
_VIETNAMESE = "ăâđêôơưắằẳẵặấầẩẫậếềểễệốồổỗộớờởỡợứừửữựảạẻẽẹỉĩịỏọủũụỷỹ"


def _run(letters: str) -> re.Pattern[str]:
    """Words of one class of letters, each with its opening quotes before and anything but word characters after it."""
    return re.compile(rf"(?P<text>(?:[{_OPENING}]*[{letters}]+\W*)+)")


@dataclass(frozen=True, slots=True)
class _Pass:
    kind: Kind
    pattern: re.Pattern[str]
    leaves_whole_line: bool
    """Whether a line that is nothing but one match stays as it is and goes the way of "other text"."""


_PASSES = (
    _Pass(Kind.MARKUP, re.compile(r"(?P<text><(?P<language>[a-zA-Z|-]*)>(?P<inner>.*?)</*[a-zA-Z|-]*>)"), False),
    _Pass(Kind.HANGUL, _run("\uac00-\ud7a3"), False),
    _Pass(Kind.THAI, _run("\u0e00-\u0e7f"), False),
    _Pass(Kind.RUSSIAN, _run("А-Яа-яЁё"), False),
    _Pass(Kind.NUMBER, re.compile(r"(?P<text>\W*\d+\W+\d*\W*\d*)"), True),
    _Pass(Kind.LATIN, _run("A-Za-z" + _FRENCH + _VIETNAMESE), False),
    _Pass(Kind.QUOTED, re.compile(r"(?P<text>([\"'])(?P<inner>.*?)\2)"), True),
    _Pass(
        Kind.QUOTED,
        re.compile(r"(?P<text>\n*[【《（(“‘](?P<inner>[^【《（(“‘’”)）》】]{3,})[’”)）》】]\W*)"),
        True,
    ),
)


def remove_look_alikes(text: str) -> str:
    """The text without anything that looks like one of our place-holders."""
    return PLACE_HOLDER.sub("", text)


def extract(line: str) -> tuple[str, dict[str, Span]]:
    """Replaces the spans of all eight passes by place-holders.

    Args:
        line: One physical line with the newlines that follow it, without look-alikes.

    Returns:
        The line with place-holders, and the span of each place-holder. A quoted span may itself hold place-holders.
    """
    spans: dict[str, Span] = {}

    def put_away(match: re.Match[str], *, kind: Kind) -> str:
        groups = match.groupdict()
        key = f"{_MARK}{len(spans):06d}{_MARK}"
        text = groups["text"]
        spans[key] = Span(kind, text, groups.get("inner", text), groups.get("language", ""))
        return key

    for step in _PASSES:
        if step.leaves_whole_line and [match[0] for match in step.pattern.finditer(line)] == [line]:
            continue
        line = step.pattern.sub(partial(put_away, kind=step.kind), line)
    return line, spans
