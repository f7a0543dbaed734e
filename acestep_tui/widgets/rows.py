"""A list one moves through: menus, runs, songs, settings, logs. Keys, mouse, only the visible rows are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message

from acestep_tui.commands import bindings
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import fit

# Draws the row of an index: (index, width, is_selected) -> exactly one line.
DrawRow = Callable[[int, int, bool], Content]


class Rows(Lines, can_focus=True):
    """Rows with a cursor. The owner draws a row; this widget moves, scrolls and says what was chosen.

    Args:
        draw: Draws one row.
        num_rows: How many there are; change it with `set_rows`.
        shows_cursor: Whether a row is selected at all (a log has none).
        wraps: Whether moving up from the first row ends at the last.
    """

    BINDINGS = bindings("rows")
    DEFAULT_CSS = """
    Rows { height: 1fr; }
    """

    @dataclass
    class Moved(Message):
        """The cursor stands on another row."""

        rows: Rows
        index: int

        @property
        def control(self) -> Rows:
            """The list."""
            return self.rows

    @dataclass
    class Chosen(Message):
        """Enter or a click on a row."""

        rows: Rows
        index: int

        @property
        def control(self) -> Rows:
            """The list."""
            return self.rows

    def __init__(
        self,
        draw: DrawRow,
        num_rows: int = 0,
        *,
        shows_cursor: bool = True,
        wraps: bool = False,
        id: str | None = None,  # noqa: A002 - Textual's name
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._draw = draw
        self.num_rows = num_rows
        self.shows_cursor = shows_cursor
        self.wraps = wraps
        self.cursor = 0
        self.top = 0

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The visible rows."""
        self._keep_visible(height)
        shown = range(self.top, min(self.top + height, self.num_rows))
        return [fit(self._draw(index, width, self._is_selected(index)), width) for index in shown]

    def _is_selected(self, index: int) -> bool:
        return self.shows_cursor and index == self.cursor

    def set_rows(self, num_rows: int, *, cursor: int | None = None) -> None:
        """There are other rows now; the cursor stays where it was unless told otherwise."""
        self.num_rows = num_rows
        if cursor is not None:
            self.cursor = cursor
        self.cursor = min(max(self.cursor, 0), max(num_rows - 1, 0))
        self.redraw()

    def move_to(self, index: int) -> None:
        """Put the cursor on a row."""
        if not self.num_rows:
            return
        index = index % self.num_rows if self.wraps else min(max(index, 0), self.num_rows - 1)
        if not self.shows_cursor:
            self.top = min(max(self.top + index - self.cursor, 0), max(self.num_rows - self.size.height, 0))
            self.cursor = self.top
            self.redraw()
            return
        if index != self.cursor:
            self.cursor = index
            self.redraw()
            self.post_message(self.Moved(self, index))

    def _keep_visible(self, height: int) -> None:
        if not self.shows_cursor:
            self.top = min(self.top, max(self.num_rows - height, 0))
            return
        self.top = min(self.top, self.cursor)
        self.top = max(self.top, self.cursor - height + 1, 0)
        self.top = min(self.top, max(self.num_rows - height, 0))

    def action_up(self) -> None:
        """One row up."""
        self.move_to(self.cursor - 1)

    def action_down(self) -> None:
        """One row down."""
        self.move_to(self.cursor + 1)

    def action_page_up(self) -> None:
        """One page up."""
        self.move_to(max(self.cursor - max(self.size.height - 1, 1), 0))

    def action_page_down(self) -> None:
        """One page down."""
        self.move_to(min(self.cursor + max(self.size.height - 1, 1), self.num_rows - 1))

    def action_first(self) -> None:
        """To the first row."""
        self.move_to(0)

    def action_last(self) -> None:
        """To the last row."""
        self.move_to(self.num_rows - 1)

    def action_choose(self) -> None:
        """Enter on the selected row."""
        if self.num_rows and self.shows_cursor:
            self.post_message(self.Chosen(self, self.cursor))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A list without a cursor has nothing to choose, so Enter is left to others."""
        del parameters
        return not (action == "choose" and not self.shows_cursor)

    def on_click(self, event: events.Click) -> None:
        """A click chooses the row under it."""
        index = self.top + int(event.y)
        if self.shows_cursor and index < self.num_rows:
            self.move_to(index)
            self.action_choose()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves."""
        event.stop()
        self.action_down()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel moves."""
        event.stop()
        self.action_up()
