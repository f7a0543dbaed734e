"""The whole log: every line that is kept, newest first, to scroll through, filter and copy from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget

from acestep_tui.commands import bindings
from acestep_tui.panels import log
from acestep_tui.panels.base import Copied, Page
from acestep_tui.runs.log import LogEntry
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, MUTED, fit, join, title
from acestep_tui.widgets.rows import Rows

if TYPE_CHECKING:
    from acestep_tui.app import AceStepApp

# More than any log keeps.
_ALL = 1_000_000
# Rows for the end of worker.log, where the worker is gone without a word.
_NUM_TAIL = 7


class _Head(Lines):
    """The title, and in the place of the list what is said while no line is shown."""

    DEFAULT_CSS = "_Head { height: 1; }"

    def __init__(self, page: LogPage) -> None:
        super().__init__()
        self._page = page

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """Title."""
        del height
        return self._page.head_lines(width)


class _Tail(Lines):
    """The last lines of worker.log."""

    DEFAULT_CSS = "_Tail { height: auto; display: none; } _Tail.-there { display: block; }"

    def __init__(self, page: LogPage) -> None:
        super().__init__()
        self._page = page

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The lines as the worker wrote them."""
        return self._page.tail_lines(width)[:height]


class LogPage(Page):
    """Panel 7, zoomed.

    Args:
        warnings_only: Whether it begins with warnings only.
        containing: The text it is filtered by at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("log")
    scopes = ("log",)
    DEFAULT_CSS = """
    LogPage Rows { height: 1fr; }
    LogPage FilterBar { margin: 0; }
    """

    def __init__(self, *, warnings_only: bool = False, containing: str = "") -> None:
        super().__init__()
        self.state: RunState | None = None
        self.warnings_only = warnings_only
        self.containing = containing
        self.entries: list[LogEntry] = []
        self._version = -1

    def compose(self) -> Iterable[Widget]:
        """Title, lines, the filter."""
        yield _Head(self)
        yield Rows(self._draw_row)
        yield _Tail(self)
        yield FilterBar("Filter the log")

    def focus(self, scroll_visible: bool = True) -> LogPage:
        """The lines have the keys."""
        self.query_one(Rows).focus(scroll_visible)
        return self

    @property
    def house(self) -> AceStepApp:
        """The app, as ours."""
        return cast("AceStepApp", self.app)

    # -- what is shown --

    def show(self, state: RunState, now: float) -> None:
        """Take in new lines; the marked one stays marked, the newest one follows."""
        del now
        is_new = state is not self.state or state.log.version != self._version
        self.state = state
        if is_new and self.is_mounted:
            self._version = state.log.version
            self._fill()

    def on_mount(self) -> None:
        """Fill it."""
        if self.state is not None:
            self._version = self.state.log.version
            self._fill()

    def _fill(self) -> None:
        if self.state is None:
            return
        rows = self.query_one(Rows)
        marked = self.entries[rows.cursor].number if self.entries and rows.cursor else None
        self.entries = self.state.log.newest(_ALL, warnings_only=self.warnings_only, containing=self.containing)
        place = next((i for i, entry in enumerate(self.entries) if entry.number == marked), 0)
        rows.set_rows(max(len(self.entries), 1), cursor=place)
        rows.redraw()
        self.query_one(_Head).redraw()
        tail = self.query_one(_Tail)
        num_tail = len(self.tail_lines(1))
        tail.set_class(num_tail > 0, "-there")
        tail.styles.height = num_tail or "auto"
        tail.redraw()

    def head_lines(self, width: int) -> list[Content]:
        """The title with what is filtered and what went unread."""
        if self.state is None:
            return []
        live = log.live(self.state, warnings_only=self.warnings_only, containing=self.containing)
        return [title(width, "Log", number="7", live=live, is_focused=True)]

    def tail_lines(self, width: int) -> list[Content]:
        """The end of worker.log, where it is all that is left of the worker."""
        crash = self.state.crash if self.state is not None else None
        if crash is None or not crash.log_tail:
            return []
        head = title(width, "Last lines of worker.log")
        return [Content(""), head, *(fit((line, MUTED), width) for line in crash.log_tail[-_NUM_TAIL:])]

    def _draw_row(self, index: int, width: int, is_selected: bool) -> Content:
        if not self.entries:
            told = (
                log.empty(self.state, warnings_only=self.warnings_only, containing=self.containing)
                if self.state
                else ""
            )
            return fit((told, MUTED), width)
        row = log.row(self.entries[index], width - 2)
        row = fit(join(("❯ " if is_selected else "  ", f"bold {ACCENT}"), row), width)
        return row.stylize("on $block-cursor-background") if is_selected else row

    # -- keys --

    def action_warnings_only(self) -> None:
        """Warnings only, or all lines."""
        self.warnings_only = not self.warnings_only
        self._fill()

    def action_filter(self) -> None:
        """Open the filter."""
        self.query_one(FilterBar).open()

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        """Every key filters."""
        message.stop()
        self.containing = message.text.strip()
        self._fill()

    async def action_back(self) -> None:
        """Clear the filter; without one, out of the page."""
        if self.containing:
            self.query_one(FilterBar).close()
            self.containing = ""
            self._fill()
        else:
            await self.run_action("screen.back")

    def action_copy(self) -> None:
        """Copy the marked line."""
        copied = self.copied()
        if copied is not None:
            self.house.copy(*copied)

    def copied(self) -> Copied | None:
        """What `y` copies."""
        if not self.entries:
            return None
        entry = self.entries[min(self.query_one(Rows).cursor, len(self.entries) - 1)]
        return Copied(log.line(entry), "the marked line")
