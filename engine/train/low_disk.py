"""What happens when a disk runs low on the way (config-formats.md section 1.9): stop, wait, or call a program."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.contract.byte_size import parse_size, size_words
from engine.contract.config import Config
from engine.contract.errors import DiskError, StopRequested
from engine.contract.paths import expanded
from engine.hardware.host import disk_free_bytes

WAIT_S = 30.0
"""How often a waiting run looks again, and says so."""

LOOK_EVERY_S = 5.0
"""How often the disk is looked at where many small things are written."""

_PATIENCE_S = 5.0
_POLL_S = 0.2


@dataclass
class LowDisk:
    """Watches free space for a run; does nothing when ``disk_low_threshold`` is not set.

    Attributes:
        threshold: Bytes that must be free; None = not watched.
        action: ``stop``, ``wait`` or ``script``.
        script: The program of ``script``; it gets the folder that needs space.
        warn: Called with (code, message).
        should_stop: Whether the user asked to stop; asked while waiting.
    """

    threshold: int | None
    action: str
    script: Path | None
    warn: Callable[[str, str], None]
    should_stop: Callable[[], bool]
    _looked: dict[Path, float] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Config, *, warn: Callable[[str, str], None], should_stop: Callable[[], bool]) -> LowDisk:
        """As a configuration wants it."""
        return cls(
            threshold=None if config.disk_low_threshold is None else parse_size(config.disk_low_threshold),
            action=config.disk_low_action,
            script=None if config.disk_low_script is None else expanded(config.disk_low_script).absolute(),
            warn=warn,
            should_stop=should_stop,
        )

    def check_often(self, folder: Path, *, doing: str) -> None:
        """`check`, but a look at the disk at most every few seconds: for loops."""
        now = time.monotonic()
        if self.threshold is not None and now - self._looked.get(folder, -LOOK_EVERY_S) >= LOOK_EVERY_S:
            self.check(folder, doing=doing)
            self._looked[folder] = time.monotonic()

    def check(self, folder: Path, *, doing: str) -> None:
        """Make sure that the disk of ``folder`` has the wanted space, in the way that was chosen.

        Args:
            folder: What is about to be written to; it may not exist yet.
            doing: What for: ``saving step 500``.

        Raises:
            DiskError: Too little space, with ``stop``, or when the program failed or did not help.
            StopRequested: The user asked to stop while the run was waiting.
        """
        if self._has_room(folder):
            return
        if self.action == "wait":
            self._wait(folder, doing)
        elif self.action == "script":
            self._make_room(folder, doing)
        else:
            raise self._error(folder, doing)

    def _has_room(self, folder: Path) -> bool:
        free = disk_free_bytes(folder)
        return self.threshold is None or free is None or free >= self.threshold

    def _says(self, folder: Path) -> str:
        free, wanted = disk_free_bytes(folder) or 0, self.threshold or 0
        return f"{size_words(free)} are free for {folder}, below disk_low_threshold {size_words(wanted)}"

    def _error(self, folder: Path, doing: str, reason: str = "") -> DiskError:
        return DiskError(
            f"stopped before {doing}: {reason}{self._says(folder)}",
            hint="Free some space there, or lower disk_low_threshold. What is saved is whole; the command goes on.",
        )

    def _wait(self, folder: Path, doing: str) -> None:
        while not self._has_room(folder):
            self.warn("disk_low", f"waits with {doing} until there is space: {self._says(folder)}")
            looked = time.monotonic()
            while time.monotonic() - looked < WAIT_S:
                if self.should_stop():
                    raise StopRequested(f"stopped while waiting for space on the disk; {doing} was not done")
                time.sleep(_POLL_S)
        self.warn("disk_free_again", f"there is space again for {folder}; {doing} goes on")

    def _make_room(self, folder: Path, doing: str) -> None:
        assert self.script is not None
        self.warn("disk_low", f"calls {self.script} before {doing}: {self._says(folder)}")
        try:
            child = subprocess.Popen([str(self.script), str(folder)], stdin=subprocess.DEVNULL)
        except OSError as error:
            raise self._error(folder, doing, f"{self.script} cannot be run ({error.strerror}), and ") from error
        while child.poll() is None:
            if self.should_stop():
                _end(child)
                raise StopRequested(f"stopped while {self.script.name} was making space; {doing} was not done")
            time.sleep(_POLL_S)
        if child.returncode:
            raise self._error(folder, doing, f"{self.script} ended with {child.returncode}, and ")
        if not self._has_room(folder):
            raise self._error(folder, doing, f"{self.script} did not make enough space, and ")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program; one that does not listen is killed, so that a stop always comes to its end."""
    child.terminate()
    try:
        child.wait(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
