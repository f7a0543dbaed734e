"""Fields by themselves: editing one line, and how a field is drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from acestep_tui.widgets.field_lines import Frame, row, typed, under
from acestep_tui.widgets.paint import text
from acestep_tui.widgets.text_line import TextLine

KEYS = (
    *("backspace", "delete", "left", "right", "home", "end", "ctrl+left", "ctrl+right"),
    *("ctrl+w", "ctrl+f", "ctrl+u", "ctrl+k", "ctrl+a", "ctrl+e", "ctrl+d"),
)


def edited(value: str, *keys: str) -> TextLine:
    line = TextLine(value)
    for key in keys:
        if not line.key(key):
            line.insert(key)
    return line


@pytest.mark.parametrize(
    ("keys", "value", "cursor"),
    [
        (("backspace",), "night ferr", 10),
        (("home", "delete"), "ight ferry", 0),
        (("ctrl+w",), "night ", 6),
        (("ctrl+left", "ctrl+left", "ctrl+w"), "night ferry", 0),
        (("home", "ctrl+right"), "night ferry", 6),
        (("home", "ctrl+f"), "ferry", 0),
        (("left", "ctrl+k"), "night ferr", 10),
        (("left", "ctrl+u"), "y", 0),
        (("ctrl+a", "x"), "xnight ferry", 1),
        (("ctrl+e", "!"), "night ferry!", 12),
        (("ctrl+a", "backspace", "left"), "night ferry", 0),
        (("right", "ctrl+d"), "night ferry", 11),
    ],
)
def test_editing_keys(keys, value, cursor):
    line = edited("night ferry", *keys)
    assert (line.value, line.cursor) == (value, cursor)


def test_a_fresh_value_is_typed_over_and_a_moved_cursor_keeps_it():
    line = TextLine()
    line.load("2,000", is_fresh=True)
    line.insert("5")
    assert line.value == "5"
    line.load("2,000", is_fresh=True)
    line.key("left")
    line.insert("5")
    assert line.value == "2,0050"
    line.load("2,000", is_fresh=True)
    line.key("backspace")
    assert line.value == ""
    line.insert("a\nb\r\nc")
    assert line.value == "a b c"


@given(
    st.text(alphabet="ab é夜", max_size=30),
    st.lists(st.sampled_from((*KEYS, "x", "夜")), max_size=25),
    st.integers(2, 12),
)
def test_the_cursor_is_always_in_the_text_and_in_sight(value, keys, width):
    line = TextLine(value)
    for key in keys:
        if not line.key(key):
            line.insert(key)
        visible, place = line.view(width)
        assert 0 <= line.cursor <= len(line.value)
        assert 0 <= place <= len(visible) and visible in line.value
        assert cell_len(visible) <= max(width, 2)
        assert cell_len(typed(line, width).plain) <= width + 1
    line.place_at(width // 2)
    assert 0 <= line.cursor <= len(line.value)


def test_a_row_stands_where_the_mockups_have_it():
    drawn = row(
        Frame(), 78, label="Model precision", value=text("int8"), sign="▾", is_focused=True, is_open=True, is_yours=True
    )
    assert drawn.plain == "Model precision  ▌ int8                   ▾   ● yours".ljust(78)
    closed = row(Frame(), 78, label="Start from", value=text("nothing"), sign="", is_focused=False, is_open=False)
    assert closed.plain.rstrip() == "Start from         nothing"
    after = row(
        Frame(run_width=12),
        78,
        label="Every",
        value=text("250"),
        sign="±",
        is_focused=False,
        is_open=True,
        after="steps",
    )
    assert after.plain.rstrip() == "Every              250      ±  steps"


@given(st.text(max_size=120), st.integers(4, 120))
def test_whatever_stands_under_a_field_is_whole_and_fits(said, width):
    lines = under(Frame(), text(said), width)
    assert all(line.cell_length <= max(width, 10) + 2 for line in lines)
    assert "".join("".join(line.plain.split()) for line in lines) == "".join(text(said).plain.split())


def test_a_reason_stands_under_its_value_and_moves_only_where_too_few_words_fit():
    reason = text("Whole songs fit your card. The model ends at 4 minutes.")
    assert under(Frame(), reason, 78)[0].plain.startswith(" " * 19 + "Whole")
    for width in (65, 58):
        lines = [line.plain for line in under(Frame(), reason, width)]
        assert len(lines) == 2 and all(line.startswith(" " * 19) and line[19] != " " for line in lines)
    lines = [line.plain for line in under(Frame(), reason, 40)]
    assert len(lines) == 2 and all(line.startswith(" " * 5) and line[5] != " " for line in lines)
    assert under(Frame(), text("Short."), 40)[0].plain == " " * 19 + "Short."
