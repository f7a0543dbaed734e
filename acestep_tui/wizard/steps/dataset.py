"""Page 3, Dataset: where the songs are, what is in them, every problem with its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.worker import Worker, WorkerState, get_current_worker

from acestep_tui.commands import Command
from acestep_tui.paths import absolute
from acestep_tui.widgets.filter_bar import FilterBar
from acestep_tui.widgets.rows import Rows
from acestep_tui.wizard.look import SongFacts
from acestep_tui.wizard.preset import planned_config
from acestep_tui.wizard.schedule_advice import example_of
from acestep_tui.wizard.song_detail import find_duplicates
from acestep_tui.wizard.song_hearing import Problems, hear_songs, with_new
from acestep_tui.wizard.song_messages import nothing_usable, song_facts
from acestep_tui.wizard.song_scan import ScanStopped, SongScan, detect_languages, scan_key, scan_songs
from acestep_tui.wizard.songs import ShownRow, SongKey, SongTable, song_key
from acestep_tui.wizard.songs_page import row_line
from acestep_tui.wizard.source import Source, missing_folder, read_source, typable
from acestep_tui.wizard.steps.base import Fact, Step
from acestep_tui.wizard.steps.song_table import ColumnNames, CountsLine, FolderField, Messages, PlaceLine, SongRows
from engine.contract.errors import DataError, UserError
from engine.contract.fields_base import WizardStep
from engine.dataset.doctor_duplicates import duplicate_problems

if TYPE_CHECKING:
    from acestep_tui.screens.song import SongScreen

_BROKEN_OFF = DataError("These songs could not be looked at", hint="^r looks again, or choose another folder.")
# A path is looked at when the typing pauses, so that half a path is never scanned.
_PAUSE_S = 0.3


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
        languages: dict[SongKey, str]

    @dataclass
    class LookedCloser(Message):
        """Which files are the same as another one, or what is wrong with their sound."""

        key: tuple[Any, ...]
        problems: Problems
        duplicates: dict[SongKey, str] | None = None

    def compose_step(self) -> Iterable[Widget]:
        """Folder, counts, table, what is said."""
        self.scan: SongScan | None = None
        self.table = SongTable()
        self.wanted = ""
        self.shown: list[ShownRow] = []
        self._problems_first = False
        self._languages: dict[SongKey, str] = {}
        # Files that are the same as an earlier one; None until all were compared.
        self.duplicates: dict[SongKey, str] | None = None
        self._found_later: Problems = {}
        # Where the cursor belongs, also while that song is filtered out or scanned anew.
        self._kept: SongKey | None = None
        self._song_screen: SongScreen | None = None
        self._scanned_key: tuple[Any, ...] = ()
        self._typed = ""
        self._wants_table = False
        self._made_of: tuple[Any, ...] = ()
        yield FolderField(self)
        yield CountsLine(self)
        yield ColumnNames(self)
        yield SongRows(self, self._draw)
        yield PlaceLine(self)
        yield FilterBar("Filter: a name, a language, lyrics none …")
        yield Messages(self)

    # -- where the songs are --

    def learn(self) -> None:
        """Scan what the draft already names; its path is whole, wherever the app was started."""
        if self.draft.source:
            self._typed, self._wants_table = self.draft.source, True
            self.rescan()

    def typed(self, text: str) -> None:
        """Another path: the scan of the one before is of no use any more."""
        self._typed, self._wants_table = text, False
        self.workers.cancel_group(self, "scan")
        self._scanned_key = ()
        self.facts.is_scanning = False
        if not text.strip():
            self.scan, self.table = None, SongTable()
            self._show()
            self._tell_facts()
            return
        self.set_timer(_PAUSE_S, lambda: self._read(text) if text == self._typed else None)

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
        """Look at the songs again; what was typed and not there may be there by now."""
        if self.scan is not None and self.scan.error is not None and self._typed.strip() != self.draft.source:
            self._read(self._typed)
            return
        if not self.draft.source:
            return
        self._scanned_key = scan_key(self.draft)
        self._languages, self.duplicates, self._found_later = {}, None, {}
        self.facts.is_scanning = True
        self._scan(planned_config(self.draft), self._scanned_key)

    @work(thread=True, exclusive=True, exit_on_error=False, group="scan")
    def _scan(self, config: Any, key: tuple[Any, ...]) -> None:
        def stopped() -> bool:
            return get_current_worker().is_cancelled

        def tell_scan(scan: SongScan) -> None:
            self.post_message(self.Scanned(key, scan))

        if (gone := missing_folder(config.instance_data_dir)) is not None:
            tell_scan(SongScan(is_done=True, error=gone))
            return
        try:
            found = scan_songs(config, cwd=Path.cwd(), on_news=tell_scan, should_stop=stopped)
            tell_scan(found)

            def tell(languages: dict[SongKey, str]) -> None:
                self.post_message(self.LanguagesFound(key, languages))

            tell(detect_languages(found.rows, on_news=tell, should_stop=stopped))
        except ScanStopped:
            return
        duplicates = find_duplicates(found.rows, should_stop=stopped)
        if not stopped():
            self.post_message(self.LookedCloser(key, duplicate_problems(duplicates), duplicates))
        hear_songs(found.rows, on_news=lambda new: self.post_message(self.LookedCloser(key, new)), should_stop=stopped)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What nobody expected is told by `TellsFailures`; nothing more will come of that look at the songs."""
        group = event.worker.group if event.state is WorkerState.ERROR else ""
        if group == "source" or (group == "scan" and self.facts.is_scanning):
            self._take(SongScan(is_done=True, error=_BROKEN_OFF))

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

    def on_dataset_step_looked_closer(self, message: LookedCloser) -> None:
        """Their notes change."""
        message.stop()
        if message.key == self._scanned_key:
            self.duplicates = self.duplicates if message.duplicates is None else message.duplicates
            self.found_later(message.problems)

    def found_later(self, problems: Problems) -> None:
        """What a closer look at songs has found that their scan does not tell."""
        self._found_later = with_new(self._found_later, problems)
        self._show()

    def _take(self, scan: SongScan) -> None:
        self.scan = scan
        self.facts.is_scanning = not scan.is_done
        self._show()
        if self._wants_table and self.table.rows:
            # Songs that were chosen without typing: one comes for the table. Whoever types stays in the field.
            self._wants_table = False
            # Whatever else asked for the focus while the page opened has had its turn by then.
            self.call_after_refresh(self._to_table)
        if scan.is_done:
            self._tell_facts()

    def _to_table(self) -> None:
        if self.display and (self.screen.focused is None or self.query_one(FolderField).has_focus):
            self.query_one(SongRows).focus()

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
        is_typed_on = self._typed.strip() != self.draft.source
        if not is_typed_on and scan_key(self.draft) != self._scanned_key and self.scan.error is None:
            self.rescan()
        before = self.table
        self._show()
        marks = (before.left_out, before.no_voice, before.goal, before.longest_s, before.in_pieces)
        if marks != (self.table.left_out, self.table.no_voice, *self._taste()) and self.scan.is_done:
            self._tell_facts()

    def _taste(self) -> tuple[str, float, bool]:
        return self.table.goal, self.table.longest_s, self.table.in_pieces

    def _show(self) -> None:
        if self.scan is not None:
            self._make_table(self.scan)
        self.shown = self.table.visible(text=self.wanted, problems_first=self._problems_first)
        rows = self.query_one(SongRows)
        place = next((index for index, one in enumerate(self.shown) if song_key(one) == self._kept), rows.cursor)
        rows.set_rows(len(self.shown), cursor=place)
        for kind in (CountsLine, ColumnNames, PlaceLine):
            self.query_one(kind).redraw()
        self.query_one(Messages).show()
        if self._song_screen is not None:
            self._song_screen.songs_changed()

    def _make_table(self, scan: SongScan) -> None:
        """The table anew, unless nothing that it is made of changed: a thousand songs take their time."""
        made = scan.table(self.draft)
        taste = (made.left_out, made.no_voice, made.goal, made.longest_s, made.in_pieces)
        made_of = (id(scan), id(self._languages), id(self._found_later), taste)
        if made_of != self._made_of:
            self._made_of = made_of
            self.table = made.with_languages(self._languages).with_problems(self._found_later)

    def _draw(self, index: int, width: int, is_selected: bool) -> Content:
        return row_line(self.shown[index], width, is_selected=is_selected and self.query_one(SongRows).has_focus)

    @property
    def selected(self) -> ShownRow | None:
        """The song under the cursor."""
        rows = self.query_one(SongRows)
        return self.shown[rows.cursor] if rows.cursor < len(self.shown) else None

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """The cursor belongs to another song now."""
        message.stop()
        self._kept = song_key(self.selected) if self.selected is not None else None

    @property
    def cursor(self) -> int:
        """Where the cursor stands."""
        return self.query_one(SongRows).cursor

    def select(self, index: int) -> None:
        """Put the cursor on a row."""
        self.query_one(SongRows).move_to(index)
        self._kept = song_key(self.selected) if self.selected is not None else None

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
            self._kept = song_key(shown)
            self.draft.toggle_left_out(shown.row.name)
            self._marked()

    def no_voice(self, shown: ShownRow | None) -> None:
        """Mark a song as without voice, or not."""
        if shown is not None and shown.row.song is not None:
            self._kept = song_key(shown)
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

        if self.selected is None:
            return
        self._kept = song_key(self.selected)
        self._song_screen = SongScreen(self)

        def closed(_: object) -> None:
            self._song_screen = None

        self.app.push_screen(self._song_screen, closed)

    def browse(self) -> None:
        """Look for a folder."""
        from acestep_tui.screens.browse import BrowseDialog

        def chosen(path: Path | None) -> None:
            if path is not None:
                self.query_one(FolderField).put(typable(path))
                self._wants_table = True

        typed = self._typed.strip()
        is_folder = bool(typed) and not typed.startswith(("env=", "demo:"))
        self.app.push_screen(BrowseDialog(absolute(typed) if is_folder else None), chosen)

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
