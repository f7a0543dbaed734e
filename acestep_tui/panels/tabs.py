"""The strip of tabs that stands for the panels a narrow screen has no room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message

from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, BOLD, HAIRLINE, MUTED, is_ascii, join


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab: the panel's name here, its number and its heading."""

    key: str
    number: str
    heading: str


class TabStrip(Lines):
    """``2 Speed ─3 GPU ─4 Data ─…``: numbers choose, so does a click."""

    DEFAULT_CSS = """
    TabStrip { height: 1; }
    """

    @dataclass
    class Chosen(Message):
        """A tab was clicked."""

        key: str

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.tabs: tuple[Tab, ...] = ()
        self.current = ""
        self.is_focused = False

    def show(self, tabs: Sequence[Tab], current: str, *, is_focused: bool) -> None:
        """Draw these tabs; the current one's panel is shown below."""
        self.tabs, self.current, self.is_focused = tuple(tabs), current, is_focused
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The strip."""
        del height
        heavy = self.is_focused
        sign = ("=" if heavy else "-") if is_ascii() else ("━" if heavy else "─")
        rule = ACCENT if heavy else HAIRLINE
        pieces = [Content.styled(sign, rule).join(self._pieces())]
        used = pieces[0].cell_length
        return [join(*pieces, Content.styled(sign * max(width - used, 0), rule))]

    def _pieces(self) -> list[Content]:
        found = []
        for tab in self.tabs:
            is_current = tab.key == self.current
            style = f"bold {ACCENT}" if is_current else BOLD
            found.append(join((f"{tab.number} ", ACCENT if is_current else MUTED), (tab.heading, style), " "))
        return found

    def on_click(self, event: events.Click) -> None:
        """A click chooses the tab under it."""
        start = 0
        for tab, piece in zip(self.tabs, self._pieces(), strict=True):
            end = start + piece.cell_length + 1
            if start <= event.x < end:
                self.post_message(self.Chosen(tab.key))
                return
            start = end
