"""Is the worker of a run alive? Judged from the run folder alone (design: architecture.md, "The run folder").

On the worker's own host the lock decides, never a process id: ids are reused, a lock dies with its holder. On another
host, or where flock is unsupported (NFS, Lustre), the last event alone is evidence: of life while it is young, of
nothing once it is old.
"""

from __future__ import annotations

import errno
import platform
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from acestep_tui.format import ago
from acestep_tui.runs.state import RunState
from engine.contract.files import read_json
from engine.contract.run_dir import RunDir
from engine.hardware.host import boot_id

# Nine missed heartbeats: where the lock cannot be asked, nobody knows after longer silence whether a worker lives.
SILENT_LIMIT_S = 90.0
# A held lock and no event for this long is shown as silence (screens.md, "State glyphs").
SILENT_SHOWN_S = 60.0


class Life(Enum):
    """What a run's worker is doing, as far as anyone can tell."""

    NEW = "new"  # nothing was ever started here
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    CRASHED = "crashed"
    UNHEARD = "silent"  # no news for long, and nothing here can tell whether its worker lives


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement, with what it rests on."""

    life: Life
    silent_s: float | None = None
    host: str = ""
    by_lock: bool = True
    is_locked: bool = False
    last_t: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether a worker is (as far as can be known) at work."""
        return self.life is Life.RUNNING

    @property
    def is_closing(self) -> bool:
        """Whether the last start has ended but the folder is still held: its worker closes, or the next one begins."""
        return self.is_locked and not self.is_running

    @property
    def note(self) -> str:
        """What the judgement rests on when it is not the lock: ``last news 4 min ago on node17``; else empty."""
        if self.by_lock or self.last_t is None or self.silent_s is None:
            return ""
        news = f"last news {ago(self.last_t, self.last_t + self.silent_s)}"
        return f"{news} on {self.host}" if self.host else news


def is_locked(lock: Path) -> bool | None:
    """Whether a living process holds the lock; None where the file system cannot tell."""
    import fcntl  # not on Windows; there is no worker to judge there either

    try:
        file = lock.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Held by the worker; anything else (ENOLCK, EOPNOTSUPP …) means locks do not work here.
            return True if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
        fcntl.flock(file, fcntl.LOCK_UN)
        return False


def worker_facts(run: RunDir) -> dict[str, object]:
    """What the worker said of itself in worker.json; empty when there is none or it cannot be read."""
    try:
        facts = read_json(run.worker_json)
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def judge(run: RunDir, state: RunState, *, now: float | None = None) -> Verdict:
    """Judge a run whose events are folded into ``state``."""
    now = time.time() if now is None else now
    silent_s = None if state.last_t is None else max(now - state.last_t, 0.0)
    worker = worker_facts(run)
    host = str(worker.get("host", ""))
    locked = is_locked(run.lock) if host in ("", platform.node()) else None
    if locked is None and host == platform.node() and _has_restarted(worker):
        locked = False  # no process lives through a restart, whatever its disk can tell
    life = _life(run, state, locked=locked, silent_s=silent_s)
    return Verdict(
        life,
        silent_s=silent_s,
        host=host,
        by_lock=locked is not None,
        is_locked=bool(locked),
        last_t=state.last_t,
    )


def _has_restarted(worker: dict[str, object]) -> bool:
    """Whether this computer was started again since the worker was, as far as that can be told."""
    then, here = worker.get("boot_id"), boot_id()
    return isinstance(then, str) and bool(then and here) and then != here


def _life(run: RunDir, state: RunState, *, locked: bool | None, silent_s: float | None) -> Life:
    if state.ended is not None:
        return {"finished": Life.FINISHED, "stopped": Life.STOPPED}.get(state.ended.outcome, Life.FAILED)
    if locked or (locked is None and silent_s is not None and silent_s < SILENT_LIMIT_S):
        return Life.RUNNING
    if state.last_t is None and not run.worker_json.exists():
        return Life.NEW
    return Life.CRASHED if locked is False else Life.UNHEARD
