"""Writing to stdout and stderr so that nothing ever fails to print.

Our symbols become ASCII where the stream's encoding cannot carry them.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from acestep_tui.format import to_ascii

_SYMBOLS = "♪✓✗▲■●◐◌‖○━╸─→–…"


def has_symbols(stream: TextIO) -> bool:
    """Whether our glyphs can be written to this stream and be seen as such."""
    if stream.isatty() and _is_plain_locale():
        return False
    try:
        _SYMBOLS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def can_open_screens() -> bool:
    """Whether the app can be opened here: somebody types and looks, on a terminal that can move its cursor."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def _is_plain_locale() -> bool:
    """Whether the user says that the terminal shows ASCII alone: Python writes UTF-8 also under LANG=C.

    No locale at all (a container) says nothing, and what is said to Python itself counts more.
    """
    if os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8") == "1":
        return False
    named = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "")
    return named in ("C", "POSIX")


def fitted(text: str, stream: TextIO) -> str:
    """The text as this stream can carry it."""
    return text if has_symbols(stream) else to_ascii(text)


def say(text: str) -> None:
    """One line of talk, on stderr."""
    print(fitted(text, sys.stderr), file=sys.stderr, flush=True)


def put(text: str) -> None:
    """One line of data, on stdout."""
    print(fitted(text, sys.stdout), flush=True)


def never_fail_to_encode() -> None:
    """A song's name may hold letters the terminal's encoding lacks: they are escaped, not a crash."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_screen() -> bool:
    """Whether both streams are a terminal that can redraw a line."""
    return sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "")


def put_bytes(line: bytes) -> None:
    """One line of data exactly as it is, on stdout."""
    sys.stdout.flush()
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def let_reader_go() -> None:
    """Our reader (a pager, `head`) went away: what is still buffered goes nowhere instead of failing at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
