"""The canvas of Braille cells: dots, lines, layers, signs, and its ASCII form."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acestep_tui.widgets.braille import Canvas


def rows(canvas: Canvas) -> list[str]:
    return ["".join(text for text, _ in canvas.row(y)) for y in range(canvas.height)]


def test_each_dot_is_its_own_bit() -> None:
    shown = ""
    for y in range(4):
        for x in range(2):
            canvas = Canvas(1, 1)
            canvas.layer("line").dot(x, y)
            shown += rows(canvas)[0]
    assert shown == "⠁⠈⠂⠐⠄⠠⡀⢀"


def test_dots_outside_are_left_out() -> None:
    canvas = Canvas(2, 1)
    layer = canvas.layer("line")
    for x, y in ((-1, 0), (0, -1), (4, 0), (0, 4)):
        layer.dot(x, y)
    layer.column(-1, 0, 3)
    layer.column(4, 0, 3)
    assert rows(canvas) == ["  "]


def test_a_column_is_clipped_and_takes_either_order() -> None:
    canvas = Canvas(1, 2)
    canvas.layer("line").column(0, 100, 2)
    canvas.layer("line").column(1, -100, 1)
    assert rows(canvas) == ["⡜", "⡇"]


def test_segments_are_connected() -> None:
    canvas = Canvas(4, 2)
    canvas.layer("line").segment(0, 0, 7, 7)
    assert rows(canvas) == ["⠑⢄  ", "  ⠑⢄"]


def test_a_steep_segment_is_shared_by_its_two_columns() -> None:
    canvas = Canvas(1, 2)
    canvas.layer("line").segment(0, 0, 1, 7)
    assert rows(canvas) == ["⡇", "⢸"]
    upwards = Canvas(1, 2)
    upwards.layer("line").segment(0, 7, 1, 0)
    assert rows(upwards) == ["⢸", "⡇"]


def test_a_segment_that_begins_far_outside_keeps_its_slope() -> None:
    whole, cut = Canvas(8, 2), Canvas(8, 2)
    whole.layer("line").segment(0, 1, 15, 6)
    cut.layer("line").segment(-15, -4, 30, 11)
    assert rows(cut)[0] == rows(whole)[0]
    assert rows(cut)[1] == rows(whole)[1]


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(-50, 50), st.integers(-50, 50))
def test_segments_of_any_size_stay_inside(x_0: int, y_0: int, x_1: int, y_1: int) -> None:
    canvas = Canvas(5, 3)
    canvas.layer("line").segment(x_0, y_0, x_1, y_1)
    assert [len(row) for row in rows(canvas)] == [5, 5, 5]


def test_layers_share_a_cell_and_the_first_one_gives_the_style() -> None:
    canvas = Canvas(3, 1)
    canvas.layer("line").dot(0, 0)
    canvas.layer("dots").dot(1, 3)
    canvas.layers[1].dot(2, 0)
    assert canvas.row(0) == (("⢁", "line"), ("⠁ ", "dots"))


def test_signs_lie_over_dots_and_the_background_under_them() -> None:
    canvas = Canvas(4, 1)
    for x in range(4):
        canvas.background(x, 0, "┈", "grid")
    canvas.layer("line").column(1, 0, 3)
    canvas.layers[0].column(4, 0, 3)
    canvas.sign(2, 0, "◆", "mark")
    canvas.sign(9, 0, "◆", "mark")
    assert canvas.row(0) == (("⢸", "line"), ("┈", "grid"), ("◆", "mark"), ("┈", "grid"))
    assert canvas.is_taken(2, 0)
    assert not canvas.is_taken(1, 0)


def test_ascii_draws_whole_cells() -> None:
    canvas = Canvas(3, 1, is_ascii=True)
    full = canvas.layer("line", ascii_faint=".")
    full.column(0, 0, 3)
    full.dot(2, 0)
    canvas.layer("dots", ascii_sign=".").dot(4, 0)
    assert rows(canvas) == ["*.."]
