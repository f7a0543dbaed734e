"""Page 3, Dataset: where the songs are, what is in them, every problem with its name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from acestep_tui.commands import Command, bindings
from acestep_tui.widgets.field_lines import Frame
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import MUTED, Part
from acestep_tui.widgets.path_field import PathField
from acestep_tui.widgets.rows import Rows
from acestep_tui.wizard.look import SongFacts
from acestep_tui.wizard.preset import planned_config
from acestep_tui.wizard.schedule_advice import example_of
from acestep_tui.wizard.song_messages import nothing_usable, song_facts
from acestep_tui.wizard.song_scan import ScanStopped, SongScan, detect_languages, scan_key, scan_songs
from acestep_tui.wizard.songs import ShownRow, SongTable
from acestep_tui.wizard.songs_page import counts_line, header_line, message_lines, place_line, row_line
from acestep_tui.wizard.source import Source, read_source
from acestep_tui.wizard.steps.base import Fact, Passage, Step
from engine.contract.errors import UserError
from engine.contract.fields_base import WizardStep

# A path is looked at when the typing pauses, so that half a path is never scanned.
_PAUSE_S = 0.3
_FRAME = Frame(label_width=7, run_width=45)


class FolderField(PathField):
    """Where the songs are."""

    def __init__(self, step: DatasetStep) -> None:
        super().__init__("Folder", "path", frame=_FRAME, after=("or a hub data set name", MUTED), id="folder")
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

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """One row; a second one only while there is a choice of folders: the table wants the room."""
        return super().lines(width, height)[: self._needed_height(width)]

    def _needed_height(self, width: int) -> int:
        return super()._needed_height(width) if self.candidates() else 1


class CountsLine(Lines):
    """How many songs, and how they are."""

    DEFAULT_CSS = "CountsLine { height: 1; }"

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row; empty before the first scan."""
        del height
        step = self.query_ancestor(DatasetStep)
        if step.scan is None or (step.scan.error is not None and not step.table.rows):
            return []
        return [counts_line(step.table.counts(), step.scan, width)]


class ColumnNames(Lines):
    """The names of the columns."""

    DEFAULT_CSS = "ColumnNames { height: 1; }"

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row."""
        del height
        return [header_line(width)] if self.query_ancestor(DatasetStep).table.rows else []


class SongRows(Rows):
    """The table."""

    scopes = ("songs",)
    BINDINGS: ClassVar[list[BindingType]] = [*Rows.BINDINGS, *bindings("songs")]

    @property
    def step(self) -> DatasetStep:
        """The page."""
        return self.query_ancestor(DatasetStep)

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The visible rows; the line under the table says which they are."""
        drawn = super().lines(width, height)
        self.call_after_refresh(self.step.query_one(PlaceLine).redraw)
        return drawn

    def action_toggle_problems(self) -> None:
        """Problems first, or all by name."""
        self.step.toggle_problems()

    def action_filter(self) -> None:
        """Open the filter."""
        self.step.query_one(FilterBar).open()

    def action_leave_out(self) -> None:
        """Leave the selected song out, or take it back."""
        self.step.leave_out(self.step.selected)

    def action_no_voice(self) -> None:
        """The selected song has no voice, or has one."""
        self.step.no_voice(self.step.selected)


class PlaceLine(Lines):
    """Which rows are in sight."""

    DEFAULT_CSS = "PlaceLine { height: 1; }"

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row."""
        del height
        step = self.query_ancestor(DatasetStep)
        rows = step.query_one(SongRows)
        last = min(rows.top + rows.size.height, rows.num_rows)
        if step.scan is None or not step.table.rows:
            return []
        return [place_line(rows.top, last, rows.num_rows, step.table, width, wanted=step.wanted)]


class Messages(Passage):
    """What must be said about the songs."""

    def drawn(self, width: int) -> Sequence[Content]:
        """All lines at this width."""
        step = self.query_ancestor(DatasetStep)
        most = 6 if self.app.size.height < 32 else 9
        return message_lines(step.table, step.scan, width, most=most)


class DatasetStep(Step):
    """The page."""

    key: ClassVar[WizardStep] = "dataset"
    has_pane: ClassVar[bool] = False
    answers: ClassVar[frozenset[str]] = frozenset({"browse", "rescan"})

    @dataclass
    class SourceRead(Message):
        """What was typed was understood, or not."""

        typed: str
        source: Source | None
        error: UserError | None = None

    @dataclass
    class Scanned(Message):
        """The scan has found more."""

        key: tuple[Any, ...]
        scan: SongScan

    @dataclass
    class LanguagesFound(Message):
        """More languages are known."""

        key: tuple[Any, ...]
        languages: dict[tuple[str, str], str]

    def compose_step(self) -> Iterable[Widget]:
        """Folder, counts, table, what is said."""
        self.scan: SongScan | None = None
        self.table = SongTable()
        self.wanted = ""
        self.shown: list[ShownRow] = []
        self._problems_first = False
        self._languages: dict[tuple[str, str], str] = {}
        self._scanned_key: tuple[Any, ...] = ()
        self._typed = ""
        self._made_of: tuple[Any, ...] = ()
        yield FolderField(self)
        yield CountsLine()
        yield ColumnNames()
        yield SongRows(self._draw, id="songs")
        yield PlaceLine()
        yield FilterBar("Filter: a name, a language, lyrics none …")
        yield Messages()

    # -- where the songs are --

    def learn(self) -> None:
        """Scan what the draft already names."""
        if self.draft.source:
            self.typed(self.draft.source, pause=False)

    def typed(self, text: str, *, pause: bool = True) -> None:
        """Another path: the scan of the one before is of no use any more."""
        self._typed = text
        self.workers.cancel_group(self, "scan")
        self._scanned_key = ()
        self.facts.is_scanning = False
        if not text.strip():
            self.scan, self.table = None, SongTable()
            self._show()
            self._tell_facts()
            return
        if pause:
            self.set_timer(_PAUSE_S, lambda: self._read(text) if text == self._typed else None)
        else:
            self._read(text)

    @work(thread=True, exclusive=True, exit_on_error=False, group="source")
    def _read(self, text: str) -> None:
        try:
            self.post_message(self.SourceRead(text, read_source(text, cwd=Path.cwd())))
        except UserError as error:
            self.post_message(self.SourceRead(text, None, error))

    def on_dataset_step_source_read(self, message: SourceRead) -> None:
        """Scan it, or say why not."""
        message.stop()
        if message.typed != self._typed:
            return
        if message.source is None:
            self.table = SongTable()
            self._take(SongScan(is_done=True, error=message.error))
            return
        source = message.source
        is_new = source.text != self.draft.source or self.draft.value(source.key) != source.value
        if is_new:
            self.draft.set_source(source.text, source.key, source.value, album=source.album)
            self.changed()
        self.rescan()

    def rescan(self) -> None:
        """Look at the songs again."""
        if not self.draft.source:
            return
        self._scanned_key = scan_key(self.draft)
        self._languages = {}
        self.facts.is_scanning = True
        self._scan(planned_config(self.draft), self._scanned_key)

    @work(thread=True, exclusive=True, exit_on_error=False, group="scan")
    def _scan(self, config: Any, key: tuple[Any, ...]) -> None:
        worker = get_current_worker()

        def stopped() -> bool:
            return worker.is_cancelled

        try:
            found = scan_songs(config, cwd=Path.cwd(), on_news=lambda scan: self._tell(key, scan), should_stop=stopped)
            self._tell(key, found)

            def tell(languages: dict[tuple[str, str], str]) -> None:
                self.post_message(self.LanguagesFound(key, languages))

            tell(detect_languages(found.rows, on_news=tell, should_stop=stopped))
        except ScanStopped:
            return

    def _tell(self, key: tuple[Any, ...], scan: SongScan) -> None:
        self.post_message(self.Scanned(key, scan))

    def on_dataset_step_scanned(self, message: Scanned) -> None:
        """More rows."""
        message.stop()
        if message.key == self._scanned_key:
            self._take(message.scan)

    def on_dataset_step_languages_found(self, message: LanguagesFound) -> None:
        """Their column fills."""
        message.stop()
        if message.key == self._scanned_key:
            self._languages = message.languages
            self._show()

    def _take(self, scan: SongScan) -> None:
        was_empty = not self.table.rows
        self.scan = scan
        self.facts.is_scanning = not scan.is_done
        self._show()
        if scan.is_done:
            self._tell_facts()
            if was_empty and self.table.rows and self.query_one(FolderField).has_focus and self.display:
                self.refresh_bindings()

    def _tell_facts(self) -> None:
        usable = self.table.usable()
        self.facts.songs = song_facts(self.table) if self.table.rows else SongFacts()
        self.facts.data = self.scan.data(self.draft) if self.scan is not None and usable else None
        self.facts.example = example_of(usable)
        self.learned("songs")

    # -- what is shown --

    def facts_changed(self, fact: Fact) -> None:
        """The goal, the longest piece or a setting of the scan may be another one."""
        super().facts_changed(fact)
        if not self.is_mounted or self.scan is None or fact == "songs":
            return
        if self.draft.source and scan_key(self.draft) != self._scanned_key and self.scan.error is None:
            self.rescan()
        before = self.table
        self._show()
        marks = (before.left_out, before.no_voice, before.goal, before.longest_s, before.in_pieces)
        if marks != (self.table.left_out, self.table.no_voice, *self._taste()) and self.scan.is_done:
            self._tell_facts()

    def _taste(self) -> tuple[str, float, bool]:
        return self.table.goal, self.table.longest_s, self.table.in_pieces

    def _show(self) -> None:
        selected = self.selected
        if self.scan is not None:
            self._make_table(self.scan)
        self.shown = self.table.visible(text=self.wanted, problems_first=self._problems_first)
        rows = self.query_one(SongRows)
        is_same = (
            (one.row.name == selected.row.name and one.row.backend_id == selected.row.backend_id for one in self.shown)
            if selected is not None
            else iter(())
        )
        place = next((index for index, found in enumerate(is_same) if found), rows.cursor)
        rows.set_rows(len(self.shown), cursor=place)
        for line in (self.query_one(CountsLine), self.query_one(ColumnNames), self.query_one(PlaceLine)):
            line.redraw()
        self.query_one(Messages).show()

    def _make_table(self, scan: SongScan) -> None:
        """The table anew, unless nothing that it is made of changed: a thousand songs take their time."""
        made = scan.table(self.draft)
        taste = (made.left_out, made.no_voice, made.goal, made.longest_s, made.in_pieces)
        made_of = (id(scan), id(self._languages), taste)
        if made_of != self._made_of:
            self._made_of = made_of
            self.table = made.with_languages(self._languages)

    def _draw(self, index: int, width: int, is_selected: bool) -> Content:
        has_focus = self.query_one(SongRows).has_focus
        return row_line(self.shown[index], width, is_selected=is_selected and has_focus)

    @property
    def selected(self) -> ShownRow | None:
        """The song under the cursor."""
        rows = self.query_one(SongRows)
        return self.shown[rows.cursor] if rows.cursor < len(self.shown) else None

    def on_descendant_focus(self) -> None:
        """The selected row is marked only while the table has the focus."""
        self.query_one(SongRows).redraw()

    def on_descendant_blur(self) -> None:
        """As above."""
        self.query_one(SongRows).redraw()

    # -- what one does with a song --

    def toggle_problems(self) -> None:
        """Problems first, or all by name."""
        self._problems_first = not self._problems_first
        self._show()
        self.query_one(SongRows).move_to(0)

    def on_filter_bar_filtered(self, message: FilterBar.Filtered) -> None:
        """Only songs that hold the text in some column."""
        message.stop()
        self.wanted = message.text
        self._show()

    def leave_out(self, shown: ShownRow | None) -> None:
        """Leave a song out, or take it back; the music folder is never written to."""
        if shown is not None:
            self.draft.toggle_left_out(shown.row.name)
            self._marked()

    def no_voice(self, shown: ShownRow | None) -> None:
        """Mark a song as without voice, or not."""
        if shown is not None and shown.row.song is not None:
            self.draft.toggle_no_voice(shown.row.name)
            self._marked()

    def _marked(self) -> None:
        self._show()
        if self.scan is not None and self.scan.is_done:
            self._tell_facts()
        self.changed()

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """What the model will see of the song."""
        message.stop()
        from acestep_tui.screens.song import SongScreen

        self.app.push_screen(SongScreen(self))

    def browse(self) -> None:
        """Look for a folder."""
        from acestep_tui.screens.browse import BrowseDialog

        def chosen(path: Path | None) -> None:
            if path is not None:
                self.query_one(FolderField).put(str(path))

        self.app.push_screen(BrowseDialog(), chosen)

    # -- what the frame asks --

    def problems(self) -> list[str]:
        """Nothing typed, nothing there, or nothing that can be used."""
        if not self._typed.strip():
            return ["Type the folder of your songs first, or demo:songs."]
        if self.scan is not None and self.scan.error is not None:
            return [self.scan.error.message.partition("\n")[0]]
        nothing = nothing_usable(self.table) if self.scan is not None and self.scan.is_done else ""
        if nothing:
            return [nothing]
        return [] if self.table.usable() else ["The songs are still being looked at."]

    def focus_first(self) -> None:
        """The table where there are songs, else the field."""
        if self.table.rows and not self.problems():
            self.query_one(SongRows).focus()
        else:
            self.query_one(FolderField).focus()

    def footer_word(self, command: Command) -> str | None:
        """The keys of the table need the room."""
        return "" if command.id in ("wizard.more", "wizard.save_preset", "wizard.copy_command") else None
