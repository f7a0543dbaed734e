"""Charts row by row: exact pictures of small ones, the look of the mock-ups, and what must never happen."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from array import array
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_tui.widgets.braille import Row
from acestep_tui.widgets.curve import draw_chart, gutter_width
from acestep_tui.widgets.thin import Curve

ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)


def plain(rows: list[Row]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def draw(curves: list[Curve], **options: Any) -> list[str]:
    return plain(draw_chart(curves, **{"width": 16, "height": 4, "x_range": (0, 19), **options}))


def styles_of(rows: list[Row], sign: str) -> set[str]:
    return {style for row in rows for text, style in row if sign in text}


def test_a_falling_line() -> None:
    assert draw([Curve(range(20), [1 - step / 19 for step in range(20)])]) == [
        "  1.0 ⠑⠢⢄⡀┈┈┈┈┈┈",
        "         ⠈⠒⠤⡀   ",
        "  0.0 ┈┈┈┈┈┈⠈⠑⠢⢄",
        "      0       19",
    ]


def test_single_steps_are_dots_in_their_own_colour_and_the_line_wins() -> None:
    line = Curve([0, 19], [0.5, 0.5])
    dots = Curve([0, 4, 19], [1.0, 0.51, 0.0], "dots", is_line=False)
    rows = draw_chart([dots, line], width=16, height=4, x_range=(0, 19))
    assert plain(rows) == [
        "  1.0 ⠁┈┈┈┈┈┈┈┈┈",
        "      ⠤⠤⠦⠤⠤⠤⠤⠤⠤⠤",
        "  0.0 ┈┈┈┈┈┈┈┈┈⢀",
        "      0       19",
    ]
    assert ("⠤⠤⠦⠤⠤⠤⠤⠤⠤⠤", "line") in rows[1]
    assert ("⠁", "dots") in rows[0]
    without = draw_chart([dots, line], width=16, height=4, x_range=(0, 19), show_dots=False)
    assert styles_of(without, "⠁") == set()


def test_grid_lines_are_drawn_only_where_nothing_else_is() -> None:
    rows = draw_chart([Curve([0, 9], [1.0, 1.0])], width=16, height=4, x_range=(0, 19), y_range=(0, 1))
    assert rows[0] == (("  1.0 ", "label"), ("⠉⠉⠉⠉⠉", "line"), ("┈┈┈┈┈", "grid"))
    assert rows[3] == (("      ", ""), ("0       19", "label"))


def test_held_out_points_are_never_hidden() -> None:
    curve = Curve(range(20), [0.5] * 20)
    rows = draw_chart([curve], width=16, height=4, x_range=(0, 19), y_range=(0.4, 0.6), marks=[(0, 0.5), (10, 99.0)])
    assert plain(rows)[0][11] == "◆"  # beyond the axis: at its edge
    assert plain(rows)[1][6] == "◆"
    assert styles_of(rows, "◆") == {"mark"}
    assert "◆" not in "".join(draw([curve], marks=[(99, 0.5), (3, None), (4, math.nan)]))


def test_what_is_not_a_number_breaks_the_line_and_is_marked_on_the_axis() -> None:
    values = [0.5] * 20
    values[8], values[9] = math.nan, math.inf
    rows = draw_chart([Curve(range(20), values)], width=16, height=4, x_range=(0, 19), y_range=(0, 1))
    assert plain(rows) == [
        "  1.0 ┈┈┈┈┈┈┈┈┈┈",
        "      ⠤⠤⠤⠤ ⠤⠤⠤⠤⠤",
        "  0.0 ┈┈┈┈✗┈┈┈┈┈",
        "      0       19",
    ]
    assert styles_of(rows, "✗") == {"bad"}


def test_a_gap_breaks_the_line_and_is_no_fault() -> None:
    values: list[float | None] = [0.5] * 20
    values[8] = values[9] = None
    shown = draw([Curve(range(20), values)], y_range=(0, 1))
    assert shown[1] == "      ⠤⠤⠤⠤ ⠤⠤⠤⠤⠤"
    assert "✗" not in "".join(shown)


def test_a_cross_gives_way_to_a_held_out_point() -> None:
    values = [0.0, math.nan, *[0.0] * 18]
    shown = draw([Curve(range(20), values)], marks=[(0, 0.0)], y_range=(0, 1))
    assert shown[2].startswith("  0.0 ◆✗")


def test_only_broken_values_still_say_so() -> None:
    shown = draw([Curve(range(20), [math.nan] * 20)], note="")
    assert shown[2] == "      " + "✗" * 10
    assert shown[0] == "      " + "┈" * 10


def test_the_note_stands_in_the_middle_of_an_empty_chart() -> None:
    rows = draw_chart([], width=26, height=4, x_range=(0, 2000), note="after step 3")
    assert plain(rows) == [
        "      ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈",
        "          after step 3    ",
        "      ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈",
        "      0              2,000",
    ]
    assert styles_of(rows, "after") == {"label"}
    assert "after" not in "".join(draw([Curve([1], [0.5])], note="after step 3"))


def test_one_point_is_shown_in_the_middle_of_its_axis() -> None:
    assert draw([Curve([10], [0.5])], x_range=(0, 20)) == [
        " 0.55 ┈┈┈┈┈┈┈┈┈┈",
        "           ⠄    ",
        " 0.45 ┈┈┈┈┈┈┈┈┈┈",
        "      0       20",
    ]


def test_the_reading_line_lies_under_everything_but_the_grid() -> None:
    rows = draw_chart(
        [Curve(range(20), [0.5] * 20)], width=16, height=4, x_range=(0, 19), y_range=(0, 1), cursor_x=8, drag_x=12
    )
    assert plain(rows) == [
        "  1.0 ┈┈┈┈│┈│┈┈┈",
        "      ⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤",
        "  0.0 ┈┈┈┈│┈│┈┈┈",
        "      0       19",
    ]
    assert styles_of(rows, "│") == {"cursor"}
    assert "│" not in "".join(draw([], cursor_x=21))


def test_letters_stand_at_the_ends_of_curves() -> None:
    rows = draw_chart(
        [
            Curve(range(20), [0.8] * 20, letter="A"),
            Curve(range(10), [0.2] * 10, "line2", letter="B"),
            Curve(range(10), [0.2] * 10, "line3", letter="C"),
        ],
        width=16,
        height=6,
        x_range=(0, 19),
        y_range=(0, 1),
    )
    shown = plain(rows)
    assert [row.index("A") for row in shown if "A" in row] == [15]
    assert [(place, row.index("B")) for place, row in enumerate(shown) if "B" in row] == [(3, 11)]
    assert [(place, row.index("C")) for place, row in enumerate(shown) if "C" in row] == [(2, 11)]
    assert styles_of(rows, "B") == {"line2"}


def test_curves_that_meet_show_all_their_dots_in_the_style_of_the_first() -> None:
    rows = draw_chart(
        [Curve([0, 19], [1.0, 1.0]), Curve([0, 19], [0.9, 0.9], "line2")],
        width=16,
        height=4,
        x_range=(0, 19),
        y_range=(0, 1),
    )
    assert rows[0][1] == ("⠛" * 10, "line")


def test_a_window_shows_the_curve_coming_in_and_going_out() -> None:
    curve = Curve([0, 100], [0.0, 1.0])
    assert draw([curve], x_range=(40, 60)) == [
        "  1.0 ┈┈┈┈┈┈┈┈┈┈",
        "      ⡠⠤⠤⠤⠤⠒⠒⠒⠒⠊",
        "  0.0 ┈┈┈┈┈┈┈┈┈┈",
        "      40      60",
    ]
    dots = Curve([0, 100], [0.0, 1.0], "dots", is_line=False)
    assert draw([dots], x_range=(40, 60), y_range=(0, 1))[1].strip() == ""


def test_the_axis_fits_what_is_in_the_window() -> None:
    curve = Curve(range(100), [5.0] * 50 + [0.4, 0.6] * 25)
    assert draw([curve], x_range=(60, 90))[0].startswith(" 0.60")
    assert draw([curve], x_range=(0, 99))[0].startswith("  5.0")


def test_a_log_scale_has_labels_by_ratio_and_leaves_out_zero() -> None:
    values = [0.0, *[10.0 ** (-2 + 2 * step / 18) for step in range(19)]]
    shown = draw([Curve(range(20), values)], is_log=True, num_grid_lines=3)
    assert [row[:7] for row in shown[:3]] == ["   1.0 ", "  0.10 ", " 0.010 "]
    assert "✗" not in "".join(shown)
    assert draw([Curve(range(20), [0.0] * 20)], is_log=True, note="no value above 0", width=30)[1].strip() == (
        "no value above 0"
    )


def test_ascii_has_only_ascii() -> None:
    values = [1 - step / 19 for step in range(20)]
    values[5] = math.nan
    curves = [Curve(range(20), values), Curve(range(20), values[::-1], "dots", is_line=False)]
    shown = draw(curves, marks=[(10, 0.9)], cursor_x=14, is_ascii=True)
    assert shown == [
        "  1.0 ****-o....",
        "         ****|  ",
        "  0.0 ..x.--*x**",
        "      0       19",
    ]
    assert "".join(draw([], note="nothing yet…", is_ascii=True)).isascii()


@pytest.mark.parametrize(
    ("width", "height", "num_grid_lines", "rows_with_labels"),
    [(78, 10, 3, [0, 4, 8]), (76, 15, 5, [0, 3, 6, 10, 13]), (78, 18, 4, [0, 5, 11, 16]), (38, 10, 3, [0, 4, 8])],
)
def test_labels_stand_in_the_rows_of_the_mock_ups(
    width: int, height: int, num_grid_lines: int, rows_with_labels: list[int]
) -> None:
    shown = draw(
        [Curve([1, 2000], [0.657, 0.361])],
        width=width,
        height=height,
        x_range=(0, 2000),
        num_grid_lines=num_grid_lines,
    )
    assert [row for row, text in enumerate(shown[:-1]) if text[:6].strip()] == rows_with_labels
    assert shown[0].startswith(" 0.66 ")
    assert shown[-2].startswith(" 0.36 ")
    assert len(shown) == height


def test_marks_stand_in_the_columns_of_the_mock_up() -> None:
    marks = [(0, 0.64), (250, 0.5012), (500, 0.463), (750, 0.4452), (1000, 0.4391)]
    shown = draw([], width=78, height=10, x_range=(0, 2000), y_range=(0.36, 0.66), marks=marks)
    places = sorted(row.index("◆", start) - 6 for row in shown for start in range(len(row)) if row[start] == "◆")
    assert places == [0, 9, 18, 27, 36]


def test_a_learning_rate_looks_like_the_wizard_s() -> None:
    rates = [1e-4 * min(step / 100, (2000 - step) / 1900) for step in range(2001)]
    shown = draw(
        [Curve(range(2001), rates)],
        width=66,
        height=3,
        x_range=(0, 2000),
        has_zero=True,
        x_labels=["0", "1,000", "2,000"],
    )
    assert shown[0].startswith(" 1e-4 ┈")
    assert shown[1].startswith("    0 ")
    assert shown[2] == "      0" + " " * 26 + "1,000" + " " * 23 + "2,000"


def test_wide_labels_widen_the_gutter_and_narrow_charts_have_none() -> None:
    curve = Curve(range(20), [0.41281, 0.41283] * 10)
    rows = draw_chart([curve], width=40, height=4, x_range=(0, 19))
    assert plain(rows)[0].startswith(" 0.412830 ")
    assert gutter_width(rows) == 10
    assert {len(row) for row in plain(rows)} == {40}
    narrow = draw_chart([curve], width=9, height=4, x_range=(0, 19))
    assert gutter_width(narrow) == 0
    assert {len(row) for row in plain(narrow)} == {9}
    assert gutter_width(draw_chart([curve], width=40, height=1, x_range=(0, 19))) == 0


@settings(max_examples=200, deadline=None)
@given(
    points=st.lists(st.tuples(ANY_FLOAT, st.none() | ANY_FLOAT), max_size=60),
    width=st.integers(0, 60),
    height=st.integers(0, 12),
    x_range=st.tuples(ANY_FLOAT, ANY_FLOAT),
    y_range=st.none() | st.tuples(ANY_FLOAT, ANY_FLOAT),
    is_log=st.booleans(),
    is_ascii=st.booleans(),
)
def test_no_floats_break_a_chart(
    *,
    points: list[tuple[float, float | None]],
    width: int,
    height: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float] | None,
    is_log: bool,
    is_ascii: bool,
) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    rows = draw_chart(
        [Curve(xs, ys, letter="A"), Curve(sorted(xs), ys, "dots", is_line=False)],
        width=width,
        height=height,
        x_range=x_range,
        y_range=y_range,
        is_log=is_log,
        is_ascii=is_ascii,
        marks=points,
        cursor_x=xs[0] if xs else None,
        note="after step 3",
    )
    assert [len(row) for row in plain(rows)] == [width] * height
    if is_ascii:
        assert "".join(plain(rows)).isascii()


def test_a_spike_among_ten_thousand_steps_is_on_the_screen() -> None:
    values = array("d", [0.4] * 10_000)
    values[7_777] = 3.0
    for is_line in (True, False):
        shown = draw([Curve(range(10_000), values, is_line=is_line)], width=81, height=14, x_range=(0, 10_000))
        assert shown[0].startswith("  3.0 ")
        assert any(0x2800 < ord(sign) <= 0x28FF for sign in shown[0])


def test_ten_thousand_steps_twice_are_drawn_fast() -> None:
    noise = random.Random(1)
    values = array("d", (0.4 + noise.gauss(0, 0.05) for _ in range(10_000)))
    curves = [Curve(range(10_000), values), Curve(range(10_000), values, "dots", is_line=False)]
    best_s = math.inf
    for _ in range(5):
        start = time.perf_counter()
        draw_chart(curves, width=81, height=14, x_range=(0, 10_000))
        best_s = min(best_s, time.perf_counter() - start)
    assert best_s <= 0.050  # about 4 ms on an idle core; generous for a busy CI machine


def test_drawing_needs_no_textual() -> None:
    modules = ["axes", "braille", "curve", "plots", "spark", "thin", "window"]
    code = (
        f"import sys, importlib as i; [i.import_module('acestep_tui.widgets.' + name) for name in {modules}];"
        "print([name for name in ('textual', 'numpy', 'torch', 'pydantic') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
