"""One song: what the model will hear and read of it. Up and down go through the songs as the table shows them."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, work
from textual.app import SuspendNotSupported
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import get_current_worker

from acestep_tui.commands import Command, bindings
from acestep_tui.paths import absolute
from acestep_tui.screens.base import HouseScreen
from acestep_tui.screens.song_page import is_wide, narrow_page, wide_page
from acestep_tui.screens.song_sound import SongView
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import BOLD, MUTED, Part, join, text
from acestep_tui.wizard.draft import UNNAMED
from acestep_tui.wizard.preset import planned_config
from acestep_tui.wizard.song_detail import SongDetail, song_detail
from acestep_tui.wizard.songs import ShownRow, SongKey, song_key
from engine.contract.backends import DEMO_SONGS, LocalBackend
from engine.contract.paths import expanded
from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.captions import caption_file
from engine.dataset.doctor_sound import sound_problems
from engine.dataset.lyrics_files import lyrics_paths
from engine.dataset.sound_facts import SoundFacts, listen

if TYPE_CHECKING:
    from acestep_tui.wizard.steps.dataset import DatasetStep

# A song is decoded once the cursor rests on it, not for each one that is passed.
_REST_S = 0.15
_WHEEL_ROWS = 3


class SongPage(Lines):
    """The page; its screen knows the song."""

    def __init__(self) -> None:
        super().__init__(id="song")
        self.offset_rows = 0
        self.page_rows = 1

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """What is known so far."""
        screen = self.screen
        if not isinstance(screen, SongScreen) or screen.view is None:
            return ()
        make = wide_page if is_wide(screen.size.width, screen.size.height) else narrow_page
        picture = make(screen.view, width, height, self.offset_rows)
        self.offset_rows, self.page_rows = picture.offset, picture.page
        return picture.lines

    def scroll_rows(self, rows: int) -> None:
        """Move what scrolls."""
        self.offset_rows = max(self.offset_rows + rows, 0)
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel."""
        event.stop()
        self.scroll_rows(_WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel."""
        event.stop()
        self.scroll_rows(-_WHEEL_ROWS)


class SongScreen(HouseScreen):
    """The song under the table's cursor.

    Args:
        step: The page with the table: its rows, its marks.
    """

    CSS_PATH = Path(__file__).with_name("song.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("song")
    scopes = ("song",)
    help_title = "One song"

    @dataclass
    class Read(Message):
        """Caption and lyrics are read."""

        key: SongKey
        detail: SongDetail

    @dataclass
    class Heard(Message):
        """The song is decoded, or cannot be."""

        key: SongKey
        file: tuple[Any, ...]
        sound: SoundFacts | None
        problem: str = ""

    def __init__(self, step: DatasetStep) -> None:
        super().__init__()
        self._songs = step
        self.view: SongView | None = None
        # By file with size and time: an edited caption decodes nothing anew.
        self._heard: dict[tuple[Any, ...], tuple[SoundFacts | None, str]] = {}
        self._rest: Timer | None = None
        self._read_for: tuple[Any, ...] = ()

    def compose_body(self) -> Iterable[Widget]:
        """One page."""
        yield SongPage()

    def on_mount(self) -> None:
        """Show the song under the cursor."""
        self._open(self._songs.selected)

    # -- which song --

    def _open(self, shown: ShownRow | None) -> None:
        """Another song: what is known of it at once, the rest when it is found."""
        if shown is None:
            return
        self.view = None
        self._read_for = ()
        self.query_one(SongPage).offset_rows = 0
        self._take(shown)
        self._hear()

    def songs_changed(self) -> None:
        """The table changed below: a mark, another scan, news of a song. A song that is gone for now stays."""
        if self.view is None or not self.is_attached:
            return
        key = song_key(self.view.shown)
        table = self._songs.table
        row = next((one for one in table.rows if (one.backend_id, one.name) == key), None)
        if row is not None:
            before = _file(self.view.shown)
            self._take(table.show(row))
            if _file(self.view.shown) != before:
                self._hear()
        self._show_header()

    def _take(self, shown: ShownRow) -> None:
        step = self._songs
        plan = step.facts.plan
        known = self.view
        has_no_voice = shown.row.name in step.draft.no_voice
        problem = next((one.reason for one in shown.row.problems if one.code == "unreadable"), "")
        self.view = SongView(
            shown=shown,
            detail=known.detail if known is not None else None,
            sound=known.sound if known is not None else None,
            sound_problem=problem.removeprefix("left out: "),
            duplicate_of=None if step.duplicates is None else step.duplicates.get(song_key(shown), ""),
            num_steps=plan.num_steps if plan is not None else None,
            has_no_voice=has_no_voice,
            is_instrumental=step.table.goal == "instrumental",
        )
        self._read_if_new(shown, has_no_voice=has_no_voice)
        self._redraw()

    def _read_if_new(self, shown: ShownRow, *, has_no_voice: bool) -> None:
        """Read it in a thread, unless nothing that it is read from changed."""
        step, row = self._songs, shown.row
        config = planned_config(step.draft)
        model = step.facts.model
        model_path = model.path if model is not None else None
        num_steps = self.view.num_steps if self.view is not None else None
        read_for = (row, has_no_voice, step.table.left_out, len(step.table.rows), config, model_path, num_steps)
        if read_for == self._read_for:
            return
        self._read_for = read_for
        if has_no_voice and row.song is not None:
            row = replace(row, song=replace(row.song, lyrics=None, timed_lines=()))
        backends = step.scan.backends if step.scan is not None else ()
        key, songs = song_key(shown), step.table.usable()

        def read() -> None:
            found = song_detail(
                row, songs=songs, config=config, backends=backends, model_path=model_path, num_steps=num_steps
            )
            self.post_message(self.Read(key, found))

        self.run_worker(read, thread=True, exclusive=True, exit_on_error=False, group="read")

    def on_song_screen_read(self, message: Read) -> None:
        """Caption and lyrics in tokens."""
        message.stop()
        if self.view is not None and message.key == song_key(self.view.shown):
            self.view = replace(self.view, detail=message.detail)
            self._redraw()

    # -- how it sounds --

    def _hear(self) -> None:
        """Decode it when the cursor rests here."""
        self.workers.cancel_group(self, "hear")
        if self._rest is not None:
            self._rest.stop()
        song = self.view.shown.row.song if self.view is not None else None
        if self.view is None or song is None:
            return
        file = _file(self.view.shown)
        if file in self._heard:
            self._heard_it(*self._heard[file])
            return
        self.view = replace(self.view, sound=None)
        key, path = song_key(self.view.shown), song.path
        self._rest = self.set_timer(_REST_S, lambda: self._listen(key, file, path))

    @work(thread=True, exclusive=True, exit_on_error=False, group="hear")
    def _listen(self, key: SongKey, file: tuple[Any, ...], path: Path) -> None:
        worker = get_current_worker()
        try:
            sound = listen(path, should_stop=lambda: worker.is_cancelled)
        except UnreadableAudioError as error:
            self.post_message(self.Heard(key, file, None, error.message))
        except OSError as error:
            self.post_message(self.Heard(key, file, None, f"the file cannot be read: {error.strerror or error}"))
        else:
            if sound is not None:
                self.post_message(self.Heard(key, file, sound))

    def on_song_screen_heard(self, message: Heard) -> None:
        """The wave, and what listening found."""
        message.stop()
        self._heard[message.file] = (message.sound, message.problem)
        if message.sound is not None:
            found = tuple(sound_problems(message.key[1], message.sound))
            if found:
                self._songs.found_later({message.key: found})
        if self.view is not None and message.key == song_key(self.view.shown):
            self._heard_it(message.sound, message.problem)

    def _heard_it(self, sound: SoundFacts | None, problem: str) -> None:
        if self.view is not None:
            self.view = replace(self.view, sound=sound, sound_problem=problem)
            self._redraw()

    # -- what is shown --

    def _redraw(self) -> None:
        self.query_one(SongPage).redraw()
        self._show_header()
        self.refresh_bindings()

    def _show_header(self) -> None:
        place = self._place
        number = "–" if place is None else f"{place + 1:,}"
        draft = self._songs.draft
        name = [(draft.name, BOLD)] if draft.name else []
        self.show_header((UNNAMED, MUTED), *name, right=text(f"song {number} of {len(self._songs.shown):,}", MUTED))

    @property
    def _place(self) -> int | None:
        """Where the song stands among those that the table shows; None when it is filtered out."""
        if self.view is None:
            return None
        key = song_key(self.view.shown)
        return next((index for index, one in enumerate(self._songs.shown) if song_key(one) == key), None)

    def tiny_line(self) -> Part:
        """Name and state."""
        if self.view is None:
            return text(self.help_title)
        return join((self.view.shown.row.file_name, BOLD), f"  {self.view.shown.glyph} {self.view.shown.state}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A file that is no song has no voice to speak of."""
        del parameters
        return action != "no_voice" or (self.view is not None and self.view.shown.row.song is not None)

    def footer_word(self, command: Command) -> str:
        """What a mark does now."""
        if self.view is not None and command.id == "song.leave_out" and self.view.shown.state == "left out":
            return "Take back"
        if self.view is not None and command.id == "song.no_voice" and self.view.has_no_voice:
            return "Has voice"
        return command.word

    # -- keys --

    def action_back(self) -> None:
        """Back to the table, its cursor on this song."""
        self.dismiss(None)

    def _go(self, by: int) -> None:
        place, shown = self._place, self._songs.shown
        if not shown:
            return
        # A song that its own mark filtered out: what took its place comes next.
        target = min(max(place + by, 0), len(shown) - 1) if place is not None else self._songs.cursor
        if target != place:
            self._songs.select(target)
            self._open(self._songs.selected)

    def action_previous(self) -> None:
        """The song before."""
        self._go(-1)

    def action_next(self) -> None:
        """The next song."""
        self._go(1)

    def action_page_up(self) -> None:
        """One page up."""
        page = self.query_one(SongPage)
        page.scroll_rows(-page.page_rows)

    def action_page_down(self) -> None:
        """One page down."""
        page = self.query_one(SongPage)
        page.scroll_rows(page.page_rows)

    def action_leave_out(self) -> None:
        """Leave it out, or take it back."""
        self._songs.leave_out(self.view.shown if self.view is not None else None)

    def action_no_voice(self) -> None:
        """It has no voice, or has one."""
        self._songs.no_voice(self.view.shown if self.view is not None else None)

    def action_copy(self) -> None:
        """The path of the file."""
        path = self._path
        if path is not None:
            self.house.copy(str(path), "the song's path")

    @property
    def _backend(self) -> LocalBackend | None:
        scan, view = self._songs.scan, self.view
        if scan is None or view is None:
            return None
        return next((one for one in scan.backends if one.id == view.shown.row.backend_id), None)

    @property
    def _path(self) -> Path | None:
        """The file, also of one that is no song."""
        if self.view is None:
            return None
        row, backend = self.view.shown.row, self._backend
        if row.song is not None:
            return row.song.path
        if backend is None or backend.rows is not None:
            return None
        return absolute(expanded(backend.instance_data_dir) / row.name)

    def action_edit(self) -> None:
        """Caption and lyrics in $EDITOR; the songs are scanned again afterwards."""
        path, backend = self._path, self._backend
        if path is None or backend is None:
            return
        if backend.instance_data_dir == DEMO_SONGS:
            self.house.toast(
                "info", "The demo's songs are not for editing.", "Copy them to a folder of your own first."
            )
            return
        if backend.rows is not None:
            self.house.toast("info", "Its caption and lyrics stand in a row of its data set, not in files.")
            return
        if not path.parent.is_dir():
            self.house.toast("warning", f"The folder of {path.name} is not there any more.")
            return
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        files = [str(file) for file in texts_of(path, backend)]
        try:
            with self.app.suspend():
                ended = subprocess.run([*(shlex.split(editor) or ["vi"]), *files], check=False)
        except SuspendNotSupported:
            self.house.toast("warning", "This terminal cannot make room for an editor.", f"Edit {files[0]} elsewhere.")
            return
        except (OSError, ValueError) as error:
            self.house.toast("error", f"{editor} could not be started: {error}", "Set EDITOR to your editor.")
            return
        if ended.returncode:
            self.house.toast("warning", f"{editor} ended with code {ended.returncode}.", "The songs are read again.")
        self._songs.rescan()


def texts_of(path: Path, backend: LocalBackend) -> list[Path]:
    """The files that hold a song's caption and lyrics, also where they are not there yet."""
    candidates = lyrics_paths(path, backend.audio)
    lyrics = next((one for one in candidates if one.is_file()), candidates[0])
    return [caption_file(path), lyrics] if backend.caption_strategy == "textfile" else [lyrics]


def _file(shown: ShownRow) -> tuple[Any, ...]:
    """What tells one state of a file from another."""
    song = shown.row.song
    return () if song is None else (song.path, song.size_bytes, song.mtime_ns)
