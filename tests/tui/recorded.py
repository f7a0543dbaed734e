"""Run folders made from the recordings of real demo runs, whole or up to a chosen event, alive or not."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from acestep_tui.runs.registry import remember
from engine.contract.event_base import Event
from engine.contract.event_lines import encode
from engine.contract.run_dir import ADAPTER_FILE, GUARD_FILE, RunDir
from tests.tui.record import HOME, PID, RECORDINGS

Until = Callable[[dict[str, Any]], bool]


def recorded_run(home: Path, scenario: str, *, name: str = "", until: Until | None = None, host: str = "") -> RunDir:
    """A run folder under ``home`` as the recorded run left it.

    Args:
        home: Stands for the user's home in all paths.
        scenario: A folder of tests/tui/recordings.
        name: The run's name; the recorded one when empty.
        until: The last event that is there is the first for which this holds; all of them when None.
        host: Whose run it is; the machine's own name makes it judged by its lock.
    """
    source = RECORDINGS / scenario
    run = RunDir(home / "acestep" / "runs" / (name or f"demo-{scenario}"))
    run.path.mkdir(parents=True)
    for file in source.iterdir():
        text = file.read_text(encoding="utf-8").replace(HOME, str(home))
        text = text.replace(f"demo-{scenario}", run.name)
        if file.suffix == ".txt":
            _save_point(run.path / file.stem)
        elif file.name == "events.jsonl":
            lines = list(_up_to(text.splitlines(), until))
            run.events_jsonl.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            (run.path / file.name).write_text(text, encoding="utf-8")
    if host:
        card = json.loads(run.worker_json.read_text(encoding="utf-8"))
        run.worker_json.write_text(json.dumps({**card, "host": host}), encoding="utf-8")
    run.lock.touch()
    if '"kind":"adapter_exported"' in run.events_jsonl.read_text(encoding="utf-8"):
        run.export.mkdir(parents=True)
        (run.export / ADAPTER_FILE).write_bytes(_tiny_tensor_file())
        (run.path / ADAPTER_FILE).write_bytes(_tiny_tensor_file())
    remember(run)
    return run


def _up_to(lines: list[str], until: Until | None) -> Iterator[str]:
    for line in lines:
        yield line
        if until is not None and until(json.loads(line)):
            return


def step(number: int) -> Until:
    """Up to this step."""
    return lambda event: event["kind"] == "step" and event["step"] == number


def phase(name: str) -> Until:
    """Up to the end of a phase."""
    return lambda event: event["kind"] == "phase_ended" and event["phase"] == name


def kind(name: str, number: int = 1) -> Until:
    """Up to the so-many-th event of a kind."""
    seen = 0

    def reached(event: dict[str, Any]) -> bool:
        nonlocal seen
        seen += event["kind"] == name
        return seen >= number

    return reached


def _save_point(folder: Path) -> None:
    """A save point as far as a viewer without its hashes can see one."""
    folder.mkdir(parents=True)
    (folder / ADAPTER_FILE).write_bytes(_tiny_tensor_file())
    (folder / GUARD_FILE).write_text("", encoding="utf-8")


def _tiny_tensor_file() -> bytes:
    header = b"{}      "
    return struct.pack("<Q", len(header)) + header


@contextlib.contextmanager
def alive(run: RunDir) -> Iterator[None]:
    """Hold the run's lock, as its worker would."""
    with run.lock.open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say_more(run: RunDir, t: float, *said: Event) -> None:
    """Let the run's worker have said more, at a time."""
    first_seq = len(run.events_jsonl.read_text(encoding="utf-8").splitlines())
    with run.events_jsonl.open("a", encoding="utf-8") as file:
        file.writelines(encode(event, seq=seq, t=t) for seq, event in enumerate(said, start=first_seq))


def last_time(run: RunDir) -> float:
    """Seconds of the last event."""
    return float(json.loads(run.events_jsonl.read_text(encoding="utf-8").splitlines()[-1])["t"])


def rename(run: RunDir, name: str) -> RunDir:
    """The same run under another name."""
    target = run.path.with_name(name)
    shutil.move(run.path, target)
    for file in (target / "events.jsonl", target / "config.json"):
        file.write_text(re.sub(re.escape(run.name), name, file.read_text(encoding="utf-8")), encoding="utf-8")
    return RunDir(target)


__all__ = ["PID", "alive", "kind", "last_time", "phase", "recorded_run", "rename", "say_more", "step"]
