"""Places of the monitor: nothing overlaps, nothing lies outside, nothing jumps."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from acestep_tui.panels.layout import PANELS, TABS, Body, arrange, zoomed
from acestep_tui.panels.view import View
from tests.each import of_each

SIZES = [(80, 22), (80, 38), (100, 28), (110, 45), (119, 38), (120, 22), (120, 30), (120, 38), (160, 50), (200, 70)]


@of_each("view, size, banner, is_compact", product(View, SIZES, [0, 1, 2], [False, True]))
def test_every_cell_belongs_to_one_panel_at_most(view, size, banner, is_compact):
    width, height = size
    for trouble in (4, 7, 12):
        body = Body(width, height, view, banner=banner, trouble=trouble, is_compact=is_compact)
        found = arrange(body)
        for place in found.places.values():
            assert place.width > 0 and place.height > 0
            assert place.x >= 0 and place.x + place.width <= width
            assert place.y >= 0 and place.y + place.height <= height
        for (_, one), (_, other) in combinations(found.places.items(), 2):
            beside = one.x + one.width <= other.x or other.x + other.width <= one.x
            below = one.y + one.height <= other.y or other.y + other.height <= one.y
            assert beside or below, (one, other)


@of_each("view, size", product(View, SIZES))
def test_every_panel_is_there_or_a_tab_away_or_zoomed(view, size):
    found = arrange(Body(*size, view))
    shown = set(found.places) & set(PANELS)
    assert set(found.tabs).isdisjoint(shown - set(found.tabs))
    if found.tabs:
        assert set(TABS) <= shown | set(found.tabs)
        assert sum(name in found.places for name in found.tabs) == 1


@pytest.mark.parametrize("tab", TABS)
def test_the_chosen_tab_is_the_panel_below(tab):
    found = arrange(Body(80, 22, View.TRAINING, tab=tab))
    assert found.places[tab].y == found.places["tabs"].y + 1
    assert tuple(found.tabs) == TABS


def test_a_tab_that_stands_beside_is_replaced_by_the_first_one():
    found = arrange(Body(110, 28, View.TRAINING, tab="speed"))
    assert found.tabs == ("data", "samples", "saves", "log")
    assert "data" in found.places


@pytest.mark.parametrize(("width", "height"), [(80, 22), (120, 38)])
def test_a_banner_moves_nothing_but_the_loss(width, height):
    calm, told = (arrange(Body(width, height, View.TRAINING, banner=rows)).places for rows in (0, 2))
    moved = {name for name in calm if calm[name] != told[name]}
    assert moved == ({"loss"} if width == 80 else moved)
    if width == 120:  # all move down by the two rows that were kept for it
        assert {told[name].y - calm[name].y for name in moved} == {2}
        assert {told[name].height - calm[name].height for name in moved} == {0}


def test_a_small_terminal_keeps_the_rows_of_80_by_24_and_scrolls():
    small, usual = arrange(Body(60, 18, View.TRAINING)), arrange(Body(80, 22, View.TRAINING))
    assert {name: (place.y, place.height) for name, place in small.places.items()} == {
        name: (place.y, place.height) for name, place in usual.places.items()
    }
    assert all(place.x + place.width <= 59 for place in small.places.values()), (
        "what is at the right is not out of sight"
    )
    assert arrange(Body(45, 18, View.TRAINING)) == small, "from here on it scrolls sideways too"
    assert zoomed(Body(60, 18, View.TRAINING)) == (1, 0, 58, 22)


def test_compact_takes_the_empty_rows_away():
    airy, compact = (
        arrange(Body(120, 38, View.TRAINING, is_compact=is_compact)).places for is_compact in (False, True)
    )
    assert airy["strip"].y == 1 and compact["strip"].y == 0
    assert compact["loss"].height > airy["loss"].height
