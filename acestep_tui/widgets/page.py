"""A page of lines of which only some can be selected: titles, air and sentences between menu rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.content import Content

from acestep_tui.widgets.paint import fit
from acestep_tui.widgets.rows import Rows


@dataclass(frozen=True, slots=True)
class PageRow:
    """One line of a page.

    Attributes:
        draw: Draws it: (width, is_selected) -> one line.
        target: What it stands for; None = the cursor does not stop here.
    """

    draw: Callable[[int, bool], Content]
    target: object | None = None


def still(content: Content) -> PageRow:
    """A line that is only read."""
    return PageRow(lambda _width, _is_selected: content)


AIR = still(Content(""))


class Page(Rows):
    """Page rows; the cursor stops at rows with a target."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(self._draw_row, id=id)
        self.page: list[PageRow] = []
        self.stops: list[int] = []

    def show(self, page: Sequence[PageRow]) -> None:
        """Other lines; the cursor stays on what it stood on, if that is still there."""
        selected = self.selected
        self.page = list(page)
        self.stops = [index for index, row in enumerate(self.page) if row.target is not None]
        kept = next((index for index in self.stops if selected is not None and self.page[index].target == selected), -1)
        nearest = min(self.stops, key=lambda index: abs(index - self.cursor), default=0)
        self.set_rows(len(self.page), cursor=kept if kept >= 0 else nearest)

    @property
    def selected(self) -> object | None:
        """The target under the cursor."""
        return self.page[self.cursor].target if self.cursor < len(self.page) else None

    def select(self, target: object) -> None:
        """Put the cursor on a target, where there is such a row."""
        for index in self.stops:
            if self.page[index].target == target:
                self.cursor = index
        self.redraw()

    def _draw_row(self, index: int, width: int, is_selected: bool) -> Content:
        return fit(self.page[index].draw(width, is_selected), width)

    def move_to(self, index: int) -> None:
        """To the nearest selectable row in the direction of the move; at the ends the rest comes into view."""
        if not self.stops:
            self.top = min(max(self.top + (1 if index > self.cursor else -1), 0), max(self.num_rows - 1, 0))
            self.redraw()
            return
        if index >= self.cursor:
            target = next((stop for stop in self.stops if stop >= index), self.stops[-1])
        else:
            target = next((stop for stop in reversed(self.stops) if stop <= index), self.stops[0])
        super().move_to(target)

    def action_choose(self) -> None:
        """Enter, where something can be chosen."""
        if self.selected is not None:
            super().action_choose()
