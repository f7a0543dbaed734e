"""Looking into a run folder: everything that is read beside the events, none of it ever an exception."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acestep_tui.runs.facts import CheckpointFact, FileFact, FolderFacts, WorkerFacts
from acestep_tui.runs.liveness import worker_facts
from engine.contract.files import read_json
from engine.contract.run_dir import ADAPTER_FILE, GUARD_FILE, KEEP_FILE, RunDir, checkpoint_step
from engine.hardware.host import disk_free_bytes

_CLIP_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None when there is none or it cannot be read."""
    try:
        data = read_json(path)
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def read_worker(run: RunDir) -> WorkerFacts:
    """What worker.json says, each fact only if it is of its type."""
    facts = worker_facts(run)
    pid, start_t, host = facts.get("pid"), facts.get("start_time"), facts.get("host")
    argv, versions, boot = facts.get("argv"), facts.get("versions"), facts.get("boot_id")
    return WorkerFacts(
        pid=pid if isinstance(pid, int) else None,
        host=host if isinstance(host, str) else "",
        start_t=float(start_t) if isinstance(start_t, int | float) else None,
        boot_id=boot if isinstance(boot, str) else "",
        argv=tuple(map(str, argv)) if isinstance(argv, list) else (),
        versions=versions if isinstance(versions, dict) else {},
        is_here=host in ("", None, platform.node()),
    )


def folder_bytes(folder: Path) -> tuple[int, int]:
    """Bytes and number of all files below a folder; what cannot be read counts as nothing. Links are not followed."""
    num_bytes = num_files = 0
    for entry in _files(folder):
        try:
            num_bytes += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
        num_files += 1
    return num_bytes, num_files


def look_at_folder(run: RunDir) -> FolderFacts:
    """The run folder as it is now."""
    if not run.path.is_dir():
        return FolderFacts(is_gone=True, is_writable=False)
    num_bytes, num_files = folder_bytes(run.path)
    return FolderFacts(
        checkpoints=tuple(_checkpoints(run)),
        clips=tuple(_clips(run)),
        export=_export(run),
        size_bytes=num_bytes,
        num_files=num_files,
        owner=owner_of(run.path),
        is_writable=is_writable(run),
        disk_free_bytes=disk_free_bytes(run.path),
    )


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        yield entry
        except OSError:
            continue  # removed while looked at, or not ours to read


def _checkpoints(run: RunDir) -> Iterator[CheckpointFact]:
    try:
        folders = run.checkpoints()
    except OSError:
        return
    for folder in folders:
        try:
            t = folder.stat().st_mtime
        except OSError:
            continue
        yield CheckpointFact(
            step=checkpoint_step(folder),
            path=folder,
            bytes=folder_bytes(folder)[0],
            is_whole=(folder / GUARD_FILE).exists(),
            is_rolling=folder.name.endswith("-rolling"),
            t=t,
            is_kept=(folder / KEEP_FILE).exists(),
        )


def _clips(run: RunDir) -> list[FileFact]:
    clips = [fact for fact in _facts(run.validation) if fact.path.suffix in _CLIP_SUFFIXES]
    return sorted(clips, key=lambda fact: (fact.t, fact.path.name))


def _export(run: RunDir) -> FileFact | None:
    """The shareable file; a full fine-tune's is a folder in the model's own layout; else the adapter in resume form."""
    shareable = _adapter_in(run.export)
    if shareable is not None:
        return shareable
    try:
        if run.export.is_dir() and any(run.export.iterdir()):
            return FileFact(run.export, folder_bytes(run.export)[0], run.export.stat().st_mtime)
    except OSError:
        return None
    return _adapter_in(run.path)


def _adapter_in(folder: Path) -> FileFact | None:
    return next((fact for fact in _facts(folder) if fact.path.name == ADAPTER_FILE), None)


def _facts(folder: Path) -> list[FileFact]:
    facts = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False):
                    facts.append(FileFact(Path(entry.path), status.st_size, status.st_mtime))
    except OSError:
        return facts
    return facts


def owner_of(folder: Path) -> str:
    """The user who owns a folder; empty when that is not known."""
    try:
        return folder.owner()
    except (OSError, KeyError, NotImplementedError):
        return ""


def is_writable(run: RunDir) -> bool:
    """Whether a command could be put into the control folder, by permissions alone: nothing is written."""
    folder = run.control if run.control.is_dir() else run.path
    return os.access(folder, os.W_OK | os.X_OK)
