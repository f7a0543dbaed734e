"""The clips in full: a list, two of them beside each other with wave and picture, playing them."""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from acestep_tui.commands import bindings
from acestep_tui.panels import clip_view, samples
from acestep_tui.panels.base import Copied
from acestep_tui.runs.state import RunState
from acestep_tui.screens.playing_page import PlayingPage
from acestep_tui.sound.clip import Clip, look_at
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import MUTED, title
from acestep_tui.widgets.rows import Rows
from engine.contract.events import SampleSaved

_SEEK_S = 5.0
# Pictures that are kept: A, B and a few that were looked at before.
_MAX_PICTURES = 12

# Keys that do something with a clip's file.
_NEED_FILES = ("play", "flip", "earlier", "later", "listen", "copy")


class _Part(Lines):
    """One part of the page, drawn by it."""

    def __init__(self, page: SamplesPage, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._page = page

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """What the page says."""
        return self._page.draw(self.id or "", width, height)


class SamplesPage(PlayingPage):
    """Panel 5, zoomed."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("samples")
    scopes = ("samples",)
    DEFAULT_CSS = """
    SamplesPage #both { layout: vertical; height: 1fr; }
    SamplesPage #side { height: auto; width: 1fr; }
    SamplesPage #head { height: 2; }
    SamplesPage #told { display: none; }
    SamplesPage #clips { height: 1fr; }
    SamplesPage #listen { height: 1; margin: 0 0 1 0; }
    SamplesPage.-two #both { layout: horizontal; }
    SamplesPage.-two #side { width: 50; height: 1fr; margin: 0 3 0 0; }
    SamplesPage.-two #told { display: block; }
    SamplesPage.-two #listen { height: 4; margin: 1 0 0 0; }
    """

    @dataclass
    class ClipRead(Message):
        """A file was read, or could not be."""

        clip: Clip

    def __init__(self) -> None:
        super().__init__()
        self.state: RunState | None = None
        self.now = 0.0
        self.clips: list[SampleSaved] = []
        self._marks: dict[str, str] = {}
        self._pictures: dict[Path, Clip] = {}
        self._sizes = clip_view.share_out(80, 24)

    # -- layout --

    def compose(self) -> Iterable[Widget]:
        """List and pictures, and how to listen."""
        with Horizontal(id="both"):
            with Vertical(id="side"):
                yield _Part(self, id="head")
                yield Rows(self._draw_row, id="list")
                yield _Part(self, id="told")
            yield _Part(self, id="clips")
        yield _Part(self, id="listen")

    def focus(self, scroll_visible: bool = True) -> SamplesPage:
        """The list has the keys."""
        self.query_one(Rows).focus(scroll_visible)
        return self

    def on_resize(self) -> None:
        """Share the rows out anew."""
        width, height = self.size.width, self.size.height
        is_two = width >= clip_view.TWO_COLUMNS
        self.set_class(is_two, "-two")
        self._sizes = clip_view.share_out(width, height)
        self.query_one(Rows).styles.height = self._sizes.list_rows
        is_tall = is_two and self._sizes.has_scores
        both, listen = self.query_one("#both"), self.query_one("#listen")
        both.styles.height = 2 * self._sizes.clip_rows + 1 if is_tall else "1fr"
        listen.styles.height = "1fr" if is_tall else 3 if is_two else 1
        self._redraw()

    # -- what is shown --

    def show(self, state: RunState, now: float) -> None:
        """Take in the newest clips."""
        self.state, self.now = state, now
        selected = self.selected
        clips = samples.newest_first(state)
        if [clip.path for clip in clips] != [clip.path for clip in self.clips] or not self.is_mounted:
            self.clips = clips
            place = next((i for i, clip in enumerate(clips) if selected is not None and clip.path == selected.path), 0)
            # Who stands on the newest clip goes on to the next one.
            if self.is_mounted:
                self.query_one(Rows).set_rows(len(clips), cursor=place if self.query_one(Rows).cursor else 0)
        self._redraw()
        self._read_marked()

    @property
    def selected(self) -> SampleSaved | None:
        """The clip under the cursor; None while there is none."""
        if not self.clips or not self.is_mounted:
            return None
        return self.clips[min(self.query_one(Rows).cursor, len(self.clips) - 1)]

    def marked(self, letter: str) -> SampleSaved | None:
        """The clip marked A or B; unless chosen, A is the newest and B the one before training (or the oldest)."""
        by_path = {clip.path: clip for clip in self.clips}
        if self._marks.get(letter) in by_path:
            return by_path[self._marks[letter]]
        if not self.clips or (letter == "B" and len(self.clips) == 1):
            return None
        return self.clips[0 if letter == "A" else -1]

    def draw(self, part: str, width: int, height: int) -> Sequence[Content]:
        """The lines of one part of the page."""
        if self.state is None:
            return ()
        if part == "head":
            live = (f"same prompt, lyrics and seed {self._asked().get('seed', '–')}", MUTED) if self.clips else ""
            head = title(width, "Samples", number="5", live=live if self._is_same() else "", is_focused=True)
            told = samples.empty(self.state, self.now) if not self.clips else ""
            return [head, Content.styled(told, MUTED) if told else clip_view.list_heading(width)]
        if part == "told":
            scores = (
                [Content(""), *clip_view.score_lines(width, self.state.steps_total)] if self._sizes.has_scores else []
            )
            asked = [Content(""), *clip_view.asked_lines(self._asked(), width, 4)]
            return [*scores, *asked] if self.clips else ()
        if part == "clips":
            return self._draw_clips(width)
        player = self.player.name if self.player is not None else ""
        room = clip_view.listen_room(width, height)
        return clip_view.listen_lines(width, height, player=player, command=self._take_command(room))

    def _draw_clips(self, width: int) -> list[Content]:
        if not self.clips or not self._sizes.wave_rows:
            return []
        shown = [
            clip_view.Shown(letter, clip, self._picture(clip), self._position_s(clip))
            for letter in (("A", "B") if self._sizes.has_b else ("A",))
            for clip in [self.marked(letter)]
        ]
        lines: list[Content] = [] if self.has_class("-two") else [Content("")]
        for each in clip_view.together(shown):
            lines += [*clip_view.clip_lines(each, width, self._sizes), Content("")]
        return lines

    def _picture(self, clip: SampleSaved | None) -> Clip | None:
        return None if clip is None else self._pictures.get(samples.clip_path(self._known, clip))

    def _draw_row(self, index: int, width: int, is_selected: bool) -> Content:
        clip = self.clips[index]
        letters = [letter for letter in ("A", "B") if (marked := self.marked(letter)) and marked.path == clip.path]
        names = {other.name for other in self.clips}
        return clip_view.list_row(
            clip,
            width,
            mark=letters[0] if letters else "",
            is_selected=is_selected,
            is_playing=self._position_s(clip) is not None,
            tag=clip.name if len(names) > 1 else "",
        )

    @property
    def _known(self) -> RunState:
        assert self.state is not None
        return self.state

    def _asked(self) -> dict[str, Any]:
        """What A was asked for: from the file beside it, else from the run's settings."""
        picture = self._picture(self.marked("A"))
        if picture is not None and picture.asked:
            return picture.asked
        config = self._known.config
        seed = config.get("validation_seed")
        return {
            "prompt": config.get("validation_prompt"),
            "lyrics": config.get("validation_lyrics"),
            "duration": config.get("validation_audio_duration"),
            "seed": seed if seed is not None else config.get("seed"),
            "steps": config.get("validation_num_inference_steps"),
            "guidance": config.get("validation_guidance"),
        }

    def _is_same(self) -> bool:
        """Whether A and B were asked for the same, as far as their files tell."""
        asked = []
        for letter in ("A", "B"):
            picture = self._picture(self.marked(letter))
            if picture is not None and picture.asked:
                asked.append([picture.asked.get(key) for key in ("prompt", "lyrics", "seed")])
        return len(asked) < 2 or asked[0] == asked[1]

    def _take_command(self, width: int = 0) -> str:
        """The line that copies the selected clip to one's own computer, with as much of the path as fits in `width`."""
        clip = self.selected
        if clip is None:
            return ""
        path = samples.clip_path(self._known, clip)
        source = f"{_user()}@{self.house.host}"
        if not width:
            return f"scp {shlex.quote(f'{source}:{path}')} ."
        home = Path.home()
        parts = (Path("~") / path.relative_to(home) if path.is_relative_to(home) else path).parts
        heads = [parts[:-1], *((*parts[:num], "…") for num in (3, 2, 1, 0))]
        told = [f"scp {source}:{Path(*head, parts[-1])} ." for head in heads]
        return next((line for line in told if len(line) <= width), told[-1])

    def _redraw(self) -> None:
        if not self.is_mounted:
            return
        for part in self.query(_Part):
            part.redraw()
        self.query_one(Rows).redraw()

    # -- reading the files --

    def _read_marked(self) -> None:
        clips = [clip for letter in ("A", "B") if (clip := self.marked(letter)) is not None]
        missing = [path for clip in clips if (path := samples.clip_path(self._known, clip)) not in self._pictures]
        if missing and self.is_mounted:
            self._read(tuple(dict.fromkeys(missing)))

    @work(thread=True, exclusive=True, exit_on_error=False, group="clips")
    def _read(self, paths: tuple[Path, ...]) -> None:
        worker = get_current_worker()
        for path in paths:
            if worker.is_cancelled:
                return
            self.post_message(self.ClipRead(look_at(path)))

    def on_samples_page_clip_read(self, message: ClipRead) -> None:
        """Draw what was read."""
        message.stop()
        self._pictures[message.clip.path] = message.clip
        while len(self._pictures) > _MAX_PICTURES:
            del self._pictures[next(iter(self._pictures))]
        self._redraw()

    # -- playing --

    def playing_changed(self) -> None:
        """A clip began, went on, or ended."""
        self._redraw()

    def _play(self, clip: SampleSaved, *, start_s: float = 0.0) -> None:
        self.start_playing(samples.clip_path(self._known, clip), start_s=start_s, length_s=clip.seconds)

    def _position_s(self, clip: SampleSaved | None) -> float | None:
        return None if clip is None else self.position_s(samples.clip_path(self._known, clip))

    def _clip_playing(self) -> SampleSaved | None:
        return next((clip for clip in self.clips if self._position_s(clip) is not None), None)

    # -- keys --

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """The line that takes a clip is that of the selected one."""
        message.stop()
        self.query_one("#listen", _Part).redraw()

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        """Enter or a click plays."""
        message.stop()
        self.action_play()

    def action_play(self) -> None:
        """Play the selected clip; stop it when it is the one that plays."""
        clip, playing = self.selected, self._clip_playing()
        if clip is None:
            return
        if playing is not None and playing.path == clip.path:
            self.stop_playing()
        else:
            self._play(clip)

    def action_flip(self) -> None:
        """From A to B at the same second, and back; while nothing plays, from the beginning."""
        first, second = self.marked("A"), self.marked("B")
        if first is None or second is None:
            return
        playing = self._clip_playing()
        other = second if playing is not None and playing.path == first.path else first
        self._play(other, start_s=self._position_s(playing) or 0.0)

    def action_earlier(self) -> None:
        """5 s back."""
        self._seek(-_SEEK_S)

    def action_later(self) -> None:
        """5 s on."""
        self._seek(_SEEK_S)

    def _seek(self, by_s: float) -> None:
        playing = self._clip_playing()
        if playing is not None and self.player is not None and self.player.can_seek:
            self._play(playing, start_s=max((self._position_s(playing) or 0.0) + by_s, 0.0))

    def action_mark_a(self) -> None:
        """The selected clip is A."""
        self._mark("A")

    def action_mark_b(self) -> None:
        """The selected clip is B."""
        self._mark("B")

    def _mark(self, letter: str) -> None:
        if self.selected is not None:
            self._marks[letter] = self.selected.path
            self._redraw()
            self._read_marked()

    def action_listen(self) -> None:
        """The way to one's own loudspeakers that works today."""
        self.house.toast(
            "info", "Listening in your browser comes with a later version.", "y copies the line that takes the clip."
        )

    def action_copy(self) -> None:
        """Copy the line that takes the clip, or its path where it plays here."""
        copied = self.copied()
        if copied is not None:
            self.house.copy(*copied)

    def copied(self) -> Copied | None:
        """What `y` copies."""
        clip = self.selected
        if clip is None:
            return None
        if self.player is None:
            return Copied(self._take_command(), "the line that takes the clip")
        return Copied(str(samples.clip_path(self._known, clip)), "the path of the clip")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A clip can be asked for only while the run can make one, and heard only while it is there."""
        if action in _NEED_FILES and self.state is not None and self.state.is_gone:
            return False
        if action == "sample" and self.is_mounted:
            return self.screen.check_action(action, parameters)
        return super().check_action(action, parameters)

    async def action_sample(self) -> None:
        """A clip now; the monitor asks the worker for it."""
        await self.run_action("screen.sample")

    async def action_back(self) -> None:
        """Out of the page."""
        await self.run_action("screen.back")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return "you"
