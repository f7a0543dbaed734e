"""Events as they stand in a file: one JSON line an event.

A line is ``{"v":1,"seq":412,"t":1763820000.25,"kind":"step",…}``. Numbers that are not finite become null and are
listed under ``nonfinite``. Readers keep kinds they do not know (as plain records), so old viewers follow newer runs.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

from engine.contract.event_base import Event
from engine.contract.event_fields import read_fields
from engine.contract.events import EVENT_TYPES

EVENT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """An event as read from disk: its envelope and its fields as plain data.

    `event` is the typed event, or None when the kind is unknown, lacks fields this version needs, or holds values of
    another type.
    """

    seq: int
    t: float
    kind: str
    data: dict[str, Any]
    event: Event | None


def encode(event: Event, *, seq: int, t: float) -> str:
    """One JSON line, newline included. Non-finite floats become null and are named under ``nonfinite``."""
    nonfinite: list[str] = []
    fields: dict[str, Any] = {}
    for entry in dataclasses.fields(event):
        value = getattr(event, entry.name)
        if isinstance(value, float) and not math.isfinite(value):
            nonfinite.append(entry.name)
            value = None
        fields[entry.name] = value
    line: dict[str, Any] = {"v": EVENT_VERSION, "seq": seq, "t": round(t, 3), "kind": event.kind, **fields}
    if nonfinite:
        line["nonfinite"] = nonfinite
    return json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def decode(line: str) -> Record:
    """Parse one line.

    Raises:
        ValueError: The line is not a JSON object with seq, t and kind (a torn line, for instance).
    """
    data = json.loads(line)
    if not isinstance(data, dict) or not {"seq", "t", "kind"} <= data.keys():
        raise ValueError("not an event: an object with seq, t and kind is needed")
    kind = str(data["kind"])
    fields = {key: value for key, value in data.items() if key not in ("v", "seq", "t", "kind")}
    try:
        seq, t = int(data["seq"]), float(data["t"])
    except (TypeError, OverflowError) as error:
        raise ValueError(f"not an event: {error}") from error
    if not math.isfinite(t):
        raise ValueError("not an event: t is no time")
    return Record(seq=seq, t=t, kind=kind, data=fields, event=_typed(kind, fields))


def _typed(kind: str, fields: dict[str, Any]) -> Event | None:
    event_type = EVENT_TYPES.get(kind)
    values = None if event_type is None else read_fields(event_type, fields)
    if event_type is None or values is None:
        return None
    try:
        return event_type(**values)
    except TypeError:
        return None
