"""`acestep-tui scan`: the data doctor. What is in a folder of songs, what is wrong with it, what the model sees."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_tui import format as fmt
from acestep_tui.headless import streams
from acestep_tui.headless.cache_care import put_json
from acestep_tui.headless.command_help import refuse_unknown_switch
from acestep_tui.headless.options import Options, take_options
from engine.contract.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from acestep_tui.headless.scan_checks import Depth
    from acestep_tui.headless.scan_report import Diagnosis
    from acestep_tui.headless.scan_source import ScanSource
    from engine.contract.config import Config
    from engine.dataset.report import ScanReport
    from engine.dataset.scan import FileFinding, NothingUsableError

OPTIONS = ("json", "quiet")
SYNOPSIS = "scan DIR|FILE|env=NAME [--json] [--quick|--thorough] [--show SONG]"
_REDRAW_S = 0.2


def scan(arguments: Sequence[str]) -> int:
    """Look at songs and say what is found.

    Args:
        arguments: A folder or a configuration, switches, settings.

    Returns:
        DONE, also with warnings; DATA when nothing can be trained.

    Raises:
        ConfigError: Nothing of this name, bad values, an unknown song.
        DataError, DiskError: A hub data set cannot be read or unpacked.
    """
    options, rest = take_options(arguments, OPTIONS)
    asked, rest = _asked(rest)
    refuse_unknown_switch("scan", rest)
    from acestep_tui.cli import training_source
    from acestep_tui.headless.scan_source import read_scan_source

    name, overrides = training_source(rest)
    try:
        source = read_scan_source(name, overrides, cwd=Path.cwd())
        if asked.song:
            return _show(source, asked.song, options)
        found = diagnose(source, depth=asked.depth, bar=_Bar(is_wanted=not (options.json or options.quiet)))
    except KeyboardInterrupt:
        streams.say("Stopped. Nothing was changed.")
        return ExitCode.STOPPED
    if options.json:
        from acestep_tui.headless.scan_json import diagnosis_json

        put_json(diagnosis_json(found))
    else:
        from acestep_tui.headless.scan_lines import diagnosis_lines

        for line in diagnosis_lines(found):
            streams.put(line)
    return ExitCode.DATA if found.error else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Asked:
    depth: Depth = "standard"
    song: str = ""


def _asked(rest: Sequence[str]) -> tuple[_Asked, list[str]]:
    """This command's own switches, and what is left."""
    left: list[str] = []
    depths: list[Depth] = []
    song = ""
    items = iter(rest)
    for item in items:
        if item == "--quick":
            depths.append("quick")
        elif item == "--thorough":
            depths.append("thorough")
        elif item == "--show" or item.startswith("--show="):
            song = item.partition("=")[2] if "=" in item else next(items, "")
            if not song:
                raise ConfigError("--show needs the name of a song", hint=f"acestep-tui {SYNOPSIS}")
        else:
            left.append(item)
    if len(set(depths)) > 1:
        raise ConfigError("--quick and --thorough exclude each other", hint=f"acestep-tui {SYNOPSIS}")
    return _Asked(depths[0] if depths else "standard", song), left


def diagnose(source: ScanSource, *, depth: Depth, bar: _Bar | None = None) -> Diagnosis:
    """Scan the headers, then look closer at each song.

    Args:
        source: What to look at.
        depth: How closely.
        bar: Is told how far it is.
    """
    from acestep_tui.headless.scan_checks import check_songs
    from acestep_tui.headless.scan_report import Diagnosis, caption_facts
    from engine.dataset.doctor_duplicates import same_files, same_sounds, song_key

    begun, config = time.monotonic(), source.config
    bar = bar or _Bar(is_wanted=False)
    with bar:
        looked = look(source, bar)
        songs = looked.report.songs
        detection, count = config.lyrics_language_detection, bar.of("songs looked at closely")
        checks = check_songs(songs, detection=detection, depth=depth, on_progress=count)
        if depth == "quick":
            duplicates = same_files(songs)
        else:
            heard = zip(songs, checks, strict=True)
            prints = {song_key(song): check.heard.fingerprint for song, check in heard if check.heard is not None}
            duplicates = same_sounds(songs, prints)
    captions = caption_facts(songs, model_path=model_folder(config), max_tokens=config.tokenizer_max_length)
    return Diagnosis(
        source=source,
        depth=depth,
        report=looked.report,
        checks=checks,
        duplicates=duplicates,
        captions=captions,
        seconds=time.monotonic() - begun,
        error=looked.error.message if looked.error is not None else "",
        hint=looked.error.hint if looked.error is not None else "",
    )


@dataclass(frozen=True, slots=True)
class Looked:
    """What the headers and text files told.

    Attributes:
        report: Of all data sets; without songs when nothing can be trained.
        files: Every file with what became of it.
        error: Why nothing starts.
    """

    report: ScanReport
    files: list[FileFinding] = field(default_factory=list)
    error: NothingUsableError | None = None


def look(source: ScanSource, bar: _Bar) -> Looked:
    """Scan as a run does, with the songs that the configuration leaves out or calls instrumental."""
    from engine.dataset.scan import NothingUsableError, scan_backends

    files: list[FileFinding] = []
    try:
        report = scan_backends(
            source.backends,
            exclude_files=source.config.exclude_files or (),
            instrumental_files=source.config.instrumental_files or (),
            on_progress=bar.of("files found"),
            on_file=files.append,
        )
    except NothingUsableError as error:
        return Looked(error.report, files, error)
    return Looked(report, files)


def model_folder(config: Config) -> Path | None:
    """Where the model is, for its tokenizer; None while it is not here."""
    from engine.contract.model_files import DEMO_MODEL
    from engine.contract.paths import demo_model
    from engine.hardware.models import model_status

    name = config.pretrained_model_name_or_path
    return demo_model(config) if name == DEMO_MODEL else model_status(name, config.revision).path


def _show(source: ScanSource, song: str, options: Options) -> int:
    from acestep_tui.headless.scan_show import find_song, seen_json, seen_lines, what_the_model_sees

    with _Bar(is_wanted=not (options.json or options.quiet)) as bar:
        looked = look(source, bar)
        seen = what_the_model_sees(find_song(looked.files, song), source=source, report=looked.report)
    if options.json:
        put_json(seen_json(seen))
    else:
        for line in seen_lines(seen):
            streams.put(line)
    return ExitCode.DONE if seen.row.song is not None else ExitCode.DATA


class _Bar:
    """A line on the terminal that counts; nothing in a pipe."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_drawn = is_wanted and streams.is_screen()
        self._drawn_t = 0.0

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawn_t:
            print("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r", end="", file=sys.stderr, flush=True)

    def of(self, what: str) -> _Count:
        """What counts these things."""
        return _Count(self, what)

    def step(self, done: int, total: int, what: str) -> None:
        """Draw it anew, a few times a second."""
        now = time.monotonic()
        if self._is_drawn and now - self._drawn_t >= _REDRAW_S:
            self._drawn_t = now
            print(f"\r{fmt.part_of(done, total)} {what}", end="", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class _Count:
    bar: _Bar
    what: str

    def __call__(self, done: int, total: int) -> None:
        self.bar.step(done, total, self.what)
