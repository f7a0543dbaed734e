"""The front end as its own process, with the scripted worker behind it; and a place for it to work in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from engine.contract import event_lines
from engine.contract.run_dir import RunDir
from tests.worker import forked

ROOT = Path(__file__).parents[2]
FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
# Only the worker is scripted: everything on the front end's side is the real thing.
PROGRAM = (
    "import sys; from acestep_tui.cli import run_command_line as run;"
    f"sys.exit(run(sys.argv[1:], worker_command=[sys.executable, {str(FAKE_WORKER)!r}]))"
)
WAIT_S = 20.0


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = WAIT_S) -> Any:
    """Poll until the condition is true; the one place where a test waits."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")


@dataclass
class Place:
    """A working directory with a preset and songs, and the processes started in it, forked off unless ``is_real``."""

    cwd: Path
    state: Path
    is_real: bool = False
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def run(self) -> RunDir:
        return RunDir(self.cwd / "output" / "demo")

    def environment(self, **fake: Any) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SIMPLETUNER", "CONFIG_PATH"))},
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(self.state),
            "HOME": str(self.state / "home"),
            "FAKE_WORKER": json.dumps(fake),
            "PYTHONUTF8": "1",
        }

    def start(self, *arguments: str, **fake: Any) -> subprocess.Popen[str]:
        """Start the front end; the keywords say what the worker should do."""
        process: subprocess.Popen[str] = (subprocess.Popen if self.is_real else forked.popen)(
            [sys.executable, "-c", PROGRAM, *arguments],
            cwd=self.cwd,
            env=self.environment(**fake),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.processes.append(process)
        return process

    def call(self, *arguments: str, **fake: Any) -> Done:
        """Start the front end and wait for its end."""
        return finish(self.start(*arguments, **fake))

    def records(self) -> list[event_lines.Record]:
        if not self.run.events_jsonl.exists():
            return []
        text = self.run.events_jsonl.read_text(encoding="utf-8")
        return [event_lines.decode(line) for line in text.splitlines()]

    def kinds(self) -> list[str]:
        return [record.kind for record in self.records()]

    def wait_for_step(self, step: int) -> None:
        wait_for(lambda: any(record.data.get("step", 0) >= step for record in self.records()), f"step {step}")

    def worker_pid(self) -> int:
        wait_for(self.run.worker_json.exists, "worker.json")
        return int(json.loads(self.run.worker_json.read_text())["pid"])


@dataclass
class Done:
    """A front end that has ended."""

    code: int
    out: str
    err: str


def finish(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=WAIT_S)
    return Done(process.returncode, out, err)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    songs = tmp_path / "songs"
    songs.mkdir()
    (songs / "one.wav").write_bytes(b"")
    preset = {"instance_data_dir": "songs", "max_train_steps": 6, "mixed_precision": "no"}
    (tmp_path / "demo.json").write_text(json.dumps(preset))
    place = Place(tmp_path, tmp_path / "state")
    yield place
    for process in place.processes:
        if process.poll() is None:
            process.kill()
            process.communicate()
    for facts in tmp_path.glob("output/*/worker.json"):
        pid = json.loads(facts.read_text())["pid"]
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
