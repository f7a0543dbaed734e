"""Comparing a real screen with its mock-up: same rows, same columns, same words; every difference has a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "mockups"
# The insides of charts, waves and pictures: compared by their place, not by their dots.
_DRAWN = re.compile(r"[\u2800-\u28ff┈◆▁▂▃▄▅▆▇█░▒▓]")
_PICTURE = re.compile(r"[░▒▓█·\s]+")
_WORDS = re.compile(r"\S+(?: \S+)*")


def mockup(name: str) -> list[str]:
    """The rows of a mock-up, for example ``monitor-80x24``."""
    return [row.rstrip() for row in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()]


def words(row: str) -> list[tuple[int, str]]:
    """The words of a row with the column they begin at; two blanks separate, drawings count as blanks."""
    plain = "" if _PICTURE.fullmatch(row) else _DRAWN.sub(" ", row)
    return [(match.start(), match.group()) for match in _WORDS.finditer(plain)]


def differences(screen: Sequence[str], name: str) -> dict[int, tuple[str, str]]:
    """Rows (from 1) where screen and mock-up say something else: (mock-up, screen)."""
    wanted = mockup(name)
    rows = max(len(wanted), len(screen))
    padded_wanted = [*wanted, *[""] * (rows - len(wanted))]
    padded_screen = [*screen, *[""] * (rows - len(screen))]
    return {
        number: (mock, real)
        for number, (mock, real) in enumerate(zip(padded_wanted, padded_screen, strict=True), start=1)
        if words(mock) != words(real)
    }


def compare(screen: Sequence[str], name: str, explained: Mapping[int, str] | None = None) -> None:
    """Hold a screen to its mock-up.

    Args:
        screen: The real screen's rows (`harness.screen_text`).
        name: The mock-up's.
        explained: Row (from 1) to the reason why it is another one here; a reason for a row that is the same is stale.

    Raises:
        AssertionError: A row differs without a reason, or a reason has nothing to explain.
    """
    reasons = dict(explained or {})
    found = differences(screen, name)
    unexplained = {number: rows for number, rows in found.items() if number not in reasons}
    stale = sorted(set(reasons) - set(found))
    told = "\n".join(
        f"row {number}\n  mock-up |{mock}|\n  screen  |{real}|" for number, (mock, real) in unexplained.items()
    )
    assert not unexplained, f"{name}: {len(unexplained)} rows differ without a reason\n{told}"
    assert not stale, f"{name}: rows {stale} are as in the mock-up; take their explanation out"
    assert all(len(reason) > 10 for reason in reasons.values()), f"{name}: a reason is a sentence"
