"""Commands to a worker, and what may be done to its process when it does not listen."""

from __future__ import annotations

import os
import platform
import signal

from acestep_tui.runs.liveness import is_locked, worker_facts
from engine.contract import control
from engine.contract.run_dir import RunDir
from engine.hardware.host import boot_id


def send(run: RunDir, kind: str) -> str:
    """Put a command into the run's control folder; works from any host. Returns the command's id.

    Raises:
        DiskError: The run folder cannot be written.
    """
    return control.send(run.control, kind)


def clear(run: RunDir) -> None:
    """Remove commands that no worker took: a stop meant for the last start must not end the next one."""
    for command in control.pending(run.control):
        command.path.unlink(missing_ok=True)


def kill_worker(run: RunDir, *, pid: int | None = None) -> bool:
    """SIGKILL to the worker's process group; returns whether anything was sent.

    Args:
        run: The run folder; while its lock is held on this host since this boot, the process in worker.json is the
            worker.
        pid: The worker as our own child, when it is one; then nothing needs to be proved.
    """
    if pid is None:
        facts = worker_facts(run)
        is_here = facts.get("host") == platform.node() and facts.get("boot_id") in ("", None, boot_id())
        worker_pid = facts.get("pid")
        if not (is_here and is_locked(run.lock) and isinstance(worker_pid, int)):
            return False
        pid = worker_pid
    try:
        group = os.getpgid(pid)
        if group == os.getpgrp():
            os.kill(pid, signal.SIGKILL)  # started with --foreground: the group is ours too
        else:
            os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
