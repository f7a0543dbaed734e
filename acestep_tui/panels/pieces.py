"""Small pieces that several panels share: a fact in a row, two blocks beside each other. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from textual.content import Content

from acestep_tui.format import GB, UNKNOWN, size
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import BOLD, MUTED, Part, fit, join, spread

# A block of a panel: as wide as a panel beside the chart on a wide screen.
BLOCK = 37
GAP = 3
# From here on a panel has room for a second block.
TWO_BLOCKS = 2 * BLOCK + GAP
LABEL = 14


def fact(label: str, value: Part, width: int) -> Content:
    """A label and its value behind it: ``Pass          57 of 91``."""
    return fit(join((label.ljust(LABEL), MUTED), value), width)


def figure(label: Part, value: Part, width: int) -> Content:
    """A label and its value at the right end: ``Memory                 6.6 of 12.0 GB``."""
    return spread(label, value, width)


def beside(left: Sequence[Content], right: Sequence[Content], width: int) -> list[Content]:
    """Two blocks in one panel; the left one has the width of a block, the right one the rest."""
    blank = Content("")
    rest = width - BLOCK - GAP
    return [fit(a, BLOCK) + Content(" " * GAP) + fit(b, rest) for a, b in zip_longest(left, right, fillvalue=blank)]


def gigabytes(num_bytes: float | None) -> str:
    """Bytes as a bare number of GB, for ``6.6 of 12.0 GB``; – when not known."""
    return UNKNOWN if num_bytes is None else f"{num_bytes / GB:.1f}"


def of_gigabytes(part: float | None, total: float | None) -> Content:
    """Part and whole of a memory: ``6.6 of 12.0 GB``; only the part where the whole is not known."""
    if part is None and total is None:
        return join((UNKNOWN, BOLD))
    unit = size(GB).partition(" ")[2]  # GB, or GiB where the user wants the names of binary units
    whole = f" {unit}" if total is None else f" of {gigabytes(total)} {unit}"
    return join((gigabytes(part), BOLD), (whole, MUTED))


def is_over(state: RunState) -> bool:
    """Whether nothing more comes from this run's worker."""
    return state.ended is not None or (state.verdict is not None and not state.verdict.is_running)


def share_of(part: float | None, total: float | None) -> float | None:
    """A part as 0 to 1; None when one of the two is not known."""
    return part / total if part is not None and total else None
