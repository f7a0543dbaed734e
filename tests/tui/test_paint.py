"""Lines of text to the exact cell: cut, filled, joined, wrapped; wide characters, control characters, ASCII."""

from __future__ import annotations

import math

import pytest
from rich.cells import cell_len

from acestep_tui.widgets import paint
from acestep_tui.widgets.paint import bar, columns, fit, join, spread, text, title, wrap

WIDE = "夜の港"


@pytest.fixture
def ascii_only() -> None:
    paint.use_ascii(True)


def test_control_characters_are_shown_as_dots() -> None:
    assert text("a\x1b[31mb\tc\nd\x00e\u202e").plain == "a·[31mb·c·d·e·"


@pytest.mark.parametrize(
    ("part", "width", "align", "expected"),
    [
        ("abc", 5, "left", "abc  "),
        ("abc", 5, "right", "  abc"),
        ("abc", 6, "center", " abc  "),
        ("abcdef", 4, "left", "abc…"),
        ("ab cdef", 4, "left", "ab… "),
        ("abcdef", 1, "left", "a"),
        ("abcdef", 0, "left", ""),
        ("abc", -3, "left", ""),
        (WIDE, 6, "left", WIDE),
        (WIDE, 5, "left", "夜の…"),
        (WIDE, 4, "left", "夜… "),
    ],
)
def test_fit(part: str, width: int, align: str, expected: str) -> None:
    fitted = fit(part, width, align=align)
    assert fitted.plain == expected
    assert fitted.cell_length == max(width, 0)


@pytest.mark.parametrize(("left", "right"), [("left side", "right"), (WIDE * 2, WIDE), ("", "right"), ("left", "")])
def test_spread_keeps_the_right_end(left: str, right: str) -> None:
    for width in range(24):
        line = spread(left, right, width)
        assert line.cell_length == width
        if right and width >= cell_len(right):
            assert line.plain.endswith(right)


def test_columns_stay_columns() -> None:
    rows = [columns(cells, [4, -6, 3]) for cells in (["a", "1", "x"], ["abcdefg", "1,240", WIDE])]
    assert [row.plain for row in rows] == ["a          1  x  ", "abc…   1,240  夜…"]
    assert len({row.cell_length for row in rows}) == 1
    with pytest.raises(ValueError, match="zip"):
        columns(["a"], [1, 2])


def test_title() -> None:
    assert title(20, "Loss", number="1", live="live").plain == "1 Loss ──────── live"
    assert title(20, "Loss", is_focused=True).plain == "Loss " + "━" * 15
    assert title(10, "A long name", live="and a live end").cell_length == 10


@pytest.mark.parametrize("share", [None, -1.0, 0.0, 0.2, 0.5, 0.999, 1.0, 7.0, math.nan, math.inf])
def test_a_bar_is_as_wide_as_it_should_be_and_never_too_full(share: float | None) -> None:
    for width in (1, 2, 7, 40):
        drawn = bar(width, share)
        assert drawn.cell_length == width
        if share is not None and share < 1.0:
            assert drawn.plain.count("━") < width
        assert bar(width, share, mark=math.nan).plain == drawn.plain
        for mark in (0.0, 0.5, 1.0, 2.0):
            marked = bar(width, share, mark=mark)
            assert marked.cell_length == width
            assert marked.plain.count("│") == 1


def test_half_a_cell() -> None:
    assert bar(4, 0.375).plain == "━╸──"
    assert bar(4, 1.0).plain == "━━━━"


@pytest.mark.parametrize("words", ["one two three four", "a" * 40, WIDE * 5, "", " ", "x " * 20])
def test_wrapping_loses_nothing_and_keeps_the_width(words: str) -> None:
    for width in range(1, 30):
        for indent in (0, 4):
            lines = wrap(words, width, indent=indent)
            assert lines
            # A wide character, or an indent, may need more than there is.
            most = max(width, 2 + indent)
            assert all(line.cell_length <= most for line in lines)
            assert "".join("".join(line.plain.split()) for line in lines) == "".join(words.split())


def test_wrapping_keeps_styles() -> None:
    lines = wrap(join("plain ", ("bold words here", "bold")), 10)
    assert [line.plain for line in lines] == ["plain bold", "words here"]
    assert all(any("bold" in str(span.style) for span in line.spans) for line in lines)


@pytest.mark.usefixtures("ascii_only")
def test_everything_of_ours_has_an_ascii_form() -> None:
    signs = "●◐‖◌✓■✗○▲◆❯▶♪━╸─→–…·±×≤≥≈“”’‘↓↑↵←⌫⇧▌▏▾▸│◉┈╭╮╰╯°−"
    assert text(signs).plain.isascii()
    assert title(30, "Loss", live="→ 1").plain == "Loss -------------------- -> 1"
    assert bar(8, 0.5, mark=0.9).plain == "####---|"
    assert fit("abcdefgh", 6).plain == "abc..."
    # The names of songs stay what they are.
    assert text(f"{WIDE}.flac").plain == f"{WIDE}.flac"
