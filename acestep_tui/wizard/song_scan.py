"""Scanning the songs of a draft: rows as they are found, then their languages. For a thread; no screen."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.preset import planned_config
from acestep_tui.wizard.songs import SongRow, SongTable, sung_lines
from acestep_tui.wizard.source import hub_folder
from engine import __version__
from engine.contract.backends import DEMO_SONGS, AudioBlock, LocalBackend, load_backends
from engine.contract.config import Config
from engine.contract.errors import DataError, DiskError, UserError
from engine.contract.paths import cache_root, expanded
from engine.dataset.lyrics_files import lyrics_paths
from engine.dataset.scan import FileFinding, NothingUsableError, scan_backends
from engine.planning.data_facts import audio_now, data_facts
from engine.planning.facts import DataFacts
from engine.planning.lengths import MAX_CLIP_S

NEWS_INTERVAL_S = 0.2
_DEMO_TIMEOUT_S = 120
_SURE, _ENOUGH_LETTERS = 0.95, 100
# What a scan depends on: another value of one of these needs another scan.
_SCANNED_KEYS = (
    *("data_backend_config", "instance_data_dir", "caption_strategy", "instance_prompt", "output_dir"),
    *("long_clip", "audio_max_duration_seconds", "audio_min_duration_seconds"),
)

ShouldStop = Callable[[], bool]


class ScanStopped(Exception):
    """The scan was stopped because nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class SongScan:
    """What a scan has found so far.

    Attributes:
        rows: In the order of data sets and names.
        num_done, num_total: Files looked at, and files in all; the total is 0 until the folders are listed.
        seconds: How long it took.
        is_done: Nothing more will come.
        config: The configuration it was made with.
        backends: The data sets.
        error: Why there are no rows: no such folder, no audio file in it, ….
        notices: What the list of data sets has to say.
    """

    rows: tuple[SongRow, ...] = ()
    num_done: int = 0
    num_total: int = 0
    seconds: float = 0.0
    is_done: bool = False
    config: Config | None = None
    backends: tuple[LocalBackend, ...] = ()
    error: UserError | None = None
    notices: tuple[str, ...] = ()

    def table(self, draft: Draft) -> SongTable:
        """The rows with the draft's marks."""
        longest = draft.value("audio_max_duration_seconds")
        return SongTable(
            rows=self.rows,
            left_out=draft.left_out,
            no_voice=draft.no_voice,
            goal=draft.value("goal") or "",
            longest_s=min(longest or MAX_CLIP_S, MAX_CLIP_S),
            in_pieces=draft.value("long_clip") == "pieces",
        )

    def data(self, draft: Draft, *, num_cached: int = 0) -> DataFacts:
        """The songs as they will be trained, for the plan."""
        now = planned_config(draft)
        return data_facts(self.table(draft).usable(), now, self.audio(now), num_cached=num_cached)

    def audio(self, now: Config) -> Mapping[str, AudioBlock]:
        """Each data set's block by its id, with today's settings."""
        then = self.config or now
        return {one.id: audio_now(one.audio, then=then, now=now) for one in self.backends}


OnScan = Callable[[SongScan], None]


def scan_key(draft: Draft) -> tuple[Any, ...]:
    """What a scan depends on: scan again when this changes."""
    return tuple(draft.value(key) for key in _SCANNED_KEYS)


def scan_songs(config: Config, *, cwd: Path, on_news: OnScan, should_stop: ShouldStop) -> SongScan:
    """Scan the songs of a configuration; your marks play no part, so that they can change afterwards.

    Args:
        config: Of `planned_config`, made where the draft may change.
        cwd: Where relative paths begin.
        on_news: Called with everything found so far, at most five times a second.
        should_stop: Asked between files and folders.

    Raises:
        ScanStopped: As `should_stop` wanted.
    """
    return _Scanning(with_data_sets(config), cwd, on_news, should_stop).run()


def with_data_sets(config: Config) -> Config:
    """The same with ``instance_data_dir`` as the list of data sets that it is short for."""
    folder = config.instance_data_dir
    if not folder:
        return config
    entry = {"id": "songs", "type": "local", "dataset_type": "audio", "instance_data_dir": folder}
    return config.replace(data_backend_config=(entry,), instance_data_dir=None)


@dataclass
class _Scanning:
    """A scan under way."""

    config: Config
    cwd: Path
    on_news: OnScan
    should_stop: ShouldStop
    rows: list[SongRow] = field(default_factory=list)
    backends: tuple[LocalBackend, ...] = ()
    notices: tuple[str, ...] = ()
    num_total: int = 0
    begun: float = field(default_factory=time.monotonic)
    told: float = 0.0

    def run(self) -> SongScan:
        try:
            loaded = load_backends(self.config, base_dir=self.cwd)
            self.backends = loaded.training
            self.notices = tuple(notice.message for notice in loaded.notices)
            scan_backends(
                [(backend, self._folder(backend)) for backend in self.backends],
                on_file=self._file,
                on_folder=lambda _: self._stop_if_asked(),
                on_progress=self._progress,
            )
        except NothingUsableError as error:
            # With rows the table itself shows why; without any the reason is all there is.
            return self._so_far(is_done=True, error=None if self.rows else error)
        except UserError as error:
            return self._so_far(is_done=True, error=error)
        return self._so_far(is_done=True)

    def _folder(self, backend: LocalBackend) -> Path:
        if backend.rows is not None:
            return backend.rows.folder or hub_folder(backend.rows.name, backend.rows.revision)
        if backend.instance_data_dir != DEMO_SONGS:
            return expanded(backend.instance_data_dir)
        return demo_songs_folder(self.config)

    def _file(self, found: FileFinding) -> None:
        self._stop_if_asked()
        audio = next((one.audio for one in self.backends if one.id == found.backend_id), AudioBlock())
        self.rows.append(
            SongRow(
                found.backend_id,
                found.relative_path,
                found.song,
                found.problems,
                lyrics_name=lyrics_paths(found.path, audio)[0].name,
                is_of_rows=any(one.rows is not None and one.id == found.backend_id for one in self.backends),
            )
        )

    def _progress(self, done: int, total: int) -> None:
        del done
        self._stop_if_asked()
        self.num_total = total
        if time.monotonic() - self.told >= NEWS_INTERVAL_S:
            self.told = time.monotonic()
            self.on_news(self._so_far())

    def _stop_if_asked(self) -> None:
        if self.should_stop():
            raise ScanStopped

    def _so_far(self, *, is_done: bool = False, error: UserError | None = None) -> SongScan:
        return SongScan(
            rows=tuple(self.rows),
            num_done=len(self.rows),
            num_total=self.num_total,
            seconds=time.monotonic() - self.begun,
            is_done=is_done,
            config=self.config,
            backends=self.backends,
            error=error,
            notices=self.notices,
        )


def demo_songs_folder(config: Config) -> Path:
    """Where the demo's songs are; the engine writes them there if they are not (about two seconds, once).

    Raises:
        DataError, DiskError: They could not be written.
    """
    folder = cache_root(config) / "demo" / __version__ / "songs"
    if folder.is_dir():
        return folder
    try:
        subprocess.run(
            [sys.executable, "-m", "engine.demo.songs", str(folder)],
            capture_output=True,
            text=True,
            timeout=_DEMO_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or "").strip().rpartition("\n")[2] or f"exit code {error.returncode}"
        raise DiskError(f"The demo's songs cannot be written to {folder}: {reason}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise DataError(f"The demo's songs cannot be made: {error}", hint="Choose a folder of your own.") from error
    return folder


def detect_languages(
    rows: Sequence[SongRow], *, on_news: Callable[[dict[tuple[str, str], str]], None], should_stop: ShouldStop
) -> dict[tuple[str, str], str]:
    """The main language of each song's lyrics, by data set and name; nothing for those without.

    Args:
        rows: Of a scan.
        on_news: Called with all languages so far, at most five times a second.
        should_stop: Asked between songs.

    Raises:
        ScanStopped: As `should_stop` wanted.
    """
    found: dict[tuple[str, str], str] = {}
    told = time.monotonic()
    for row in rows:
        if should_stop():
            raise ScanStopped
        if row.song is not None and row.num_lines:
            found[row.backend_id, row.name] = main_language(row.song.lyrics or "")
        if time.monotonic() - told >= NEWS_INTERVAL_S:
            told = time.monotonic()
            on_news(dict(found))
    return found


def main_language(lyrics: str) -> str:
    """The language most of a song's lyrics is in, as a two-letter code; empty where nobody knows.

    For people, not for the model: that reads each line in the language which `lyrics_language_detection` gives it.
    """
    # 0.2 s for the classifier, once; then a millisecond a song.
    from engine.lyrics.language import classify
    from engine.lyrics.script import SongContext

    lines = sung_lines(lyrics)
    text = " ".join(lines)
    if not text:
        return ""
    try:
        found, probability = classify(text.lower())
        # With much text the classifier is sure also of languages that the model has no token for.
        if probability >= _SURE and len(text) >= _ENOUGH_LETTERS:
            return found
        return SongContext(lyrics).detect(text)
    except (UserError, ValueError, RuntimeError):
        return ""
