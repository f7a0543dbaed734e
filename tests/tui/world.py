"""A computer that is the same everywhere: for pictures of the real app, nothing of this machine may be seen in them.

Runs are recordings of real demo runs (recorded.py); songs are the demo's own, written for real. What the app would ask
this machine (cards, disk, kernel's log, owner, time) is answered here.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from huggingface_hub import constants as hub

from acestep_tui import app as app_module
from acestep_tui import doctor, look
from acestep_tui.app import AceStepApp, Start
from acestep_tui.doctor import Check
from acestep_tui.runs import crash, delete, inspect, kernel_log, summary, watch
from acestep_tui.runs.inspect import folder_bytes as real_folder_bytes
from acestep_tui.screens import doctor as doctor_screen
from acestep_tui.screens import playing_page, wizard
from acestep_tui.settings import Settings
from acestep_tui.widgets import paint
from acestep_tui.wizard import song_scan
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.draft_files import save_draft, snapshot
from acestep_tui.wizard.steps import model as model_step
from engine.contract.checkpoint_files import MANIFEST_FILE
from engine.contract.run_dir import ADAPTER_FILE, RunDir, checkpoint_step
from engine.demo.songs import write_demo_songs
from tests.tui.harness import NOW
from tests.tui.record import HOME, HOST
from tests.tui.recorded import Until, alive, last_time, recorded_run
from tests.tui.wizard_facts import GB, MACHINE

USER = "mara"
_CLIP_RATE, _CHORD_HZ = 16_000, (110.0, 220.0, 277.2, 440.0, 1320.0)
_TIME = re.compile(r'("(?:t|start_time)": ?)(\d+\.\d+)')
LIBRARIES = Check("ok", "Libraries", "torch 2.11, diffusers 0.37, transformers 5.2, peft 0.18, textual 8.2.8")
WRITING = Check("ok", "Writing", "1.1 GB a second in ~/acestep")
# Of the machine's own variables none may change what is seen.
_UNSET = (
    "NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "NO_MOTION", "COLORTERM", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN", "EDITOR",
    "VISUAL", "ACESTEP_CACHE",
)  # fmt: skip


class World:
    """The computer ``studio-pod`` of the user mara.

    Args:
        place: An empty folder that holds everything.
        patch: Puts the answers in the place of this machine's.
        songs: The demo's songs, written once for many worlds; None writes them when they are first wanted.
    """

    def __init__(self, place: Path, patch: pytest.MonkeyPatch, *, songs: Path | None = None) -> None:
        self.home = place / "home"
        self.now = NOW
        self._songs = songs
        self._held = contextlib.ExitStack()
        self.set_variable = patch.setenv
        desk = place / "desk"
        for folder in (self.home, desk):
            folder.mkdir(exist_ok=True)
        patch.chdir(desk)
        self._set_environment(patch)
        self._answer(patch)
        paint.use_ascii(False)

    def _set_environment(self, patch: pytest.MonkeyPatch) -> None:
        for name in _UNSET:
            patch.delenv(name, raising=False)
        for name, folder in (("STATE", ".local/state"), ("CONFIG", ".config"), ("CACHE", ".cache"), ("DATA", "data")):
            patch.setenv(f"XDG_{name}_HOME", str(self.home / folder))
        for name, value in (("HOME", str(self.home)), ("USER", USER), ("LOGNAME", USER), ("TZ", "UTC")):
            patch.setenv(name, value)
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(hub, "HF_HUB_CACHE", str(self.home / ".cache" / "huggingface" / "hub"))
        time.tzset()

    def _answer(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(platform, "node", lambda: HOST)
        patch.setattr(getpass, "getuser", lambda: USER)
        for module in (crash, summary):
            patch.setattr(module, "boot_id", lambda: "recorded")
        patch.setattr(kernel_log, "read_kernel_log", lambda *, since_t: [])
        patch.setattr(crash, "probe_disk", lambda run: (0.03, False))
        # Nothing asks a hub here, and the pictures are of a computer that could.
        patch.setattr(model_step, "offline_variable", lambda: "")
        stopped = SimpleNamespace(time=lambda: self.now, monotonic=time.monotonic)
        for module in (watch, crash):
            patch.setattr(module, "time", stopped)
        patch.setattr(inspect, "disk_free_bytes", lambda path: 204 * GB)
        for module in (inspect, summary):
            patch.setattr(module, "owner_of", lambda folder: USER)
        for module in (inspect, summary, delete):
            patch.setattr(module, "folder_bytes", _folder_bytes)
        # A scan takes no time here.
        patch.setattr(song_scan, "time", SimpleNamespace(monotonic=lambda: 0.0))
        for module in (look, doctor_screen, wizard):
            patch.setattr(module, "look_at_machine", lambda folder: MACHINE)
        patch.setattr(doctor, "_libraries", lambda machine: LIBRARIES)
        patch.setattr(doctor_screen, "write_speed_check", lambda folder: WRITING)
        patch.setattr(app_module, "_draws_unicode", lambda: True)
        for told, (glyph, severity, _) in tuple(app_module._TOASTS.items()):
            patch.setitem(app_module._TOASTS, told, (glyph, severity, None))  # none leaves before it is seen
        patch.setattr(playing_page, "find_player", lambda *wanted: None)

    # -- what is there --

    def run(
        self,
        scenario: str,
        *,
        name: str = "",
        until: Until | None = None,
        is_alive: bool = False,
        after_s: float = 1.0,
    ) -> RunDir:
        """A run as recorded, its last word ``after_s`` seconds ago."""
        run = recorded_run(self.home, scenario, name=name, until=until)
        _restore_home(run, self.home)
        _move(run, self.now - after_s - last_time(run))
        _as_of(run, self.now - after_s)
        for event in _events(run):
            if event["kind"] == "sample_saved":
                _write_clip(run.path / event["path"], event)
        if is_alive:
            self._held.enter_context(alive(run))
        return run

    def keep(self, draft: Draft) -> Path:
        """A draft as if it had been left; its file."""
        path = save_draft(snapshot(draft))
        os.utime(path, (self.now - 3600, self.now - 3600))
        return path

    def demo_songs(self) -> Path:
        """The demo's songs where the app keeps them."""
        from engine.contract.paths import demo_folder

        kept = demo_folder() / "songs"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            if self._songs is None:
                write_demo_songs(kept)
            else:
                kept.symlink_to(self._songs)
        return kept

    def music(self) -> None:
        """Two folders of music that nobody has looked into yet."""
        for folder, num_songs in (("harbour demos", 7), ("night-ferry", 24)):
            place = self.home / "Music" / folder
            place.mkdir(parents=True)
            for number in range(1, num_songs + 1):
                (place / f"{number:02}.flac").touch()

    def app(self, start: Start | None = None, **values: Any) -> AceStepApp:
        """The app of this user, with these settings."""
        settings = Settings(self.home / ".config" / "acestep-tui" / "settings.json", {"motion": "off", **values})
        return AceStepApp(start, settings=settings, clock=lambda: self.now, host=HOST)

    def close(self) -> None:
        """Let go of the locks."""
        self._held.close()


@contextlib.contextmanager
def a_world(place: Path, *, songs: Path | None = None) -> Iterator[World]:
    """A world outside of a test."""
    with pytest.MonkeyPatch.context() as patch:
        world = World(place, patch, songs=songs)
        try:
            yield world
        finally:
            world.close()


def _events(run: RunDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.events_jsonl.read_text(encoding="utf-8").splitlines()]


def _write_clip(path: Path, saved: dict[str, Any]) -> None:
    """In the place of a recorded clip: chords as loud as its recorded envelope."""
    chords = _chords(saved["seconds"])
    t = np.arange(len(chords)) / _CLIP_RATE
    loudness = np.interp(t, np.linspace(0, saved["seconds"], len(saved["envelope"])), saved["envelope"])
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, loudness * chords, _CLIP_RATE)
    asked = {"prompt": "city pop, mellow bass", "lyrics": "[verse]\nLantern street is wet with rain", "seed": 42}
    path.with_suffix(".json").write_text(json.dumps({**asked, "duration": saved["seconds"]}), encoding="utf-8")


@functools.lru_cache(maxsize=8)
def _chords(seconds: float) -> np.ndarray[Any, Any]:
    """Chords of even loudness, at most 1; shape [samples]."""
    t = np.arange(round(seconds * _CLIP_RATE)) / _CLIP_RATE
    chord = sum(np.sin(2 * np.pi * hz * (1 + np.floor(t) / 4) * t) / (place + 1) for place, hz in enumerate(_CHORD_HZ))
    return np.asarray(chord / np.abs(chord).max())


def _restore_home(run: RunDir, home: Path) -> None:
    """What the run says of its folder names the home it was recorded in, wherever this one is."""
    for path in run.path.glob("*.json*"):
        path.write_text(path.read_text(encoding="utf-8").replace(str(home), HOME), encoding="utf-8")


def _move(run: RunDir, seconds: float) -> None:
    """Another time for everything that was recorded."""
    for path in (run.events_jsonl, run.worker_json):
        text = path.read_text(encoding="utf-8")
        moved = _TIME.sub(lambda found: f"{found[1]}{float(found[2]) + seconds:.3f}", text)
        path.write_text(moved, encoding="utf-8")


@functools.lru_cache(maxsize=256)
def _saved_bytes(events_jsonl: Path) -> dict[str, int]:
    said = [json.loads(line) for line in events_jsonl.read_text(encoding="utf-8").splitlines()]
    return {Path(event["path"]).name: event["bytes"] for event in said if event["kind"] == "checkpoint_saved"}


def _folder_bytes(folder: Path) -> tuple[int, int]:
    """The size of a folder as the recorded events tell it: what stands for a file here is smaller."""
    run = RunDir(folder)
    if run.events_jsonl.exists():
        return 2 * 2**20 + sum(_saved_bytes(run.events_jsonl).values()), 40
    above = RunDir(folder.parent)
    if above.events_jsonl.exists():
        return _saved_bytes(above.events_jsonl).get(folder.name, 2**20), 8
    return real_folder_bytes(folder)


def _as_of(run: RunDir, last_t: float) -> None:
    """Nothing in the folder that came after its last event; save points that are whole, with the times of then."""
    saved_t = {}
    for event in _events(run):
        if event["kind"] == "checkpoint_saved":
            saved_t[Path(event["path"]).name] = event["t"]
    for folder in run.checkpoints():
        if folder.name not in saved_t:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
            continue
        files = [file for file in folder.iterdir() if file.name not in (MANIFEST_FILE, ".guard")]
        facts = {
            file.name: {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
            for file in files
        }
        manifest = {"step": checkpoint_step(folder), "files": facts}
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")
        os.utime(folder, (saved_t[folder.name], saved_t[folder.name]))
    for event in _events(run):
        if event["kind"] == "adapter_exported":
            for file in (run.path / event["path"], run.path / ADAPTER_FILE):
                os.truncate(file, event["bytes"])
                os.utime(file, (last_t, last_t))
