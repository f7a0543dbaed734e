"""The whole product as a user starts it: `python -m acestep_tui` with the real worker, in folders of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.contract.run_dir import RunDir
from tests.worker import forked
from tests.worker.front_end import ROOT, Done, is_alive

# A real worker imports torch before its first word; two of them may share one core.
END_S = 120.0


@dataclass
class Desk:
    """A working directory, a cache and a state folder, and the processes started there: forked off, or ``is_real``."""

    cwd: Path
    cache: Path
    state: Path
    is_real: bool = False
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """The environment of a clean shell: nothing of the developer's own folders or variables."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SIMPLETUNER", "CONFIG_PATH"))}
        kept.pop("ENV", None)
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.state / "home"),
            "XDG_CACHE_HOME": str(self.cache),
            "XDG_STATE_HOME": str(self.state),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONUTF8": "1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the front end in the working directory."""
        process: subprocess.Popen[str] = (subprocess.Popen if self.is_real else forked.popen)(
            [sys.executable, "-m", "acestep_tui", *arguments],
            cwd=self.cwd,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.processes.append(process)
        return process

    def call(self, *arguments: str) -> Done:
        """Start the front end and wait for its end."""
        return end_of(self.start(*arguments))

    def clear_up(self) -> None:
        """End what a failed test left running: front ends, and workers in the run folders below."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
        for facts in self.cwd.glob("**/worker.json"):
            pid = json.loads(facts.read_text(encoding="utf-8"))["pid"]
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def end_of(process: subprocess.Popen[str]) -> Done:
    """Wait for a front end's end."""
    out, err = process.communicate(timeout=END_S)
    return Done(process.returncode, out, err)


def events(run: RunDir, *kinds: str) -> list[dict[str, Any]]:
    """The whole lines of a run's events, of all kinds or of some; none while there is no file."""
    if not run.events_jsonl.exists():
        return []
    whole = run.events_jsonl.read_text(encoding="utf-8").rpartition("\n")[0]
    lines = [json.loads(line) for line in whole.splitlines()]
    return [line for line in lines if not kinds or line["kind"] in kinds]


def steps(run: RunDir) -> Sequence[int]:
    """The steps taken, over all starts, in order."""
    return [event["step"] for event in events(run, "step")]
