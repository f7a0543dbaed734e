"""Small text files beside the songs: captions and lyrics, in whatever encoding they were saved."""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

from engine.dataset.report import Problem

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONGEST_NAME = 40
# No caption and no lyrics are nearly as long; whatever is, is not read in whole.
_LARGEST_BYTES = 4_000_000
_JUDGED_CHARACTERS = 20_000
# Characters that no text has; one in fifty is damage in a text, more is not a text at all.
_NO_TEXT = frozenset({"Cc", "Cs", "Co", "Cn"})
_CONTROLS_OF_TEXT = frozenset("\t\n\v\f\r\x1a") | {chr(code) for code in range(0x80, 0xA0)}
_SHARE_NO_TEXT = 0.02


class NotTextError(ValueError):
    """A file that is no text; the message is the reason alone, in plain words."""


def read_text(path: Path, song: str, kind: str) -> tuple[str, list[Problem]]:
    """Text of a file: UTF-8 or UTF-16 with or without a byte-order mark, else latin-1.

    What had to be guessed (UTF-16 without a mark, latin-1) comes with a warning.

    Args:
        path: The text file.
        song: Relative path of the song, for the warning.
        kind: "caption" or "lyrics", for the warning.

    Raises:
        OSError: Missing or not readable.
        NotTextError: Sound, a picture or other data.
    """
    with path.open("rb") as file:
        content = file.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise NotTextError("too large for a text")
    text, problems = _decoded(content, path, song, kind)
    if not _is_text(text):
        raise NotTextError("not a text")
    return text, problems


def _decoded(content: bytes, path: Path, song: str, kind: str) -> tuple[str, list[Problem]]:
    """The text that bytes are likely to be, with a warning where that had to be guessed."""
    if content.startswith(_UTF16_MARKS):
        return content.decode("utf-16", errors="replace"), []
    if b"\0" in content:  # no text has them, but every line end of UTF-16 does
        order = "be" if content[0::2].count(0) > content[1::2].count(0) else "le"
        reason = f"{kind} {short_name(path)} has no byte-order mark: read as UTF-16, look at its letters"
        text = content.decode(f"utf-16-{order}", errors="replace").replace("\0", "")
        return text, [Problem(song, "warning", "encoding", reason)]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        reason = f"{kind} {short_name(path)} is not UTF-8: read as latin-1, look at its accents"
        return content.decode("latin-1"), [Problem(song, "warning", "encoding", reason)]


def _is_text(text: str) -> bool:
    """Whether decoded bytes look like something that was written, judged by their beginning."""
    begun = text[:_JUDGED_CHARACTERS]
    num_odd = sum(
        one == "\ufffd" or (unicodedata.category(one) in _NO_TEXT and one not in _CONTROLS_OF_TEXT) for one in begun
    )
    return num_odd <= _SHARE_NO_TEXT * len(begun)


def short_name(path: Path) -> str:
    """A file's name for a sentence: shortened in its middle when long, safe to print in any encoding."""
    name = printable(path.name)
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 16]}…{name[-15:]}"


def printable(name: str) -> str:
    r"""A file name as text: bytes of another encoding, which Python keeps as lone surrogates, become `\xNN`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
