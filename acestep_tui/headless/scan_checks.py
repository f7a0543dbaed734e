"""What takes time in a scan: hearing songs and reading their lyrics as the model does, on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from acestep_tui.wizard.song_scan import main_language
from acestep_tui.wizard.song_text import LyricsText, count_lyrics, read_lyrics_text
from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.doctor_sound import Heard, hear
from engine.dataset.report import Song
from engine.hardware.host import num_cores

Depth = Literal["quick", "standard", "thorough"]
"""How closely songs are looked at: not heard, heard in parts, heard in full."""

_ALONE_BELOW = 12
"""Songs from which on other processes are worth their start (0.6 s)."""
_MAX_PROCESSES = 16
_CHUNK = 4


@dataclass(frozen=True, slots=True)
class LyricsFacts:
    """A song's lyrics in numbers.

    Attributes:
        language: What it is sung in, as a two-letter code; empty where nobody knows.
        read_as: The language in which the model reads most lines.
        num_lines: Lines that are sung.
        num_tokens, num_unknown: Lyric tokens, and those of them that stand for signs which the model does not know.
        problems: Lines left out and why, lyrics cut short.
        is_estimate: Counted in one language for the whole song (``--quick``), not line by line.
    """

    language: str
    read_as: str
    num_lines: int
    num_tokens: int
    num_unknown: int
    problems: tuple[str, ...] = ()
    is_estimate: bool = False

    @property
    def unknown_share(self) -> float:
        """Share of the tokens that the model does not know."""
        return self.num_unknown / self.num_tokens if self.num_tokens else 0.0


@dataclass(frozen=True, slots=True)
class SongCheck:
    """What was found in one song.

    Attributes:
        lyrics: None without lyrics.
        heard: None when it was not heard.
        unheard: Why it could not be heard; empty when it was, or was not to be.
    """

    lyrics: LyricsFacts | None = None
    heard: Heard | None = None
    unheard: str = ""


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    lyrics: str | None
    detection: str
    depth: Depth


def check_songs(
    songs: Sequence[Song], *, detection: str, depth: Depth, on_progress: Callable[[int, int], None]
) -> list[SongCheck]:
    """Look at each song, several at a time where they are many.

    Args:
        songs: The usable ones.
        detection: ``lyrics_language_detection``.
        depth: How closely.
        on_progress: Called with (done, total) now and then; may raise to stop.
    """
    tasks = [_Task(song.path, song.lyrics, detection, depth) for song in songs]
    if depth == "quick":
        tasks = [task for task in tasks if task.lyrics]
    done: list[SongCheck] = []
    found = iter(_in_processes(tasks) if len(tasks) >= _ALONE_BELOW and num_cores() > 1 else map(_check, tasks))
    for check in found:
        done.append(check)
        on_progress(len(done), len(tasks))
    if depth != "quick":
        return done
    read = iter(done)
    return [next(read) if song.lyrics else SongCheck() for song in songs]


def _in_processes(tasks: Sequence[_Task]) -> Iterator[SongCheck]:
    """In the order of the tasks. Processes, not threads: reading lyrics is Python's own work."""
    context = multiprocessing.get_context("spawn")
    number = min(num_cores(), _MAX_PROCESSES)
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_prepare_process)
    chunks = [tasks[place : place + _CHUNK] for place in range(0, len(tasks), _CHUNK)]
    try:
        futures = [pool.submit(_check_all, chunk) for chunk in chunks]
        for chunk, future in zip(chunks, futures, strict=True):
            yield from _results(chunk, future)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _results(chunk: Sequence[_Task], future: Future[list[SongCheck]]) -> list[SongCheck]:
    try:
        return future.result()
    except BrokenProcessPool:
        # A decoder took its process down, or the system did for want of memory.
        return [SongCheck(unheard="the process that looked at it ended: look at it alone with --show")] * len(chunk)


def _prepare_process() -> None:
    """Ctrl-C is for the command itself, which ends its processes; each of them computes on one core.

    The libraries read these variables when numpy is loaded, which is later. With threads of their own for the small
    products of the language classifier the processes get in each other's way: three times the time.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ[name] = "1"


def _check_all(tasks: Sequence[_Task]) -> list[SongCheck]:
    return [_check(task) for task in tasks]


def _check(task: _Task) -> SongCheck:
    lyrics = lyrics_facts(task.lyrics, detection=task.detection, is_quick=task.depth == "quick")
    if task.depth == "quick":
        return SongCheck(lyrics)
    try:
        return SongCheck(lyrics, hear(task.path, is_whole=task.depth == "thorough"))
    except UnreadableAudioError as error:
        return SongCheck(lyrics, unheard=error.message)
    except OSError as error:
        return SongCheck(lyrics, unheard=error.strerror or str(error))


def lyrics_facts(lyrics: str | None, *, detection: str, is_quick: bool = False) -> LyricsFacts | None:
    """A song's lyrics in numbers; None without any.

    Args:
        lyrics: Of a song.
        detection: ``lyrics_language_detection``.
        is_quick: Count in one language for the whole song: a fifth of the time.
    """
    if not lyrics or not lyrics.strip():
        return None
    language = main_language(lyrics)
    count: Callable[[str], LyricsText] = (
        partial(count_lyrics, language=language) if is_quick else partial(read_lyrics_text, detection=detection)
    )
    text = count(lyrics)
    return LyricsFacts(
        language=language,
        read_as=text.language,
        num_lines=text.num_sung,
        num_tokens=text.num_tokens,
        num_unknown=text.num_unknown,
        problems=text.problems,
        is_estimate=is_quick,
    )
