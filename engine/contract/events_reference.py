"""Writes docs/events.md from the event classes: `python -m engine.contract.events_reference`. A test compares."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from engine.contract.event_base import Event
from engine.contract.events import EVENT_TYPES, PHASES
from engine.contract.files import write_atomic

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "events.md"
_HEAD = """# Events

Made by `python -m engine.contract.events_reference` from `engine/contract/events.py`; do not edit.

`events.jsonl` in a run folder is the truth about a run: a JSON object a line, one writer, append only. Every line
has `v` (version, 1), `seq` (counts from 0 without gaps, across resumes too), `t` (seconds since the epoch) and `kind`.
Units are in the names: `_s` seconds, `_bytes` bytes. A number that is not finite is null, and its name stands in
`nonfinite`. A torn last line means "not yet". Kinds and fields that a reader does not know are to be kept, not refused.

`acestep-tui --run FILE --json` prints these lines as they are.
"""


def events_page() -> str:
    """The whole page as Markdown."""
    phases = "\n".join(f"| `{phase}` | {word} |" for phase, word in PHASES.items())
    tables = "\n".join(_table(kind, event_type) for kind, event_type in EVENT_TYPES.items())
    return f"{_HEAD}\n## Phases\n\n| id | word |\n|---|---|\n{phases}\n\n{tables}"


def _table(kind: str, event_type: type[Event]) -> str:
    rows = "\n".join(f"| `{entry.name}` | {entry.type} |" for entry in dataclasses.fields(event_type))
    sentence = " ".join((event_type.__doc__ or "").split())
    # A bar in a type (`int | None`) would end the table's cell.
    return f"## `{kind}`\n\n{sentence}\n\n| field | type |\n|---|---|\n{rows.replace(' | None', ' or null')}\n"


if __name__ == "__main__":
    write_atomic(_PAGE, events_page().encode())
