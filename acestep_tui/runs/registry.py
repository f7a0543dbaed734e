"""The runs this user has: those started, remembered in the XDG state folder, and all that lie in the runs folder.

One small file a run: two front ends that start at the same moment never overwrite each other's entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from pathlib import Path

from acestep_tui.paths import absolute, shown, state_dir
from acestep_tui.settings import load_settings
from engine.contract.errors import ConfigError, UserError
from engine.contract.files import write_atomic, write_json
from engine.contract.run_dir import RunDir, short_name


def entry_path(run: RunDir) -> Path:
    """The file that remembers one run; its name is a digest, since a run's path may be longer than a file name."""
    digest = hashlib.sha256(str(run.path).encode()).hexdigest()[:24]
    return state_dir() / "runs" / f"{digest}.json"


def remember(run: RunDir) -> str:
    """Record that this folder is a run of ours; returns why it could not be recorded, or an empty string.

    A state folder that cannot be written costs the listing, not the run.
    """
    try:
        write_json(entry_path(run), {"path": str(run.path), "started": time.time()}, action="remembering the run")
    except (UserError, OSError) as error:
        reason = error.message if isinstance(error, UserError) else f"{error.filename}: {error.strerror}"
        return f"This run will be missing from `acestep-tui runs`: {reason}"
    return ""


def forget(run: RunDir) -> None:
    """Take a run off the list; its folder is not touched. Harmless when it is not on it, or the list is not ours."""
    for path in (entry_path(run), _seen_path(run)):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def note_seen(run: RunDir, t: float) -> None:
    """Record that somebody looked at the run until ``t``: who comes back is told how long they were away."""
    with contextlib.suppress(UserError, OSError):
        write_atomic(_seen_path(run), f"{t:.1f}".encode())


def last_seen(run: RunDir) -> float | None:
    """When somebody last looked at the run; None when that is not known."""
    try:
        return float(_seen_path(run).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _seen_path(run: RunDir) -> Path:
    return entry_path(run).with_suffix(".seen")


def known_runs() -> list[RunDir]:
    """All runs whose folder is there: those remembered, the last started first, then what else lies in the runs folder.

    One look into that folder, but on a slow disk that takes its time: for threads and commands, not for a screen's own.
    """
    runs: dict[tuple[int, int], RunDir] = {}
    for run in [*_remembered(), *_lying_about()]:
        with contextlib.suppress(OSError):
            found = run.path.stat()
            # By what it is, not by its path: a link leads to the same folder.
            if stat.S_ISDIR(found.st_mode):
                runs.setdefault((found.st_dev, found.st_ino), run)
    return list(runs.values())


def _remembered() -> list[RunDir]:
    """What was started here, the last one first; some may be gone."""
    found: list[tuple[float, RunDir]] = []
    folder = state_dir() / "runs"
    for entry in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            data = json.loads(entry.read_text(encoding="utf-8"))
            path, started = Path(data["path"]), float(data["started"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # an entry written by hand or by another version; the run itself is untouched
        found.append((started, RunDir(path)))
    return [run for _, run in sorted(found, key=lambda item: item[0], reverse=True)]


def _lying_about() -> list[RunDir]:
    """Run folders directly in the runs folder (copied ones, those of another computer), the last written first."""
    found: list[tuple[float, RunDir]] = []
    with contextlib.suppress(OSError), os.scandir(absolute(load_settings()["runs_folder"])) as entries:
        for entry in entries:
            written_t = _written(RunDir(Path(entry.path)))
            if written_t is not None:
                found.append((written_t, RunDir(Path(entry.path))))
    return [run for _, run in sorted(found, key=lambda item: item[0], reverse=True)]


def _written(run: RunDir) -> float | None:
    """When a run last said something; None for what is no run. One that may not be looked into counts as a run."""
    for path in (run.events_jsonl, run.origins_json):
        try:
            return path.stat().st_mtime
        except PermissionError:
            return 0.0  # the list says of it that it cannot be read
        except OSError:
            continue
    return None


def find_run(wanted: str | None) -> RunDir:
    """The run meant by a folder, a name with or without its date, or nothing (the one started last).

    Raises:
        ConfigError: There is no such run, or several of that name.
    """
    runs = known_runs()
    if wanted is None:
        if not runs:
            raise ConfigError("No runs yet", hint="Start one: acestep-tui --run demo")
        return runs[0]
    folder = absolute(wanted)
    if is_run_folder(folder):
        return RunDir(folder)
    named = [run for run in runs if run.name == wanted] or [run for run in runs if short_name(run.name) == wanted]
    if len(named) == 1:
        return named[0]
    if named:
        listed = "  ".join(shown(run.path) for run in named)
        raise ConfigError(f"{len(named)} runs are named {wanted}", hint=f"Give the folder of one: {listed}")
    raise ConfigError(f"No run named {wanted}", hint=_nearest(wanted, runs))


def handle(run: RunDir) -> str:
    """What to type to mean this run from any folder: the shortest of its names that no other has, else its path."""
    others = [other.name for other in known_runs() if other.path != run.path]
    short = short_name(run.name)
    if not any(short in (name, short_name(name)) for name in others):
        return short
    return str(run.path) if run.name in others else run.name


def is_run_folder(folder: Path) -> bool:
    """Whether a worker has been started in this folder, or is about to be."""
    run = RunDir(folder)
    return run.events_jsonl.exists() or run.origins_json.exists()


def _nearest(wanted: str, runs: list[RunDir]) -> str:
    import difflib  # 5 ms, only on a mistyped name

    close = difflib.get_close_matches(wanted, [name for run in runs for name in (short_name(run.name), run.name)], n=1)
    if close:
        return f"Did you mean {close[0]}? `acestep-tui runs` lists all."
    return "`acestep-tui runs` lists all; a run folder can be given as a path too."
