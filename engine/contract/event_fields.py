"""Taking in the fields of an event as JSON gives them: each of its declared type, or the event is unknown.

Events files outlive versions and disks: whatever a line holds, a reader gets sound values or none.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "tuple": (list,),
    "dict": (dict,),
    "None": (type(None),),
}


class _Field(NamedTuple):
    name: str
    types: tuple[type, ...]
    is_float: bool
    is_tuple: bool


def read_fields(event_type: Any, data: dict[str, Any]) -> dict[str, Any] | None:
    """The values for an event's constructor; None when one is of another type.

    Whole numbers become floats and lists tuples where the declaration says so; what stands under ``nonfinite`` is NaN.
    """
    nonfinite = data.get("nonfinite")
    missing: Any = nonfinite if isinstance(nonfinite, list) else ()
    values: dict[str, Any] = {}
    for name, types, is_float, is_tuple in _fields_of(event_type):
        if name not in data:
            continue
        value: Any = math.nan if is_float and name in missing else data[name]
        is_sound = isinstance(value, types)
        if not is_sound:
            return None
        if is_float and type(value) is int:
            try:
                value = float(value)
            except OverflowError:
                return None
        elif is_tuple and value is not None:
            value = tuple(value)
        values[name] = value
    return values


_cached: dict[Any, tuple[_Field, ...]] = {}


def _fields_of(event_type: Any) -> tuple[_Field, ...]:
    known = _cached.get(event_type)
    if known is None:
        known = _cached[event_type] = tuple(_field(entry) for entry in dataclasses.fields(event_type))
    return known


def _field(entry: dataclasses.Field[Any]) -> _Field:
    # The annotations are texts: `from __future__ import annotations`.
    names = [part.partition("[")[0] for part in str(entry.type).split(" | ")]
    types = tuple(kind for name in names for kind in _JSON_TYPES[name])
    return _Field(entry.name, types, is_float="float" in names, is_tuple="tuple" in names)
