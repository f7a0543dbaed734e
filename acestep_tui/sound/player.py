"""Playing a clip through a program that is here: mpv, ffplay, aplay or afplay."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# In the order they are looked for; those that can begin in the middle come first.
PLAYERS = ("mpv", "ffplay", "aplay", "afplay")
_QUIET = {
    "mpv": ("--no-video", "--really-quiet", "--no-terminal"),
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "quiet"),
    "aplay": ("-q",),
    "afplay": (),
}


@dataclass(frozen=True, slots=True)
class Player:
    """A program that plays sound files."""

    name: str
    program: str

    @property
    def can_seek(self) -> bool:
        """Whether it can begin in the middle."""
        return self.name in ("mpv", "ffplay")

    def command(self, path: Path, *, start_s: float = 0.0) -> list[str]:
        """The command that plays a file and ends with it."""
        words = [self.program, *_QUIET[self.name]]
        if start_s > 0 and self.name == "mpv":
            words.append(f"--start={start_s:.2f}")
        elif start_s > 0 and self.name == "ffplay":
            words += ["-ss", f"{start_s:.2f}"]
        # "--" so that a file whose name begins with a dash is not taken for a switch; aplay and afplay have none.
        return [*words, "--", str(path)] if self.name == "mpv" else [*words, str(path.absolute())]


def find_player(wanted: str = "auto", environ: Mapping[str, str] = os.environ) -> Player | None:
    """The player to use; None where there is none, or where its sound would come out on another computer.

    Args:
        wanted: A player's name, or ``auto``. Who names one wants it over SSH too.
        environ: Where SSH is seen.
    """
    if wanted == "auto" and any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY")):
        return None
    for name in PLAYERS if wanted == "auto" else (wanted,):
        program = shutil.which(name, path=environ.get("PATH"))
        if program is not None and name in PLAYERS:
            return Player(name, program)
    return None


@dataclass(slots=True)
class Playing:
    """A clip that is being played.

    Attributes:
        path: The file.
        started_t: When it began, by the clock of whoever asks.
        start_s: Where in the clip it began.
        length_s: How long the clip is.
    """

    path: Path
    started_t: float
    start_s: float
    length_s: float
    process: subprocess.Popen[bytes] = field(repr=False)

    def position_s(self, now: float) -> float:
        """Where in the clip it is, as far as the clock tells."""
        return min(self.start_s + max(now - self.started_t, 0.0), self.length_s)

    def result(self) -> int | None:
        """None while it plays; then the program's exit status."""
        return self.process.poll()

    def stop(self) -> None:
        """End it; ending twice costs nothing."""
        if self.process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=1.0)


def play(player: Player, path: Path, *, now: float, start_s: float = 0.0, length_s: float = 0.0) -> Playing:
    """Begin to play; from the beginning where the player cannot seek.

    Raises:
        OSError: The program cannot be started.
    """
    start_s = min(max(start_s, 0.0), length_s) if player.can_seek else 0.0
    process = subprocess.Popen(
        player.command(path, start_s=start_s),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Playing(path, now, start_s, length_s, process)
