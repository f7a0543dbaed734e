"""The mock-ups' 24 songs, made up; the set-up opened on them without a disk to scan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acestep_tui.screens import wizard as wizard_module
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.song_scan import SongScan, scan_key
from acestep_tui.wizard.songs import SongRow
from acestep_tui.wizard.source import Source
from acestep_tui.wizard.steps import dataset
from acestep_tui.wizard.steps.base import Step
from acestep_tui.wizard.steps.dataset import DatasetStep
from acestep_tui.wizard.steps.make import make_step
from engine.contract.backends import LocalBackend
from engine.contract.fields_base import WizardStep
from engine.dataset.report import Problem, Song
from tests.tui.harness import until
from tests.tui.wizard_facts import QuietModel, night_ferry, ready, wizard_app

FOLDER = "/home/mara/music/night-ferry"
TYPED = "~/music/night-ferry"
# name, length, caption, lines of lyrics (None = no file, 0 = instrumental), language
_SONGS: tuple[tuple[str, str, str, int | None, str], ...] = (
    ("01 Night Ferry.flac", "3:52", "dream pop, female voice, slow", 34, "en"),
    ("02 Harbour Lights.flac", "4:10", "dream pop, female voice, synth", 28, "en"),
    ("03 Salt and Static.wav", "3:24", "shoegaze, female voice, loud", 31, "en"),
    ("04 Paper Lanterns.flac", "3:58", "dream pop, female voice, piano", None, ""),
    ("05 Tide Table.mp3", "2:47", "folk, acoustic guitar, duet", 22, "en"),
    ("06 Glass Weather.flac", "3:33", "ambient pop, female voice", 26, "en"),
    ("07 Low Sun.flac", "3:41", "dream pop, drum machine", 30, "en"),
    ("08 Kerosene Moon.flac", "3:15", "slow waltz, female voice", 24, "en"),
    ("09 Signal Fires.wav", "4:02", "post-rock, choir, build-up", 12, "en"),
    ("10 Åland.flac", "3:49", "folk, nyckelharpa, female voice", 33, "sv"),
    ("11 夜の港.flac", "3:36", "city pop, female voice, bass", 29, "ja"),
    ("12 Breakwater.flac", "2:58", "ambient, tape noise, no voice", 0, ""),
    ("13 Lighthouse demo.m4a", "", "", None, ""),
    ("14 Cold Harbour.flac", "4:00", "dream pop, female voice, organ", None, ""),
    ("15 Half the Sky.flac", "3:20", "dream pop, female voice", 27, "en"),
    ("16 Undertow.ogg", "3:44", "trip hop, female voice, vinyl", 25, "en"),
    ("17 Blue Hour.flac", "4:06", "dream pop, saxophone", 21, "en"),
    ("18 Foghorn.flac", "3:09", "noise pop, female voice", 19, "en"),
    ("19 Slack Water.flac", "3:50", "dream pop, female voice", 20, "en"),
    ("20 Gull.flac", "3:55", "folk, female voice", 20, "en"),
    ("21 Rope and Tar.flac", "3:58", "sea shanty, choir", 20, "en"),
    ("22 Ebb.flac", "3:58", "ambient pop, female voice", 20, "en"),
    ("23 Quay.flac", "3:58", "dream pop, female voice", 20, "en"),
    ("24 Last Boat Home.flac", "3:59", "dream pop, female voice", 20, "en"),
)


def seconds(length: str) -> float:
    """``3:52`` in seconds."""
    minutes, _, rest = length.partition(":")
    return 60.0 * int(minutes) + int(rest)


def song(name: str, duration_s: float, caption: str, lyrics: str | None, folder: str = FOLDER) -> Song:
    """A file as a scan would have found it."""
    return Song(
        backend_id="songs",
        path=Path(folder) / name,
        relative_path=name,
        format=name.rpartition(".")[2],
        sample_rate=44_100,
        num_channels=2,
        num_samples=round(44_100 * duration_s),
        duration_s=duration_s,
        size_bytes=20_000_000 + len(name),
        mtime_ns=1,
        captions=(caption,),
        lyrics=lyrics,
    )


def row(name: str, length: str, caption: str, num_lines: int | None, language: str) -> SongRow:
    """One row of the mock-up."""
    lyrics_name = f"{name.rpartition('.')[0]}.lyrics"
    if not length:
        reason = "left out: damaged after 0.4 s"
        return SongRow("songs", name, None, (Problem(name, "error", "unreadable", reason),), lyrics_name)
    lyrics = None if num_lines is None else "\n".join(["[inst]"] + [f"line {number}" for number in range(num_lines)])
    problems: tuple[Problem, ...] = ()
    if num_lines is None:
        problems = (Problem(name, "warning", "no_lyrics", "no lyrics: trains as an instrumental"),)
    if seconds(length) > 240:
        problems += (Problem(name, "warning", "long_clip", f"{length} long: cut to 4:00"),)
    return SongRow("songs", name, song(name, seconds(length), caption, lyrics), problems, lyrics_name, language)


ROWS = tuple(row(*one) for one in _SONGS)
SCAN = SongScan(
    rows=ROWS,
    num_done=24,
    num_total=24,
    seconds=0.8,
    is_done=True,
    backends=(LocalBackend("songs", FOLDER),),
)


@pytest.fixture
def made_up_songs(monkeypatch: pytest.MonkeyPatch) -> Callable[[SongScan], None]:
    """The real page on a scan that is made up; call it with another one."""
    scans = [SCAN]

    def made(key: WizardStep) -> Step:
        return QuietModel() if key == "model" else make_step(key)

    def scan_songs(config: Any, **_: Any) -> SongScan:
        return replace(scans[-1], config=config)

    def languages(rows: tuple[SongRow, ...], **_: Any) -> dict[tuple[str, str], str]:
        return {(one.backend_id, one.name): one.language for one in rows}

    monkeypatch.setattr(wizard_module, "make_step", made)
    monkeypatch.setattr(dataset, "missing_folder", lambda folder: None)
    monkeypatch.setattr(dataset, "scan_songs", scan_songs)
    monkeypatch.setattr(dataset, "detect_languages", languages)
    monkeypatch.setattr(dataset, "find_duplicates", lambda rows, should_stop: {})
    monkeypatch.setattr(
        dataset, "read_source", lambda text, cwd: Source(text, "instance_data_dir", FOLDER, "night-ferry")
    )
    return scans.append


def songs_draft(**values: Any) -> Draft:
    """The mock-ups' draft at the songs."""
    draft = night_ferry("dataset", **values)
    draft.source = TYPED
    return draft


async def open_songs(pilot: Any, app: Any) -> DatasetStep:
    """Wait for the page with its songs scanned and compared."""
    screen = await ready(pilot, app)
    step = screen.step
    assert isinstance(step, DatasetStep)
    await until(pilot, lambda: step.duplicates is not None)
    await pilot.pause()
    return step


__all__ = ["FOLDER", "ROWS", "SCAN", "made_up_songs", "open_songs", "scan_key", "song", "songs_draft", "wizard_app"]
