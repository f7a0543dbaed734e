"""A measurement in a process of its own: its memory does not stay for the next, and its end is not the end of all."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TELL_EVERY_S = 60.0


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        exit_code: Of the program, negative for a signal; None = it was stopped for taking too long.
        seconds: From its start to its end.
        failure: Empty, or the last line that it wrote and how it ended.
    """

    exit_code: int | None
    seconds: float
    failure: str = ""


def run_logged(arguments: Sequence[str], log: Path, *, patience_s: float, tell: Callable[[float], None]) -> Ended:
    """Run Python with these arguments and wait for it; whatever it leaves running is ended with it.

    Args:
        arguments: Behind the interpreter.
        log: File for all that it writes.
        patience_s: It is stopped after so long.
        tell: Called once a minute with the seconds since its start.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as lines:
        child = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, stdout=lines, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = _wait(child, started, patience_s, tell)
        finally:
            _end_all(child)
    seconds = round(time.monotonic() - started, 1)
    if code == 0:
        return Ended(0, seconds)
    how = f"stopped after {seconds:g} s" if code is None else f"exit code {code}"
    return Ended(code, seconds, f"{last_line(log) or 'it wrote nothing'} ({how})")


def _wait(
    child: subprocess.Popen[bytes], started: float, patience_s: float, tell: Callable[[float], None]
) -> int | None:
    while True:
        passed = time.monotonic() - started
        if passed >= patience_s:
            return None
        try:
            return child.wait(min(TELL_EVERY_S, patience_s - passed))
        except subprocess.TimeoutExpired:
            tell(time.monotonic() - started)


def _end_all(child: subprocess.Popen[bytes]) -> None:
    """The child and what it started, which share its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def last_line(log: Path) -> str:
    """The last line that is not blank."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
