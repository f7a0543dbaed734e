"""Hearing the songs of a draft in the background: which are silent, clip or are damaged. For a thread; no screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from acestep_tui.wizard.songs import SongKey, SongRow
from engine.dataset.audio_file import UnreadableAudioError
from engine.dataset.doctor_sound import hear, sound_problems
from engine.dataset.report import Problem

NEWS_INTERVAL_S = 0.5
# Silence at an end is common and mostly meant: `acestep-tui scan` tells it.
_TOLD = ("silent", "clipped", "damaged")

Problems: TypeAlias = Mapping[SongKey, tuple[Problem, ...]]


def hear_songs(
    rows: Sequence[SongRow], *, on_news: Callable[[Problems], object], should_stop: Callable[[], bool]
) -> None:
    """Hear parts of each song (40 ms) and tell what is wrong with it.

    Args:
        rows: Of a scan.
        on_news: Called with the problems found since the last call, at most twice a second; never without any.
        should_stop: Asked between parts of songs.
    """
    found: dict[SongKey, tuple[Problem, ...]] = {}
    told = time.monotonic()
    for row in rows:
        if row.song is None:
            continue
        try:
            heard = hear(row.song.path, should_stop=should_stop)
        except (UnreadableAudioError, OSError):
            continue  # gone since the scan: the next one says so
        if heard is None or should_stop():
            return
        problems = tuple(one for one in sound_problems(row.name, heard) if one.code in _TOLD)
        if problems:
            found[row.backend_id, row.name] = problems
        if found and time.monotonic() - told >= NEWS_INTERVAL_S:
            told = time.monotonic()
            on_news(found)
            found = {}
    if found:
        on_news(found)


def with_new(known: Problems, new: Problems) -> dict[SongKey, tuple[Problem, ...]]:
    """Problems with those of a closer look, which replace what an earlier one said of the same."""
    merged = dict(known)
    for key, problems in new.items():
        codes = {one.code for one in problems}
        merged[key] = (*(one for one in known.get(key, ()) if one.code not in codes), *problems)
    return merged
