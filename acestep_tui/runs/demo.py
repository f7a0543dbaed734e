"""The demo as a run of its own, started from a screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acestep_tui.runs import launch
from acestep_tui.runs.liveness import judge
from acestep_tui.runs.load import read_state
from acestep_tui.runs.start import StartedRun, start_run
from engine.contract.run_dir import RunDir

PRESET = "demo"


def begin_demo(runs_folder: Path, *, worker_command: Sequence[str] = launch.WORKER_COMMAND) -> StartedRun:
    """Start the demo in a folder that is new, or join it where it is training; call it in a thread.

    Args:
        runs_folder: Where new runs go.
        worker_command: How a worker is started.

    Raises:
        UserError: Nothing was started.
    """
    folder, number = runs_folder / PRESET, 1
    while folder.exists() and not _is_training(folder):
        number += 1
        folder = runs_folder / f"{PRESET}-{number}"
    return start_run(PRESET, [f"--output_dir={folder}"], worker_command=worker_command)


def _is_training(folder: Path) -> bool:
    run = RunDir(folder)
    return judge(run, read_state(run)).is_running
