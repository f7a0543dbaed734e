"""A container that puts its widgets on exact cells; where they do not fit, it scrolls."""

from __future__ import annotations

from collections.abc import Mapping

from textual.containers import ScrollableContainer
from textual.geometry import NULL_OFFSET, NULL_SPACING, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget


class _CellLayout(Layout):
    """Puts each widget where its container says."""

    name = "cells"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """The placements."""
        del size, greedy
        places = parent.places if isinstance(parent, Cells) else {}
        return [
            WidgetPlacement(places[child], NULL_OFFSET, NULL_SPACING, child) for child in children if child in places
        ]


class Cells(ScrollableContainer, can_focus=False):
    """Widgets on exact cells. `put` says which are shown and where."""

    DEFAULT_CSS = """
    Cells { width: 1fr; height: 1fr; overflow: auto auto; }
    """

    def __init__(self, *children: Widget, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(*children, id=id)
        self.places: dict[Widget, Region] = {}
        self._cells = _CellLayout()

    @property
    def layout(self) -> Layout:
        """Ours, whatever a sheet says: Textual takes only its own layouts by name."""
        return self._cells

    def put(self, places: Mapping[Widget, Region]) -> None:
        """Show these widgets, each in its region; all others are hidden."""
        if dict(places) == self.places:
            return
        self.places = dict(places)
        for child in self.children:
            is_shown = child in self.places
            if child.display != is_shown:
                child.display = is_shown
        # A layout that is asked for again is not computed again unless it is forgotten.
        self._clear_arrangement_cache()
        self.refresh(layout=True)
