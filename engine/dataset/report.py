"""What a scan found: songs, problems, and the one sentence that sums them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.dataset.lyrics_text import TimedLine, join_lines

Severity = Literal["warning", "error"]

# A piece from 0 that holds this share of the song gets all its lyrics (spec config-formats.md 2.2, `long_clip`).
WHOLE_SONG_SHARE = 0.9

_LONGEST_REASON = 100

# Codes of problems that keep a song out, with the words of the summary, worst first.
_LEFT_OUT_WORDS = {
    "unreadable": "unreadable",
    "not_found": "not found",
    "no_caption": "without caption",
    "empty_caption": "without caption",
    "too_short": "too short",
    "too_long": "too long",
}


@dataclass(frozen=True, slots=True)
class Song:
    """One usable audio file with its captions and lyrics.

    Attributes:
        backend_id: Id of the data backend it came from.
        path: The file itself.
        relative_path: Path below the data folder, always with `/`; bytes that are not UTF-8 stand as `\\xNN`.
        format: What is in the file ("flac", "wav", "mp3", "ogg", "opus", "m4a", "aac", "wma", …), not its suffix.
        sample_rate: Hz, as stored.
        num_channels: Channels, as stored.
        num_samples: Samples a channel at `sample_rate`; `read_audio` of the whole file returns exactly as many.
        duration_s: Seconds.
        size_bytes: Size of the file.
        mtime_ns: Time of its last change.
        captions: Alternatives, at least one; one is drawn each visit.
        lyrics: Text ready for training, without time stamps; None = trains as an instrumental.
        timed_lines: The lines with their start, when the lyrics file has LRC stamps.
        num_copies: It counts as so many songs in an epoch: as many rows of a hub data set are this very song.
    """

    backend_id: str
    path: Path
    relative_path: str
    format: str
    sample_rate: int
    num_channels: int
    num_samples: int
    duration_s: float
    size_bytes: int
    mtime_ns: int
    captions: tuple[str, ...]
    lyrics: str | None = None
    timed_lines: tuple[TimedLine, ...] = ()
    num_copies: int = 1

    def lyrics_between(self, start_s: float, end_s: float) -> str | None:
        """Lyrics for a piece of the song (spec config-formats.md 2.2, `long_clip`).

        The whole text when the piece starts at 0 and holds at least 90 % of the song; else the lines that start inside
        the piece when their times are known; else None: nobody knows what is sung there.
        """
        if self.lyrics is None or (start_s <= 0.0 and end_s - start_s >= WHOLE_SONG_SHARE * self.duration_s):
            return self.lyrics
        return join_lines([line for line in self.timed_lines if start_s <= line.start_s < end_s]) or None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one file, in words to show as they are.

    Attributes:
        file: Path below the data folder.
        severity: "error" = left out, "warning" = used with a reservation.
        code: For programs. Left out: unreadable, not_found, no_caption, empty_caption, too_short, too_long. Used all
            the same: no_lyrics, empty_lyrics, encoding, shared_caption, long_clip, cut_off, other_duration. Not about
            a song: unreadable_folder, link_not_followed, unknown_file, no_column,
            rows_repeated, no_lyrics_match, other_column.
        reason: For people, at most 100 characters; of an error it begins with "left out: ".
    """

    file: str
    severity: Severity
    code: str
    reason: str

    def placed_at(self, place: str) -> Problem:
        """With where it is behind the reason, which gives way where both are too long."""
        tail = f" ({place})"
        room = _LONGEST_REASON - len(tail)
        reason = self.reason if len(self.reason) <= room else f"{self.reason[: room - 1]}…"
        return replace(self, reason=f"{reason}{tail}")


@dataclass(frozen=True, slots=True)
class ScanReport:
    """Everything one scan found.

    Attributes:
        songs: Usable songs, sorted by path.
        problems: All problems, in the order of the files.
        num_files: Audio files seen, usable or not.
        num_without_lyrics: Usable songs that miss their lyrics (not those the user called instrumental).
        num_excluded: Of the files, left out because the user said so (`exclude_files`).
        num_beyond_limit: Of the files, left out by `max_num_samples`.
    """

    songs: tuple[Song, ...]
    problems: tuple[Problem, ...]
    num_files: int
    num_without_lyrics: int = 0
    num_excluded: int = 0
    num_beyond_limit: int = 0

    @property
    def total_s(self) -> float:
        """Seconds of audio in the usable songs."""
        return sum(song.duration_s for song in self.songs)

    @property
    def formats(self) -> dict[str, int]:
        """Usable songs by format, the most frequent first."""
        return dict(Counter(song.format for song in self.songs).most_common())

    @property
    def num_ready(self) -> int:
        """Usable songs that miss nothing."""
        return len(self.songs) - self.num_without_lyrics

    @property
    def left_out(self) -> tuple[Problem, ...]:
        """The problems that keep a song out, one a song."""
        return tuple(problem for problem in self.problems if problem.code in _LEFT_OUT_WORDS)

    def left_out_words(self) -> list[str]:
        """Why songs are left out, with how many: ["1 unreadable", "3 without caption"], worst first."""
        counts = Counter(_LEFT_OUT_WORDS[problem.code] for problem in self.left_out)
        return [f"{counts[words]:,} {words}" for words in dict.fromkeys(_LEFT_OUT_WORDS.values()) if counts[words]]

    def summary(self) -> str:
        """One sentence: "12 songs, 1 min 34 s: 10 ready, 1 without lyrics, 1 unreadable" (design screens.md 5)."""
        parts = [f"{self.num_ready:,} ready"]
        if self.num_without_lyrics:
            parts.append(f"{self.num_without_lyrics:,} without lyrics")
        parts += self.left_out_words()
        if self.num_excluded:
            parts.append(f"{self.num_excluded:,} left out by you")
        if self.num_beyond_limit:
            parts.append(f"{self.num_beyond_limit:,} beyond max_num_samples")
        songs = "1 song" if self.num_files == 1 else f"{self.num_files:,} songs"
        return f"{songs}, {duration_words(self.total_s)}: {', '.join(parts)}"


def merge_reports(reports: Iterable[ScanReport]) -> ScanReport:
    """One report of several backends, in their order."""
    reports = tuple(reports)
    return ScanReport(
        songs=tuple(song for report in reports for song in report.songs),
        problems=tuple(problem for report in reports for problem in report.problems),
        num_files=sum(report.num_files for report in reports),
        num_without_lyrics=sum(report.num_without_lyrics for report in reports),
        num_excluded=sum(report.num_excluded for report in reports),
        num_beyond_limit=sum(report.num_beyond_limit for report in reports),
    )


def duration_words(seconds: float) -> str:
    """A length for people: "4.2 s", "1 min 34 s", "1 h 29 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60} min"
