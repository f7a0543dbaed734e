"""The loudness of a clip in one row, and as a mirrored wave."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from acestep_tui.widgets.spark import spark, wave

ENVELOPE = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True), max_size=80)


def test_levels_become_blocks() -> None:
    assert spark([0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1], 9) == "▁▂▃▄▅▆▇██"
    assert spark([0, 0.5, 1], 3, is_ascii=True) == ".=#"


def test_the_loudest_value_of_a_cell_is_shown() -> None:
    assert spark([0, 0, 0.9, 0, 0, 0, 0, 0.4], 4) == "▁█▁▄"


def test_few_values_are_stretched() -> None:
    assert spark([0, 1], 6) == "▁▁▁███"


def test_what_is_not_a_number_leaves_a_blank() -> None:
    assert spark([0, math.nan, None, math.inf, 1], 5) == "▁   █"
    assert spark([], 4) == "    "
    assert spark([0.5, 0.5], 0) == ""


def test_the_top_can_be_the_loudest_value() -> None:
    assert spark([0.05, 0.1], 2, top=None) == "▅█"
    assert spark([0, 0], 2, top=None) == "▁▁"
    assert spark([2.0, -1.0], 2) == "█▁"


def test_a_wave_is_mirrored_and_silence_is_a_thin_line() -> None:
    assert wave([0, 0, 1, 1, 0, 0.5], 3, 2) == ["⣀⣿⣠", "⠉⣿⠙"]
    assert wave([0, 0, 1, 1, 0, 0.5], 3, 4) == [" ⣿ ", "⣀⣿⣸", "⠉⣿⢹", " ⣿ "]
    assert wave([0, 1], 1, 1) == ["⢾"]


def test_a_wave_in_ascii_is_whole_cells() -> None:
    assert wave([0, 0, 1, 1, 0, 0], 3, 4, is_ascii=True) == [" * ", ".*.", ".*.", " * "]


def test_a_wave_of_nothing_is_blank() -> None:
    assert wave([], 3, 2) == ["   ", "   "]
    assert wave([math.nan], 2, 1) == ["  "]
    assert wave([1.0], 2, 0) == []


@given(ENVELOPE, st.integers(-1, 120), st.integers(-1, 5), st.none() | st.floats(allow_nan=False), st.booleans())
def test_any_envelope_gives_exactly_the_room_asked_for(
    envelope: list[float | None], width: int, height: int, top: float | None, is_ascii: bool
) -> None:
    row = spark(envelope, width, top=top, is_ascii=is_ascii)
    rows = wave(envelope, width, height, top=top, is_ascii=is_ascii)
    assert len(row) == max(width, 0)
    assert [len(line) for line in rows] == [max(width, 0)] * max(height, 0)
    if is_ascii:
        assert "".join([row, *rows]).isascii()
