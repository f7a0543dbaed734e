"""The songs of a draft as a table: what each row says, what is counted, what must be said below.

Rows are what a scan found. What you mark (left out, no voice) is the draft's, so a mark changes the table at once,
without another scan. No screen, no disk.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from acestep_tui import format as fmt
from engine.dataset.report import Problem, Song, duration_words

# Data set and relative path: what a song is told by.
SongKey: TypeAlias = tuple[str, str]
State = Literal["ready", "warning", "error", "left out"]

GLYPHS: dict[State, str] = {"ready": "✓", "warning": "▲", "error": "✗", "left out": "○"}
NO_LYRICS_CODES = ("no_lyrics", "empty_lyrics")
_TAG_LINE = re.compile(r"\s*\[[^\]]*\]\s*")

# Worst first; each with the words of the column Note.
_NOTES: dict[str, str] = {
    "unreadable": "cannot be read",
    "not_found": "not found",
    "no_caption": "no caption",
    "empty_caption": "empty caption",
    "too_short": "too short",
    "too_long": "too long",
    "silent": "silent",
    "damaged": "damaged",
    "clipped": "clips",
    "duplicate": "duplicate",
    "no_lyrics": "no lyrics file",
    "empty_lyrics": "empty lyrics file",
    "shared_caption": "shares its caption",
    "encoding": "not UTF-8",
    "cut_off": "its end is missing",
    "other_duration": "not as long as its row says",
    "long_clip": "cut at 4:00",
}
# Problems that keep a song out, with the words that count them, worst first.
ERROR_WORDS = {
    "unreadable": "unreadable",
    "not_found": "not found",
    "no_caption": "without caption",
    "empty_caption": "without caption",
    "too_short": "too short",
    "too_long": "too long",
}
# What is worth knowing and is no problem.
_HARMLESS = ("long_clip",)


@dataclass(frozen=True, slots=True)
class SongRow:
    """One file as the scan found it.

    Attributes:
        backend_id, name: Data set and relative path; together the row's identity.
        song: What can be trained; None when it is left out by itself.
        problems: What is wrong with it, as the scan said it.
        lyrics_name: What its lyrics file would be called.
        language: Of its lyrics, once detected; empty where there are none or nobody knows.
        is_of_rows: Its caption and lyrics stand in the row of a hub data set, not in files beside it.
    """

    backend_id: str
    name: str
    song: Song | None
    problems: tuple[Problem, ...] = ()
    lyrics_name: str = ""
    language: str = ""
    is_of_rows: bool = False

    @property
    def file_name(self) -> str:
        """The name without its folders."""
        return self.name.rpartition("/")[2]

    @property
    def caption(self) -> str:
        """The first caption."""
        return self.song.captions[0] if self.song is not None and self.song.captions else ""

    @property
    def worst(self) -> str:
        """The code of its worst problem; empty when there is none."""
        codes = {one.code for one in self.problems}
        return next((code for code in _NOTES if code in codes), "")

    @property
    def num_lines(self) -> int | None:
        """Lines that are sung; None without lyrics."""
        return None if self.song is None or self.song.lyrics is None else _num_sung(self.song.lyrics)


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One row of the table, ready to be drawn."""

    row: SongRow
    state: State
    length: str
    caption: str
    lyrics: str
    language: str
    note: str

    @property
    def glyph(self) -> str:
        """✓ ▲ ✗ ○."""
        return GLYPHS[self.state]


@dataclass(frozen=True, slots=True)
class Counts:
    """The line above the table."""

    num_files: int = 0
    total_s: float = 0.0
    num_ready: int = 0
    num_no_lyrics: int = 0
    num_left_out: int = 0
    errors: tuple[tuple[int, str], ...] = ()

    @property
    def num_usable(self) -> int:
        """Songs that will be trained, with lyrics or without."""
        return self.num_ready + self.num_no_lyrics

    def words(self) -> list[tuple[State, str]]:
        """What is counted, each with its state: ``✓ 21 ready``, ``▲ 2 no lyrics``, ``✗ 1 unreadable``."""
        said: list[tuple[State, str]] = [("ready", f"{self.num_ready:,} ready")]
        if self.num_no_lyrics:
            said.append(("warning", f"{self.num_no_lyrics:,} no lyrics"))
        said += [("error", f"{number:,} {what}") for number, what in self.errors]
        if self.num_left_out:
            said.append(("left out", f"{self.num_left_out:,} left out"))
        return [(state, f"{GLYPHS[state]} {text}") for state, text in said]


@dataclass(frozen=True)
class SongTable:
    """Rows with your marks.

    Attributes:
        rows: As the scan found them, by data set and name.
        left_out, no_voice: Names you marked.
        goal: Of the draft: instrumental music misses no lyrics.
        longest_s: Seconds of the longest piece that is trained.
        in_pieces: Longer songs are used piece after piece instead of cut.
    """

    rows: tuple[SongRow, ...] = ()
    left_out: frozenset[str] = frozenset()
    no_voice: frozenset[str] = frozenset()
    goal: str = ""
    longest_s: float = 240.0
    in_pieces: bool = False
    _shown: dict[tuple[str, str], ShownRow] = field(default_factory=dict, repr=False, compare=False)

    def marked(self, *, left_out: Collection[str], no_voice: Collection[str]) -> SongTable:
        """The same songs with other marks."""
        return replace(self, left_out=frozenset(left_out), no_voice=frozenset(no_voice), _shown={})

    def with_rows(self, rows: Sequence[SongRow]) -> SongTable:
        """The same marks on other rows."""
        return replace(self, rows=tuple(rows), _shown={})

    def with_languages(self, languages: Mapping[tuple[str, str], str]) -> SongTable:
        """Detected languages put in, by data set and name."""
        rows = tuple(
            replace(row, language=languages.get((row.backend_id, row.name), row.language)) for row in self.rows
        )
        return self.with_rows(rows)

    def with_problems(self, extra: Mapping[tuple[str, str], Sequence[Problem]]) -> SongTable:
        """What was found after the scan (silence, clipping, duplicates) put in, by data set and name."""
        rows = []
        for row in self.rows:
            known = {one.code for one in row.problems}
            new = [one for one in extra.get((row.backend_id, row.name), ()) if one.code not in known]
            rows.append(replace(row, problems=(*row.problems, *new)) if new else row)
        return self.with_rows(rows)

    # -- rows --

    def show(self, row: SongRow) -> ShownRow:
        """One row, ready to be drawn."""
        key = (row.backend_id, row.name)
        if key not in self._shown:
            self._shown[key] = self._make_shown(row)
        return self._shown[key]

    def visible(self, *, text: str = "", problems_first: bool = False) -> list[ShownRow]:
        """The rows to show: those that hold every word of ``text`` in some column, problems first or by name."""
        words = text.casefold().split()
        shown = [self.show(row) for row in self.rows]
        found = [one for one in shown if all(word in _haystack(one) for word in words)]
        if problems_first:
            order: dict[State, int] = {"error": 0, "warning": 1, "ready": 2, "left out": 3}
            found.sort(key=lambda one: order[one.state])
        return found

    def is_used(self, row: SongRow) -> bool:
        """Whether a row is trained."""
        return row.song is not None and row.name not in self.left_out

    def misses_lyrics(self, row: SongRow) -> bool:
        """Whether a song trains as an instrumental although nobody said that it is one."""
        return (
            row.song is not None
            and row.song.lyrics is None
            and row.name not in self.no_voice
            and self.goal != "instrumental"
        )

    def usable(self) -> list[Song]:
        """The songs that will be trained, as they will be: those without voice have no lyrics."""
        songs = [row.song for row in self.rows if row.song is not None and row.name not in self.left_out]
        return [
            replace(one, lyrics=None, timed_lines=()) if one.relative_path in self.no_voice else one for one in songs
        ]

    # -- numbers --

    def counts(self) -> Counts:
        """The numbers of the line above the table."""
        used = [row for row in self.rows if self.is_used(row)]
        missing = sum(self.misses_lyrics(row) for row in used)
        errors: dict[str, int] = {}
        for row in self.rows:
            if row.song is None and row.name not in self.left_out:
                what = ERROR_WORDS.get(row.worst, "unreadable")
                errors[what] = errors.get(what, 0) + 1
        return Counts(
            num_files=len(self.rows),
            total_s=sum(row.song.duration_s for row in used if row.song is not None),
            num_ready=len(used) - missing,
            num_no_lyrics=missing,
            num_left_out=sum(row.name in self.left_out for row in self.rows),
            errors=tuple(
                (number, what) for what in dict.fromkeys(ERROR_WORDS.values()) if (number := errors.get(what))
            ),
        )

    def _make_shown(self, row: SongRow) -> ShownRow:
        song = row.song
        has_no_voice = row.name in self.no_voice
        ignored = NO_LYRICS_CODES if has_no_voice or self.goal == "instrumental" else ()
        problems = [one for one in row.problems if one.code not in ignored]
        worst = next((code for code in _NOTES if any(one.code == code for one in problems)), "")
        if row.name in self.left_out:
            state: State = "left out"
        elif song is None:
            state = "error"
        else:
            state = "ready" if not worst or worst in _HARMLESS else "warning"
        return ShownRow(
            row=row,
            state=state,
            length=fmt.song_length(song.duration_s if song is not None else None),
            caption=row.caption,
            lyrics=self._lyrics_words(row, has_no_voice=has_no_voice),
            language="" if has_no_voice else row.language,
            note="left out" if state == "left out" else self._note(worst, problems, row),
        )

    def _lyrics_words(self, row: SongRow, *, has_no_voice: bool) -> str:
        if row.song is None:
            return fmt.UNKNOWN
        num_lines = None if has_no_voice else row.num_lines
        if num_lines:
            return fmt.plural(num_lines, "line")
        is_meant = has_no_voice or num_lines == 0 or self.goal == "instrumental"
        return "instrumental" if is_meant else "none"

    def _note(self, worst: str, problems: Sequence[Problem], row: SongRow) -> str:
        long = row.song is not None and row.song.duration_s > self.longest_s
        if (worst == "long_clip" or not worst) and long:
            return "in pieces" if self.in_pieces else f"cut at {fmt.song_length(self.longest_s)}"
        if worst == "long_clip":
            return ""
        reason = next((one.reason for one in problems if one.code == worst), "")
        if worst in ("silent", "clipped", "duplicate"):
            return reason
        if worst == "no_lyrics" and reason.startswith("lyrics "):
            return "lyrics cannot be read"
        return _NOTES.get(worst, problems[0].code.replace("_", " ") if problems else "")


def song_key(shown: ShownRow) -> SongKey:
    """What a row's song is told by."""
    return (shown.row.backend_id, shown.row.name)


def sung_lines(lyrics: str) -> list[str]:
    """Lines that are sung: neither blank nor a tag such as ``[verse]``."""
    return [line.strip() for line in lyrics.splitlines() if line.strip() and not _TAG_LINE.fullmatch(line)]


@lru_cache(maxsize=10_000)
def _num_sung(lyrics: str) -> int:
    """Counted once a text: the table is made anew with every mark."""
    return len(sung_lines(lyrics))


def total_words(counts: Counts) -> str:
    """``24 songs  1 h 29 min``."""
    return f"{fmt.plural(counts.num_files, 'song')}  {duration_words(counts.total_s)}"


def _haystack(shown: ShownRow) -> str:
    return (
        f"{shown.row.name} {shown.length} {shown.caption} lyrics {shown.lyrics} {shown.language} {shown.note} "
        f"{shown.state}"
    ).casefold()
