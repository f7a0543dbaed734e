"""Making a run folder ready and starting its worker: a process of its own that outlives every terminal."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from acestep_tui.runs.liveness import worker_facts
from acestep_tui.runs.registry import entry_path
from engine.contract.errors import ConfigError, DiskError
from engine.contract.run_dir import RunDir

# The engine is a program of its own: this process never imports torch.
WORKER_COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine", "train")


class LaunchGuard:
    """Holds off other front ends on this host between looking at a run folder and its worker having the lock.

    The file lies in the state folder, since `--fresh` renames the run folder itself. Where it cannot be made or
    locked, the worker's own lock is the last word: the second worker leaves.
    """

    def __init__(self, run: RunDir) -> None:
        import fcntl  # not on Windows

        self._file: IO[bytes] | None = None
        path = entry_path(run).with_suffix(".lock")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let the next front end look; harmless the second time."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> LaunchGuard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def make_writable(folder: Path) -> None:
    """Make the folder and prove that files can be written in it.

    Raises:
        DiskError: It cannot be made or written, with the reason.
    """
    probe = folder / f".write-test.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"ok")
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        raise DiskError(
            f"The run folder cannot be written: {folder}: {error.strerror or error}",
            hint="Choose another place with --output_dir=FOLDER, or make this one writable.",
        ) from error


def set_aside(run: RunDir) -> Path | None:
    """Rename an existing run folder to NAME.1 (NAME.2 …) and return where it went; None when there was nothing.

    Raises:
        DiskError: It cannot be renamed.
    """
    if not run.path.is_dir() or not any(run.path.iterdir()):
        return None
    if run.path.is_symlink():
        raise ConfigError(
            f"--fresh would rename a link, not the folder behind it: {run.path}",
            hint="Give another place with --output_dir=FOLDER.",
        )
    number = 1
    while (target := run.path.with_name(f"{run.path.name}.{number}")).exists():
        number += 1
    try:
        run.path.rename(target)
    except OSError as error:
        raise DiskError(
            f"The old run cannot be renamed to {target}: {error.strerror or error}",
            hint="Choose another place with --output_dir=FOLDER.",
        ) from error
    return target


def start_worker(
    run: RunDir,
    *,
    arguments: Sequence[str] = (),
    foreground: bool = False,
    command: Sequence[str] = WORKER_COMMAND,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start the worker on a prepared run folder.

    It reads nothing, writes its words to worker.log and keeps the environment. Its working directory is ours, or
    ``cwd``: where the relative paths of its configuration begin. In a session of its own it survives the terminal; with
    ``foreground`` it stays in our process group, where containers, Slurm and systemd look for it.

    Raises:
        DiskError: worker.log cannot be written.
    """
    # The last worker's card would speak for this one until it has written its own.
    run.worker_json.unlink(missing_ok=True)
    try:
        log = run.worker_log.open("ab")
    except OSError as error:
        raise DiskError(f"The worker's log cannot be written: {run.worker_log}: {error.strerror or error}") from error
    with log:
        worker = subprocess.Popen(
            [*command, str(run.path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=not foreground,
            cwd=cwd,
        )
    _children[run.path] = worker
    return worker


# The workers that this process started. Only a parent learns how a process ended.
_children: dict[Path, subprocess.Popen[bytes]] = {}


def exit_code_of(run: RunDir) -> int | None:
    """How the run's newest worker ended (minus the signal's number), if it was ours and has ended; else None."""
    worker = _children.get(run.path)
    if worker is None or worker_facts(run).get("pid") not in (None, worker.pid):
        return None  # another front end has started a newer one
    return worker.poll()


def log_tail(run: RunDir, *, since_bytes: int = 0, num_lines: int = 15) -> list[str]:
    """The last lines of worker.log that were written after ``since_bytes``."""
    try:
        with run.worker_log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(since_bytes, end - 64 * 1024))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    # A progress bar of a library ends its lines with a carriage return.
    lines = [line.rstrip() for line in text.replace("\r", "\n").split("\n")]
    return [line for line in lines if line][-num_lines:]
