"""What is done with a checkpoint that is in place: its test clips go in beforehand, a program is told afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.paths import expanded
from engine.contract.run_dir import RunDir

ASSETS_FOLDER = "assets"


def add_assets(run_dir: RunDir, folder: Path, *, step: int) -> None:
    """Put the test clips of a step, with their sidecars, into a checkpoint's ``assets/`` as ``audio_0.wav`` and on.

    They are hard links where the disk allows it, so that a clip is not on it twice.

    Raises:
        OSError: The disk is full or not writable.
    """
    clips = sorted(run_dir.validation.glob(f"step_{step}_*.wav"))
    for index, clip in enumerate(clips):
        (folder / ASSETS_FOLDER).mkdir(exist_ok=True)
        for source in (clip, clip.with_suffix(".json")):
            if source.is_file():
                _link_or_copy(source, folder / ASSETS_FOLDER / f"audio_{index}{source.suffix}")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links here; a full disk shows at the copy
        shutil.copyfile(source, target)


@dataclass
class CheckpointProgram:
    """Starts ``post_checkpoint_script`` for each checkpoint; training never waits for it.

    Attributes:
        program: The program; None = none is started.
        warn: Called with (code, message) when one fails.
    """

    program: Path | None
    warn: Callable[[str, str], None]
    _running: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    @classmethod
    def of(cls, wanted: str | None, *, warn: Callable[[str, str], None]) -> CheckpointProgram:
        """For the value of ``post_checkpoint_script``."""
        return cls(None if wanted is None else expanded(wanted).absolute(), warn)

    def start(self, folder: Path) -> None:
        """Start it with a checkpoint's folder as its argument; what it prints goes to worker.log."""
        if self.program is None:
            return
        try:
            child = subprocess.Popen([str(self.program), str(folder)], stdin=subprocess.DEVNULL)
        except OSError as error:
            self.warn("program_failed", f"{self.program} cannot be run for {folder.name}: {error.strerror or error}")
            return
        self._running.append((child, folder))

    def at_work_on(self) -> list[Path]:
        """Checkpoints whose program has not ended yet: they must stay."""
        self.look()
        return [folder for _, folder in self._running]

    def look(self) -> None:
        """Take leave of those that ended; say which failed."""
        still = []
        for child, folder in self._running:
            code = child.poll()
            if code is None:
                still.append((child, folder))
            elif code:
                self.warn("program_failed", f"{self.program} ended with {code} for {folder.name}; training goes on")
        self._running = still

    def close(self) -> None:
        """At the end of the run: say which are still at work; they go on by themselves."""
        self.look()
        for _, folder in self._running:
            self.warn("program_runs_on", f"{self.program} is still at work on {folder.name}; it goes on by itself")
        self._running = []
