"""Scanning folders of songs: which files can be trained on, and what is wrong with the others.

Only headers are read (spec config-formats.md 2.4), so a thousand songs take seconds; a file damaged in its middle is
found when it is decoded for the cache.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.contract.errors import ConfigError
from engine.dataset.audio_file import AudioInfo, UnreadableAudioError, read_info
from engine.dataset.captions import caption_file, read_captions
from engine.dataset.folder import AudioPath, OnFolder, find_audio
from engine.dataset.hub_songs import find_row_audio
from engine.dataset.lyrics_files import lyrics_of_row, lyrics_paths, names_lyrics, read_lyrics
from engine.dataset.lyrics_text import Lyrics
from engine.dataset.nothing_usable import NothingUsableError, nothing_usable
from engine.dataset.report import Problem, ScanReport, Song, duration_words, merge_reports
from engine.dataset.text_file import short_name

if TYPE_CHECKING:
    from engine.contract.backends import AudioBlock, LocalBackend

__all__ = [
    "FileFinding",
    "NothingUsableError",
    "Problem",
    "ScanReport",
    "Song",
    "merge_reports",
    "scan_backend",
    "scan_backends",
]

# The longest song of ACE-Step v1 (spec ace-step-v1.md 9.1). Longer ones are always treated by `long_clip`, and named.
MAX_SONG_S = 240.0
# Few enough for a slow terminal, often enough for a bar that moves.
_PROGRESS_INTERVAL_S = 0.1

OnProgress = Callable[[int, int], None]
OnProblem = Callable[[Problem], None]
OnFile = Callable[["FileFinding"], None]


@dataclass(frozen=True, slots=True)
class FileFinding:
    """What a scan made of one file, told as it goes on: a song (None = left out), and what is wrong with it."""

    backend_id: str
    path: Path
    relative_path: str
    song: Song | None
    problems: tuple[Problem, ...]


def scan_backend(
    backend: LocalBackend,
    folder: Path,
    *,
    max_workers: int | None = None,
    exclude_files: Collection[str] = (),
    instrumental_files: Collection[str] = (),
    on_progress: OnProgress | None = None,
    on_problem: OnProblem | None = None,
) -> ScanReport:
    """`scan_backends` for one backend."""
    return scan_backends(
        [(backend, folder)],
        max_workers=max_workers,
        exclude_files=exclude_files,
        instrumental_files=instrumental_files,
        on_progress=on_progress,
        on_problem=on_problem,
    )


def scan_backends(
    backends: Sequence[tuple[LocalBackend, Path]],
    *,
    max_workers: int | None = None,
    exclude_files: Collection[str] = (),
    instrumental_files: Collection[str] = (),
    on_progress: OnProgress | None = None,
    on_problem: OnProblem | None = None,
    on_file: OnFile | None = None,
    on_folder: OnFolder | None = None,
) -> ScanReport:
    """Look at every audio file below the backends' folders, header only, several at a time.

    Args:
        backends: Each backend with its folder.
        max_workers: Threads; None = two for each processor, at most 16.
        exclude_files: Relative paths that the user left out.
        instrumental_files: Relative paths of songs without a voice: no lyrics are read or missed.
        on_progress: Called with (files done, files in all), at most ten times a second and at the end; may raise to
            stop the scan. It begins anew after sound in the rows of a hub data set was unpacked.
        on_problem: Called with each problem as it is found, in the order of the files.
        on_file: Called with each file that was looked at, in their order; may raise to stop the scan.
        on_folder: Called with each folder before it is listed; may raise to stop the scan.

    Returns:
        Songs and problems of all backends, sorted by backend and path, whatever the threads did.

    Raises:
        ConfigError: A folder is missing or is not a folder.
        DataError: A hub data set is of no known form or damaged; of it `NothingUsableError`: a backend has no audio
            file, no caption anywhere, or nothing that decodes.
        DiskError: There is no room to unpack a hub data set.
    """
    excluded, instrumental = _Names(exclude_files), _Names(instrumental_files)
    tell = on_problem or (lambda _: None)
    scans = [
        _start(backend, folder, excluded, instrumental, tell=tell, on_folder=on_folder, on_unpack=on_progress)
        for backend, folder in backends
    ]
    total = sum(len(scan.files) for scan in scans)
    pool = ThreadPoolExecutor(max_workers or min(16, 2 * (os.cpu_count() or 1)), thread_name_prefix="scan")
    try:
        # `map` hands results back in the order of the files, so the report never depends on the threads.
        results = [pool.map(scan.examine, scan.files) for scan in scans]
        done, told_at = 0, time.monotonic()
        for scan, findings in zip(scans, results, strict=True):
            for file, (song, problems) in zip(scan.files, findings, strict=True):
                scan.take(song, problems, tell)
                if on_file is not None:
                    on_file(FileFinding(scan.backend.id, file.path, file.relative, song, tuple(problems)))
                done += 1
                if on_progress is not None and (done == total or time.monotonic() - told_at >= _PROGRESS_INTERVAL_S):
                    told_at = time.monotonic()
                    on_progress(done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    unknown = [*excluded.unknown("exclude_files"), *instrumental.unknown("instrumental_files")]
    for problem in unknown:
        tell(problem)
    report = merge_reports(scan.report(tell) for scan in scans)
    return dataclasses.replace(report, problems=(*report.problems, *unknown))


@dataclass
class _Names:
    """Relative paths out of the configuration; macOS and Linux may spell the same accent differently (NFD, NFC)."""

    names: Collection[str]
    _wanted: dict[str, str] = field(init=False)
    _used: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self._wanted = {unicodedata.normalize("NFC", name.removeprefix("./")): name for name in self.names}

    def __contains__(self, relative: str) -> bool:
        name = unicodedata.normalize("NFC", relative)
        if name not in self._wanted:
            return False
        self._used.add(name)
        return True

    def unknown(self, key: str) -> list[Problem]:
        """A warning for each name that no file has."""
        missing = [name for normal, name in self._wanted.items() if normal not in self._used]
        return [
            Problem(name, "warning", "unknown_file", f"named in {key}, but there is no such file") for name in missing
        ]


@dataclass
class _FolderScan:
    """The scan of one backend's folder under way."""

    backend: LocalBackend
    folder: Path
    files: list[AudioPath]
    problems: list[Problem]
    instrumental: frozenset[str]
    shared: dict[str, str]
    num_excluded: int
    num_beyond_limit: int = 0
    songs: list[Song] = field(default_factory=list)
    num_without_lyrics: int = 0

    def examine(self, file: AudioPath) -> tuple[Song | None, list[Problem]]:
        """Look at one file, in a thread: the song (None = left out) and its problems."""
        if file.row is not None and file.row.problem is not None:
            return None, [file.row.problem]
        song, problems = self._examine(file)
        if file.row is not None and file.row.place:
            problems = [one.placed_at(file.row.place) for one in problems]
        return song, problems

    def _examine(self, file: AudioPath) -> tuple[Song | None, list[Problem]]:
        row = file.row
        try:
            info = read_info(file.path)
            facts = file.path.stat()
        except (UnreadableAudioError, OSError) as error:
            reason = error.message if isinstance(error, UnreadableAudioError) else (error.strerror or str(error))
            return None, [Problem(file.relative, "error", "unreadable", f"left out: {reason}")]
        problems = [] if not info.warning else [Problem(file.relative, "warning", "cut_off", info.warning)]
        length_problem = _judge_length(file.relative, info.duration_s, self.backend.audio)
        if length_problem is not None:
            problems.append(length_problem)
            if length_problem.severity == "error":
                return None, problems
        if row is not None and row.is_other_than(info.duration_s):
            reason = f"its row says {row.stated_s:.1f} s, it is {info.duration_s:.1f} s long: that counts"
            problems.append(Problem(file.relative, "warning", "other_duration", reason))
        captions, caption_problems = read_captions(
            file.path, file.relative, self.backend, own=row.captions if row is not None else ()
        )
        problems += caption_problems
        if not captions:
            return None, problems
        if file.relative in self.shared:
            reason = f"shares its caption and lyrics with {self.shared[file.relative]}"
            problems.append(Problem(file.relative, "warning", "shared_caption", reason))
        lyrics: Lyrics | None = None
        if file.relative not in self.instrumental:
            if row is not None:
                lyrics, lyrics_problems = lyrics_of_row(row.lyrics, file.relative)
            else:
                lyrics, lyrics_problems = read_lyrics(file.path, file.relative, self.backend.audio)
            problems += lyrics_problems
        return _song(self.backend.id, file, info=info, facts=facts, captions=captions, lyrics=lyrics), problems

    def take(self, song: Song | None, problems: list[Problem], tell: OnProblem) -> None:
        """Add what `examine` found, in the order of the files."""
        self.problems += problems
        for problem in problems:
            tell(problem)
        if song is not None:
            self.songs.append(song)

    def report(self, tell: OnProblem) -> ScanReport:
        """What was found; `tell` hears what concerns the songs together.

        Raises:
            NothingUsableError: Nothing of it can be used.
        """
        songs = _subset(self.songs, self.backend)
        self._look_at_pattern(songs, tell)
        report = ScanReport(
            songs=tuple(songs),
            problems=tuple(self.problems),
            num_files=len(self.files) + self.num_excluded + self.num_beyond_limit,
            num_without_lyrics=sum(
                song.lyrics is None and song.relative_path not in self.instrumental for song in songs
            ),
            num_excluded=self.num_excluded,
            num_beyond_limit=len(self.songs) - len(songs) + self.num_beyond_limit,
        )
        if not songs:
            raise nothing_usable(self.folder, report, is_hub=self.backend.rows is not None)
        return report

    def _look_at_pattern(self, songs: Sequence[Song], tell: OnProblem) -> None:
        """Warn when the user said how lyrics files are called, and not one song has such a file."""
        audio = self.backend.audio
        if self.backend.rows is not None or not names_lyrics(audio):
            return
        asked = [song for song in songs if song.relative_path not in self.instrumental]
        if not asked or any(one.is_file() for song in asked for one in lyrics_paths(song.path, audio)):
            return
        tried = short_name(lyrics_paths(asked[0].path, audio)[0])
        reason = f"no song has a lyrics file of the name that is set, such as {tried}"
        problem = Problem(self.backend.id, "warning", "no_lyrics_match", reason)
        self.problems.append(problem)
        tell(problem)


def _start(
    backend: LocalBackend,
    folder: Path,
    excluded: _Names,
    instrumental: _Names,
    *,
    tell: OnProblem,
    on_folder: OnFolder | None,
    on_unpack: OnProgress | None,
) -> _FolderScan:
    """List the audio files of a folder or of a hub data set's rows, without those the user left out.

    Raises:
        ConfigError: The folder is missing or is not a folder.
        DataError, DiskError: As `find_row_audio`.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise ConfigError(
            f"The data folder {folder} of backend {backend.id} {what}",
            hint="Correct instance_data_dir, or make the folder and put songs into it.",
        )
    if backend.rows is not None:
        rows = find_row_audio(
            backend, folder, on_unpack=on_unpack, on_rows=(lambda: on_folder(folder)) if on_folder else None
        )
        found, problems, num_beyond_limit = rows.files, rows.problems, rows.num_beyond_limit
    else:
        (found, problems), num_beyond_limit = find_audio(folder, on_folder=on_folder), 0
    for problem in problems:
        tell(problem)
    files = [file for file in found if file.relative not in excluded]
    without_voice = {file.relative for file in files if file.relative in instrumental}
    # An empty text in a row says so; a null is a song whose lyrics are missing.
    without_voice |= {file.relative for file in files if file.row is not None and file.row.lyrics == ""}
    return _FolderScan(
        backend=backend,
        folder=folder,
        files=files,
        problems=problems,
        instrumental=frozenset(without_voice),
        shared=_sharing(files) if backend.caption_strategy == "textfile" else {},
        num_excluded=len(found) - len(files),
        num_beyond_limit=num_beyond_limit,
    )


def _sharing(files: list[AudioPath]) -> dict[str, str]:
    """For each file whose caption file is also that of an earlier one, the name of the earlier one."""
    owners: dict[Path, list[AudioPath]] = defaultdict(list)
    for file in files:
        owners[caption_file(file.path)].append(file)
    return {file.relative: short_name(group[0].path) for group in owners.values() for file in group[1:]}


def _judge_length(song: str, duration_s: float, audio: AudioBlock) -> Problem | None:
    """What the backend's limits mean for a song of this length (spec config-formats.md 2.2)."""
    length = duration_words(duration_s)
    if audio.min_duration_s is not None and duration_s < audio.min_duration_s:
        reason = f"left out: {length} long, min_duration_seconds is {audio.min_duration_s:g}"
        return Problem(song, "error", "too_short", reason)
    limit_s = min(MAX_SONG_S, audio.max_duration_s or MAX_SONG_S)
    if duration_s <= limit_s:
        return None
    if audio.long_clip == "skip":
        limit = "the model's limit is 240 s" if limit_s == MAX_SONG_S else f"max_duration_seconds is {limit_s:g}"
        return Problem(song, "error", "too_long", f"left out: {length} long, {limit}")
    use = (
        f"cut to {duration_words(limit_s)}"
        if audio.long_clip == "cut"
        else f"in pieces of {duration_words(limit_s)} at most"
    )
    return Problem(song, "warning", "long_clip", f"{length} long: {use}")


def _song(
    backend_id: str,
    file: AudioPath,
    *,
    info: AudioInfo,
    facts: os.stat_result,
    captions: tuple[str, ...],
    lyrics: Lyrics | None,
) -> Song:
    return Song(
        backend_id=backend_id,
        path=file.path,
        relative_path=file.relative,
        format=info.format,
        sample_rate=info.sample_rate,
        num_channels=info.num_channels,
        num_samples=info.num_samples,
        duration_s=info.duration_s,
        size_bytes=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        captions=captions,
        lyrics=lyrics.text if lyrics is not None else None,
        timed_lines=lyrics.timed_lines if lyrics is not None else (),
        num_copies=file.row.num_copies if file.row is not None else 1,
    )


def _subset(songs: list[Song], backend: LocalBackend) -> list[Song]:
    """`max_num_samples` songs, always the same ones for a backend's id (spec config-formats.md 2.1)."""
    if backend.max_num_samples is None or len(songs) <= backend.max_num_samples:
        return songs

    def draw(song: Song) -> bytes:
        return hashlib.sha256(f"{backend.id}\0{song.relative_path}".encode()).digest()

    kept = {song.relative_path for song in sorted(songs, key=draw)[: backend.max_num_samples]}
    return [song for song in songs if song.relative_path in kept]
