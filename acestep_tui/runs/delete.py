"""Deleting a run: what belongs to it, and nothing else that somebody may have put into its folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from acestep_tui.paths import shown
from acestep_tui.runs import launch, registry
from acestep_tui.runs.inspect import folder_bytes
from acestep_tui.runs.liveness import is_locked, judge
from acestep_tui.runs.load import read_state
from engine.contract.errors import ConfigError, DiskError
from engine.contract.run_dir import ADAPTER_FILE, CHECKPOINT_PATTERN, EMA_FOLDER, PARTIAL_SUFFIX, RunDir

_FOLDERS = ("control", "validation", "export", "logs", EMA_FOLDER)
_FILES = ("config.json", "origins.json", "worker.json", "worker.log", "events.jsonl", "lock", ADAPTER_FILE)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was removed, and what stayed in the folder because it is not the run's."""

    bytes: int
    kept: tuple[Path, ...]

    @property
    def is_folder_gone(self) -> bool:
        """Whether nothing of the folder is left."""
        return not self.kept


def delete(run: RunDir) -> Deleted:
    """Remove a run and its entry in the list; it may take seconds on a slow disk, so call it in a thread.

    Raises:
        ConfigError: It is no run folder, a link, or its worker is alive.
        DiskError: Something cannot be removed; what is left is named.
    """
    _require_deletable(run)
    try:
        with launch.LaunchGuard(run), _held(run):
            deleted = _delete(run)
    except OSError as error:
        raise DiskError(
            f"{shown(Path(error.filename or run.path))} cannot be removed: {error.strerror or error}",
            hint="The run is only partly deleted. Delete it again when the folder is writable.",
        ) from error
    registry.forget(run)
    return deleted


def _delete(run: RunDir) -> Deleted:
    ours = [entry for entry in run.path.iterdir() if _is_ours(entry)]
    # The events go last: until then the folder is known as a run and can be deleted again.
    ours.sort(key=lambda entry: entry == run.events_jsonl)
    removed = 0
    for entry in ours:
        removed += _bytes_of(entry)
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    kept = tuple(sorted(run.path.iterdir()))
    if not kept:
        run.path.rmdir()
    return Deleted(removed, kept)


def belongings(run: RunDir) -> int:
    """Bytes that `delete` would remove."""
    try:
        return sum(_bytes_of(entry) for entry in run.path.iterdir() if _is_ours(entry))
    except OSError:
        return 0


def _bytes_of(entry: Path) -> int:
    return folder_bytes(entry)[0] if entry.is_dir() else entry.lstat().st_size


def _require_deletable(run: RunDir) -> None:
    where = shown(run.path)
    if run.path.is_symlink():
        raise ConfigError(f"{where} is a link, so it is not deleted", hint="Delete the folder that it points to.")
    if not registry.is_run_folder(run.path):
        raise ConfigError(f"{where} is no run folder, so nothing is deleted", hint="It holds no events of a run.")
    verdict = judge(run, read_state(run))
    if verdict.is_running or verdict.is_locked:
        raise ConfigError(
            f"{run.name} is training, so it is not deleted", hint=f"Stop it first: acestep-tui stop {run.name}"
        )


@contextmanager
def _held(run: RunDir) -> Iterator[None]:
    """Hold the run's lock, so that no worker begins in a folder that goes away under it.

    Raises:
        ConfigError: A worker holds it.
    """
    import fcntl  # not on Windows

    try:
        lock = run.lock.open("ab")
    except OSError:
        yield  # not writable: the first removal says so
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Where locks do not work, the last event has already said that nobody is there.
            if is_locked(run.lock):
                raise ConfigError(f"{run.name} is training, so it is not deleted") from error
        yield


def _is_ours(entry: Path) -> bool:
    name = entry.name
    if entry.is_symlink():
        return False
    if entry.is_dir():
        is_partial = name.startswith("checkpoint-") and name.endswith(PARTIAL_SUFFIX)
        return name in _FOLDERS or is_partial or CHECKPOINT_PATTERN.match(name) is not None
    # What a write that was killed left aside (".config.json.host-123.tmp") goes with its file.
    aside = name.startswith(".") and name.endswith(".tmp") and any(name.startswith(f".{own}.") for own in _FILES)
    return name in _FILES or aside or name.startswith(".write-test.")
