"""What is known about a worker that is gone without a word, or alive and silent. No guess is made here."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from acestep_tui.runs import launch
from acestep_tui.runs.facts import CheckpointCheck, CrashFacts, SilentFacts, WorkerFacts
from acestep_tui.runs.inspect import read_worker
from acestep_tui.runs.kernel_log import find_kill
from acestep_tui.runs.state import RunState
from engine.contract.checkpoint_files import MANIFEST_FILE, check_manifest
from engine.contract.errors import ModelError
from engine.contract.run_dir import GUARD_FILE, RunDir, checkpoint_step
from engine.hardware.host import boot_id

_PROBE_BYTES = 2**20
# A disk that takes longer than this for a megabyte is called stuck; its thread is left to the system.
_PROBE_PATIENCE_S = 15.0
_NUM_LOG_LINES = 12
_SIGKILL = 9


def examine_crash(run: RunDir, state: RunState, *, kernel_log: Sequence[str] | None = None) -> CrashFacts:
    """Look at what a dead worker left; its save points are only listed (`with_checks` reads them).

    Args:
        run: The run folder.
        state: Its events, folded.
        kernel_log: The kernel's log, where the caller has it; else it is read.
    """
    worker = read_worker(run)
    pid = worker.pid if worker.pid is not None else state.started.pid if state.started is not None else None
    died_t = state.last_t
    kernel, is_readable = None, False
    if worker.is_here and pid is not None and died_t is not None:
        kernel, is_readable = find_kill(pid, died_t=died_t, lines=kernel_log)
    code = launch.exit_code_of(run)
    signal_number = -code if code is not None and code < 0 else _SIGKILL if kernel is not None else None
    whole = [CheckpointCheck(checkpoint_step(folder), folder, None) for folder in _guarded(run)[-1:]]
    lost_steps, lost_s = lost_after(state, whole[0].step if whole else 0)
    reading = state.hardware
    total, free = (reading.ram_total_bytes, reading.ram_free_bytes) if reading is not None else (None, None)
    return CrashFacts(
        died_t=died_t,
        reached=state.step_now,
        total=state.steps_total,
        last_words=state.last_kind,
        was_doing=state.doing(),
        pid=pid,
        ran_s=died_t - state.started_t if died_t is not None and state.started_t is not None else None,
        signal=signal_number,
        exit_code=code if code is not None and code >= 0 else None,
        has_restarted=_has_restarted(worker),
        kernel=kernel,
        is_kernel_log_readable=is_readable,
        ram_total_bytes=total,
        ram_used_bytes=total - free if total is not None and free is not None else None,
        ram_worker_bytes=reading.ram_bytes if reading is not None else None,
        reading_t=state.hardware_t,
        checks=tuple(whole),
        lost_steps=lost_steps,
        lost_s=lost_s,
        log_tail=tuple(launch.log_tail(run, num_lines=_NUM_LOG_LINES)),
        checked_t=time.time(),
    )


def with_checks(
    facts: CrashFacts, run: RunDir, state: RunState, *, should_stop: Callable[[], bool] | None = None
) -> CrashFacts:
    """The same facts after reading the save points: seconds for an adapter, a minute for a whole model."""
    checks = check_save_points(run, should_stop=should_stop)
    safe = next((check for check in checks if check.is_whole is not False), None)
    lost_steps, lost_s = lost_after(state, safe.step if safe is not None else 0)
    return replace(
        facts,
        checks=tuple(checks),
        is_checked=True,
        lost_steps=lost_steps,
        lost_s=lost_s,
        checked_t=time.time(),
    )


def check_save_points(run: RunDir, *, should_stop: Callable[[], bool] | None = None) -> list[CheckpointCheck]:
    """Save points from the newest down to the first whole one, each compared with its manifest."""
    checks: list[CheckpointCheck] = []
    try:
        folders = run.checkpoints()
    except OSError:
        return checks
    for folder in reversed(folders):
        checks.append(check_save_point(folder, should_stop=should_stop))
        if checks[-1].is_whole is not False:
            break
    return checks


def check_save_point(folder: Path, *, should_stop: Callable[[], bool] | None = None) -> CheckpointCheck:
    """One save point compared with its manifest; all of it is read, so it takes as long as its disk needs."""
    step = checkpoint_step(folder)
    if (folder / GUARD_FILE).exists() and not (folder / MANIFEST_FILE).exists():
        return CheckpointCheck(step, folder, None, "it has no list of its files to compare with")
    try:
        check_manifest(folder, should_stop=should_stop)
    except InterruptedError:
        return CheckpointCheck(step, folder, None, "not checked to its end")
    except (ModelError, OSError) as error:
        problem = error.message if isinstance(error, ModelError) else f"{folder}: {error.strerror or error}"
        return CheckpointCheck(step, folder, False, problem.replace(f"{folder}{os.sep}", ""))
    return CheckpointCheck(step, folder, True)


def _guarded(run: RunDir) -> list[Path]:
    try:
        return run.whole_checkpoints()
    except OSError:
        return []


def lost_after(state: RunState, safe_step: int) -> tuple[int | None, float | None]:
    """Steps and seconds of training after a save point: what going on from it takes anew. None = not known."""
    lost_steps = max(state.step_now - safe_step, 0)
    if not lost_steps:
        return 0, 0.0
    saved_t = state.saved_t.get(safe_step)
    if saved_t is not None and state.step_t is not None and state.step_t >= saved_t:
        return lost_steps, state.step_t - saved_t
    pace_s = state.pace_s
    return lost_steps, lost_steps * pace_s if pace_s is not None else None


def examine_silence(run: RunDir, state: RunState, *, may_write: bool) -> SilentFacts:
    """What can be said about a worker that holds its lock and has not spoken for a minute.

    Args:
        run: The run folder.
        state: Its events, folded.
        may_write: Whether the run's disk may be tried with a megabyte (not in a folder of somebody else).
    """
    worker = read_worker(run)
    probe_s, is_stuck = probe_disk(run) if may_write else (None, False)
    phase = state.span or state.phase
    return SilentFacts(
        since_t=state.last_t or 0.0,
        was_doing=state.doing(),
        usual_s=state.usual_s(phase) if phase != "train" else state.pace_s,
        pid=worker.pid if worker.is_here else None,
        probe_s=probe_s,
        is_probe_stuck=is_stuck,
        gpu_percent=state.hardware.gpu_percent if state.hardware is not None else None,
        gpu_t=state.hardware_t,
    )


def probe_disk(run: RunDir, *, patience_s: float = _PROBE_PATIENCE_S) -> tuple[float | None, bool]:
    """Seconds that one megabyte takes to reach the run's disk, and whether it had not arrived when patience ended.

    None when it cannot be written at all.
    """
    path = run.path / f".write-test.{os.getpid()}"
    took: list[float | None] = []

    def write() -> None:
        started = time.monotonic()
        try:
            with path.open("wb") as file:
                file.write(os.urandom(_PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
            took.append(time.monotonic() - started)
        except OSError:
            took.append(None)
        finally:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                took.append(None)

    # A daemon: a disk that never answers must not keep the program from ending.
    thread = threading.Thread(target=write, name="probe-disk", daemon=True)
    thread.start()
    thread.join(patience_s)
    if thread.is_alive() and not took:
        return patience_s, True
    return (took[0] if took else None), False


def _has_restarted(worker: WorkerFacts) -> bool | None:
    """Whether the computer was started again since the worker was; None where that cannot be told."""
    here = boot_id()
    if not (worker.is_here and worker.boot_id and here):
        return None
    return worker.boot_id != here
