"""What page 3 is made of: the field for the folder, the table of songs, the lines above and below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.content import Content

from acestep_tui.commands import bindings
from acestep_tui.widgets.field_lines import Frame
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import MUTED, Part
from acestep_tui.widgets.path_field import PathField
from acestep_tui.widgets.rows import DrawRow, Rows
from acestep_tui.wizard.songs_page import counts_line, header_line, message_lines, place_line
from acestep_tui.wizard.steps.base import Passage

if TYPE_CHECKING:
    from acestep_tui.wizard.steps.dataset import DatasetStep

_FRAME = Frame(label_width=7, run_width=45)


class FolderField(PathField):
    """Where the songs are: a folder, or a file that lists folders."""

    endings: ClassVar[tuple[str, ...]] = (".json",)

    def __init__(self, step: DatasetStep) -> None:
        super().__init__("Folder", "text", frame=_FRAME, after=("or a hub data set name", MUTED), id="folder")
        self._step = step

    def value_text(self) -> str:
        """As typed."""
        return self._step.draft.source

    def placeholder(self) -> str:
        """What to type."""
        return "a folder of songs, or demo:songs"

    def reason(self) -> Part:
        """What the typed path could become."""
        return self.candidates()

    def take(self, typed: str) -> str:
        """Look at it when the typing pauses."""
        self._step.typed(typed)
        return ""

    def restore(self) -> None:
        """There is nothing to bring back."""

    def is_found(self) -> bool:
        """Whether its songs are in the table: the next thing is to look at them."""
        return bool(self._step.table.rows) and self.typed.strip() == self._step.draft.source

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """One row; a second one only while there is a choice of folders: the table wants the room."""
        return super().lines(width, height)[: self._needed_height(width)]

    def _needed_height(self, width: int) -> int:
        return super()._needed_height(width) if self.candidates() else 1


class _Line(Lines):
    """One row about the songs; empty before there is something to say."""

    DEFAULT_CSS = "_Line { height: 1; }"

    def __init__(self, step: DatasetStep) -> None:
        super().__init__()
        self._step = step


class CountsLine(_Line):
    """How many songs, and how they are."""

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row; empty before the first scan."""
        del height
        step = self._step
        if step.scan is None or (step.scan.error is not None and not step.table.rows):
            return []
        return [counts_line(step.table.counts(), step.scan, width)]


class ColumnNames(_Line):
    """The names of the columns."""

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row."""
        del height
        return [header_line(width)] if self._step.table.rows else []


class SongRows(Rows):
    """The table."""

    scopes = ("songs",)
    BINDINGS: ClassVar[list[BindingType]] = [*Rows.BINDINGS, *bindings("songs")]

    def __init__(self, step: DatasetStep, draw: DrawRow) -> None:
        super().__init__(draw, id="songs")
        self._step = step

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The visible rows; the line under the table says which they are."""
        drawn = super().lines(width, height)
        self.call_after_refresh(self._step.query_one(PlaceLine).redraw)
        return drawn

    def action_toggle_problems(self) -> None:
        """Problems first, or all by name."""
        self._step.toggle_problems()

    def action_filter(self) -> None:
        """Open the filter."""
        self._step.query_one(FilterBar).open()

    def action_leave_out(self) -> None:
        """Leave the selected song out, or take it back."""
        self._step.leave_out(self._step.selected)

    def action_no_voice(self) -> None:
        """The selected song has no voice, or has one."""
        self._step.no_voice(self._step.selected)


class PlaceLine(_Line):
    """Which rows are in sight."""

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row."""
        del height
        step = self._step
        rows = step.query_one(SongRows)
        last = min(rows.top + rows.size.height, rows.num_rows)
        if step.scan is None or not step.table.rows:
            return []
        return [place_line(rows.top, last, rows.num_rows, step.table, width, wanted=step.wanted)]


class Messages(Passage):
    """What must be said about the songs."""

    def __init__(self, step: DatasetStep) -> None:
        super().__init__()
        self._step = step

    def drawn(self, width: int) -> Sequence[Content]:
        """All lines at this width."""
        step = self._step
        most = 6 if self.app.size.height < 32 else 9
        return message_lines(step.table, step.scan, width, most=most)
