"""Finding the audio files below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.dataset.report import Problem
from engine.dataset.text_file import printable

# Suffixes of audio files and of containers with an audio track (spec config-formats.md 2.4). They only choose the files
# to look at; what a file is says its content.
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".mp3", ".mp4a", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".wma"),
    *(".aiff", ".aif", ".aifc", ".alac", ".mp4", ".mpeg", ".mpg", ".mkv", ".webm"),
)

OnFolder = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What the rows of a hub data set say about an audio file.

    Attributes:
        captions: Alternatives; none where every column is empty.
        lyrics: As they stand there; None = none, empty = it says that it is an instrumental.
        num_copies: So many rows are this very song: it counts as often in an epoch.
        problem: Why it has to be left out, known before the file is looked at.
        stated_s: How long it is said to be, in seconds.
        place: Which row it is, where its name does not tell: "row 17 of NAME".
    """

    captions: tuple[str, ...] = ()
    lyrics: str | None = None
    num_copies: int = 1
    problem: Problem | None = None
    stated_s: float | None = None
    place: str = ""

    def is_other_than(self, duration_s: float) -> bool:
        """Whether the stated length is not that of the file (rounding and padding aside)."""
        return self.stated_s is not None and abs(self.stated_s - duration_s) > max(1.0, 0.02 * duration_s)


@dataclass(frozen=True, slots=True)
class AudioPath:
    """An audio file that was found: its path, and its printable path below the folder with `/`.

    ``row`` is what a hub data set says about it; None for a file of a folder, which has text files beside it.
    """

    path: Path
    relative: str
    row: RowFacts | None = None


def find_audio(folder: Path, *, on_folder: OnFolder | None = None) -> tuple[list[AudioPath], list[Problem]]:
    """All files below ``folder`` with the suffix of an audio file, sorted by relative path.

    Sub-folders and links to folders are followed, each real folder once, under its own name rather than a link's;
    hidden files and folders (also `._NAME`, which macOS leaves on foreign disks) are passed over. A folder that cannot
    be listed and a link to a folder above are problems.

    Args:
        folder: Where to look.
        on_folder: Called with each folder before it is listed; may raise to stop the search.
    """
    found: list[AudioPath] = []
    problems: list[Problem] = []
    seen: set[tuple[int, int]] = set()
    pending = [folder]
    links: list[Path] = []
    above = set(folder.resolve().parents)
    while pending or links:
        current = pending.pop() if pending else links.pop(0)
        if on_folder is not None:
            on_folder(current)
        try:
            facts = current.stat()
            if (facts.st_dev, facts.st_ino) in seen:
                continue
            seen.add((facts.st_dev, facts.st_ino))
            if current.resolve() in above:
                problems.append(
                    _problem(current, folder, "link_not_followed", "a link to a folder above: not followed")
                )
                continue
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            reason = f"folder cannot be listed: {(error.strerror or str(error)).lower()}"
            problems.append(_problem(current, folder, "unreadable_folder", reason))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = current / entry.name
            if _is_folder(entry):
                (links if entry.is_symlink() else pending).append(path)
            elif path.suffix.lower() in AUDIO_SUFFIXES:
                found.append(AudioPath(path, _relative(path, folder)))
    found.sort(key=lambda one: one.relative)
    return found, problems


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is, or links to, a folder; a link that bites its own tail is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _relative(path: Path, folder: Path) -> str:
    return printable(path.relative_to(folder).as_posix())


def _problem(path: Path, folder: Path, code: str, reason: str) -> Problem:
    return Problem(_relative(path, folder), "error" if code == "unreadable_folder" else "warning", code, reason)
