"""Recordings of real demo runs for the pictures of the screens: `python -m tests.tui.record`.

Each scenario trains the demo for real and keeps what the run folder then holds of text: events, configuration, origins,
the worker's card. Edited are only names (host, user, folder, process id) and times (moved to one fixed start). Renew
them when events change; the pictures of the screens change with them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.contract.control import send
from engine.contract.run_dir import RunDir

RECORDINGS = Path(__file__).parent / "recordings"
KEPT = ("events.jsonl", "config.json", "origins.json", "worker.json")
FIRST_T = 1795355400.0  # 2026-11-22 13:50:00 UTC
HOST, PID, HOME = "studio-pod", 48213, "/home/mara"


@dataclass(frozen=True)
class Scenario:
    """A run to record: what it is called, its extra settings, and what happens to it on the way."""

    name: str
    overrides: tuple[str, ...] = ()
    meanwhile: Callable[[Path, subprocess.Popen[bytes]], None] | None = None


def _when(run: Path, text: str, *, timeout_s: float = 180.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        path = run / "events.jsonl"
        if path.exists() and text in path.read_text(encoding="utf-8"):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{text} never came in {run}")


def _stop(run: Path, program: subprocess.Popen[bytes]) -> None:
    _when(run, '"kind":"step","step":75,')
    program.send_signal(signal.SIGINT)


def _kill(run: Path, program: subprocess.Popen[bytes]) -> None:
    _when(run, '"kind":"step","step":90,')
    facts = json.loads((run / "worker.json").read_text(encoding="utf-8"))
    os.kill(facts["pid"], signal.SIGKILL)
    program.wait()


def _pause(run: Path, program: subprocess.Popen[bytes]) -> None:
    """Stand still for a while, then go on to the end."""
    _when(run, '"kind":"step","step":70,')
    send(RunDir(run).control, "pause")
    _when(run, '"kind":"paused"')
    time.sleep(5.0)
    send(RunDir(run).control, "resume")
    program.wait()


def _fill_the_disk(run: Path, program: subprocess.Popen[bytes]) -> None:
    """Put a file where the next save point wants its folder."""
    _when(run, '"kind":"step","step":62,')
    (run / "checkpoint-120-tmp").write_text("in the way", encoding="utf-8")
    (run / "checkpoint-120").write_text("in the way", encoding="utf-8")


SCENARIOS = (
    Scenario("finished"),
    Scenario("stopped", meanwhile=_stop),
    Scenario("paused", meanwhile=_pause),
    Scenario("crashed", meanwhile=_kill),
    Scenario("failed", meanwhile=_fill_the_disk),
    Scenario("rank-4", ("--lora_rank=4", "--learning_rate=0.001")),
)


def record(scenario: Scenario, into: Path) -> Path:
    """Run one scenario and keep its texts; returns the folder."""
    with tempfile.TemporaryDirectory(prefix="acestep-record-") as name:
        place = Path(name)
        run = place / "runs" / f"demo-{scenario.name}"
        environment = {
            **os.environ,
            **{f"XDG_{kind}_HOME": str(place / kind.lower()) for kind in ("STATE", "CONFIG", "DATA")},
            "ACESTEP_CACHE": str(Path(tempfile.gettempdir()) / "acestep-record-cache"),
        }
        command = [sys.executable, "-m", "acestep_tui", "--quiet", "--run", "demo", f"--output_dir={run}"]
        program = subprocess.Popen([*command, *scenario.overrides], env=environment, cwd=place)
        if scenario.meanwhile is not None:
            scenario.meanwhile(run, program)
        program.wait()
        target = into / scenario.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for kept in KEPT:
            (target / kept).write_text(edited(run, kept, place), encoding="utf-8")
        for checkpoint in sorted(run.glob("checkpoint-*")):
            if (checkpoint / ".guard").exists():
                (target / f"{checkpoint.name}.txt").write_text("a whole save point stood here\n", encoding="utf-8")
        return target


def edited(run: Path, name: str, place: Path) -> str:
    """One file's text with other names and times."""
    facts = json.loads((run / "worker.json").read_text(encoding="utf-8"))
    text = (run / name).read_text(encoding="utf-8")
    first = json.loads((run / "events.jsonl").read_text(encoding="utf-8").splitlines()[0])["t"]
    for old, new in (
        (str(run), f"{HOME}/acestep/runs/{run.name}"),
        (str(place), HOME),
        (str(Path(tempfile.gettempdir()) / "acestep-record-cache"), f"{HOME}/.cache/acestep-tui"),
        (sys.executable, f"{HOME}/.venv/bin/python"),
        (f'"{facts["host"]}"', f'"{HOST}"'),
    ):
        text = text.replace(old, new)
    text = re.sub(rf'("(?:pid|pgid)": ?){facts["pid"]}\b', rf"\g<1>{PID}", text)
    text = re.sub(r'("(?:t|start_time)": ?)(\d+\.\d+)', lambda m: f"{m[1]}{float(m[2]) - first + FIRST_T:.3f}", text)
    if name == "worker.json":
        card = json.loads(text)
        card.update(boot_id="recorded", argv=["train", f"{HOME}/acestep/runs/{run.name}"])
        text = json.dumps(card, indent=2) + "\n"
    return text


def main() -> None:
    """Record what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios; all when none is given")
    wanted = parser.parse_args().names
    for scenario in SCENARIOS:
        if not wanted or scenario.name in wanted:
            print(record(scenario, RECORDINGS))


if __name__ == "__main__":
    main()
