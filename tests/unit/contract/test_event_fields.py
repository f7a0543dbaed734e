from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import event_lines, events

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(events.EVENT_TYPES)), st.data())
def test_whatever_a_line_holds_an_event_has_the_types_it_declares(kind: str, data: st.DataObject) -> None:
    names = [entry.name for entry in dataclasses.fields(events.EVENT_TYPES[kind])]
    fields = {name: data.draw(JSON) for name in [*names, "nonfinite"]}
    event = event_lines.decode(json.dumps({"seq": 1, "t": 2.0, "kind": kind, **fields})).event
    if event is None:
        return
    wanted = {"int": int, "float": float, "str": str, "bool": bool, "tuple": tuple, "dict": dict, "None": type(None)}
    for entry in dataclasses.fields(event):
        types = tuple(wanted[part.partition("[")[0]] for part in str(entry.type).split(" | "))
        assert isinstance(getattr(event, entry.name), types)


def test_lists_become_tuples_whole_numbers_floats_and_nonfinite_names_nan() -> None:
    step = events.Step(step=1, total=2, loss=math.nan, lr=1.0, files=("a.wav", "b.wav"))
    event = event_lines.decode(event_lines.encode(step, seq=0, t=1.0)).event
    assert isinstance(event, events.Step)
    assert math.isnan(event.loss)
    assert event.files == ("a.wav", "b.wav")
    line = '{"seq":0,"t":1,"kind":"step","step":1,"total":2,"loss":3,"lr":0}'
    assert event_lines.decode(line).event == events.Step(step=1, total=2, loss=3.0, lr=0.0)


@pytest.mark.parametrize(
    "line",
    ["[1]", '{"seq":1,"t":1}', '{"seq":null,"t":1,"kind":"x"}', '{"seq":1,"t":[],"kind":"x"}',
     '{"seq":1,"t":NaN,"kind":"x"}', '{"seq":1,"t":' + "9" * 400 + ',"kind":"x"}', '{"seq":Infinity,"t":1,"kind":"x"}'],
)  # fmt: skip
def test_an_envelope_that_is_none_is_no_event(line: str) -> None:
    with pytest.raises(ValueError):
        event_lines.decode(line)
