"""The life of the worker: lock, identity, signals, events, outcome. What it does in between is the trainer's.

The worker outlives every terminal: it is started in a session of its own, ignores SIGHUP, holds `lock` in the run
folder for life and answers through events only.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.contract.errors import (
    ConfigError,
    ExitCode,
    OutOfMemoryError,
    StopRequested,
    UserError,
    as_disk_error,
    is_disk_failure,
)
from engine.contract.events import RunEnded
from engine.contract.files import write_json
from engine.contract.run_dir import RunDir
from engine.hardware.host import boot_id
from engine.telemetry.emitter import Emitter
from engine.train.inbox import Inbox

LOCK_PATIENCE_S = 2.0
# As torch's allocators, CUDA itself, its libraries (cuBLAS, cuDNN) and the system say it.
_NO_MEMORY = ("out of memory", "not enough memory", "STATUS_ALLOC_FAILED", "cannot allocate memory")
PACKAGES = ("acestep-tui", "torch", "diffusers", "transformers")


@contextlib.contextmanager
def held_lock(path: Path, *, doing: str = "training") -> Iterator[None]:
    """Hold an exclusive lock on ``path`` for the block.

    Raises:
        ConfigError: Another worker holds it; it is ``doing`` the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # O_CLOEXEC: a child process (git, a checkpoint script) must not keep the run alive after the worker.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _locked(descriptor):
            raise ConfigError(
                f"{path.parent}: another worker is {doing} in this folder",
                hint=f"Follow it with: acestep-tui attach {path.parent.name}   or stop it first."
                if doing == "training"
                else "It goes on by itself; what it does need not be started twice.",
            )
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Take the lock; viewers take it for a moment to see whether it is free, so one refusal means nothing yet."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        except OSError:
            # No locks on this file system (NFS, Lustre): liveness is judged by the heartbeat there.
            return True


def write_identity(run_dir: RunDir, *, argv: list[str]) -> None:
    """Write worker.json: who is at work here."""
    write_json(
        run_dir.worker_json,
        {
            "pid": os.getpid(),
            "pgid": os.getpgrp(),
            "start_time": time.time(),
            "boot_id": boot_id(),
            "host": platform.node(),
            "python": platform.python_version(),
            # From the packages' own records: importing torch takes seconds, in which nobody could see this worker.
            "versions": {name: _version(name) for name in PACKAGES},
            "argv": argv,
            "cwd": str(Path.cwd()),
        },
        action="writing the worker's identity",
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run_worker(
    run_dir: RunDir, *, argv: list[str], work: Callable[[Emitter, Inbox], RunEnded], doing: str = "training"
) -> ExitCode:
    """Run ``work`` as the worker of a run folder and end with exactly one `run_ended` event.

    Args:
        run_dir: The folder; it exists and holds config.json.
        argv: The worker's arguments, for worker.json.
        work: Does everything and returns the last event, or raises.
        doing: Said to a second worker of the same folder.

    Returns:
        The process's exit code, equal to the event's.
    """
    started = time.monotonic()
    try:
        with held_lock(run_dir.lock, doing=doing), Emitter(run_dir.events_jsonl) as emitter:
            inbox = Inbox(run_dir, emitter)
            inbox.install_signals()
            write_identity(run_dir, argv=argv)
            try:
                ended = work(emitter, inbox)
            except BaseException as error:
                ended = ending_of(error, seconds=round(time.monotonic() - started, 1))
                ended = replace(ended, steps=emitter.last_step)
            for kind in ("stop_now", "abort"):
                inbox.answer(kind)
            emitter.emit(ended)
            return ExitCode(ended.exit_code)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def ending_of(error: BaseException, *, seconds: float) -> RunEnded:
    """The `run_ended` event for an exception; the traceback of anything unexpected goes to worker.log."""
    known = as_user_error(error)
    if known is None:
        traceback.print_exception(error, file=sys.stderr)
        sentence = f"{type(error).__name__}: {error}"
        hint = "This is a bug in acestep-tui; worker.log has the details."
        return RunEnded(outcome="failed", exit_code=ExitCode.INTERNAL, seconds=seconds, error=sentence, hint=hint)
    if not isinstance(error, UserError):
        traceback.print_exception(error, file=sys.stderr)
    outcome = "stopped" if isinstance(known, StopRequested) else "failed"
    return RunEnded(outcome=outcome, exit_code=known.exit_code, seconds=seconds, error=known.message, hint=known.hint)


def as_user_error(error: BaseException) -> UserError | None:
    """The user's version of an exception, or None when it is a bug."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return StopRequested("stopped before anything had to be saved")
    if is_disk_failure(error):
        return as_disk_error(error, action="writing", path=getattr(error, "filename", None) or "the run folder")
    if is_out_of_memory(error):
        lines = str(error).strip().splitlines()  # Python's own error says nothing at all
        return OutOfMemoryError(
            f"memory ran out: {lines[0] if lines else type(error).__name__}",
            hint="Lower train_batch_size, or set gradient_checkpointing true, or use shorter pieces "
            "(audio_max_duration_seconds with long_clip pieces).",
        )
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory (CUDA, MPS and CPU say it differently)."""
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules:  # a task that needs no torch does not import it to fail
        return False
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).replace("Cannot", "cannot")
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
