"""One row of the acceptance list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A statement of the quickstart, what it means here, and the tests that prove it."""

    number: int
    statement: str
    behaviour: str
    tests: tuple[str, ...]
