"""`make bench-tui`: the screens on this machine, driven through a real pty; one JSON and one Markdown table.

What is promised (issue "The terminal app", "Must hold") stands beside what was measured. The program is started as a
user starts it; a terminal in memory (pyte) sees what arrives. Each figure is a median, where several were taken.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.machine import processor
from engine.contract import event_lines, events
from engine.contract.config import Config
from engine.contract.fields import SETTINGS
from engine.contract.files import write_json
from engine.contract.run_dir import RunDir
from engine.hardware.host import boot_id
from tests.terminal.terminal import Terminal, program

RESULTS = Path(__file__).parent / "results"
SIZES = ((80, 24), (120, 40))
STEADY_S = 10.0


@dataclass(frozen=True)
class Figure:
    """One measurement: what, how much, in which unit, and what is promised."""

    name: str
    value: float
    unit: str
    promised: float
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the promise is kept here."""
        return self.value <= self.promised


def main() -> int:
    """Measure, write, print; exit 1 when a promise is broken."""
    with tempfile.TemporaryDirectory(prefix="acestep-tui-bench-") as name:
        place = Path(name)
        figures = [*home_figures(place), *attach_figures(place), *live_figures(place)]
    facts = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "textual": version("textual"),
    }
    RESULTS.mkdir(exist_ok=True)
    rows = [{**asdict(figure), "holds": figure.holds} for figure in figures]
    (RESULTS / "tui.json").write_text(json.dumps({**facts, "rows": rows}, indent=2) + "\n", encoding="utf-8")
    head = "\n".join(f"- {key}: {value}" for key, value in facts.items())
    (RESULTS / "tui.md").write_text(f"# The screens\n\n{head}\n\n{table(figures)}", encoding="utf-8")
    print((RESULTS / "tui.md").read_text(encoding="utf-8"))
    return 0 if all(figure.holds for figure in figures) else 1


def table(figures: list[Figure]) -> str:
    """The figures as Markdown."""
    lines = ["| what | measured | promised | |", "|---|---|---|---|"]
    for figure in figures:
        sign = "✓" if figure.holds else "✗"
        note = f" ({figure.note})" if figure.note else ""
        lines.append(
            f"| {figure.name}{note} | {figure.value:.3g} {figure.unit} | ≤ {figure.promised:g} {figure.unit} | {sign} |"
        )
    return "\n".join(lines) + "\n"


def environment(place: Path) -> dict[str, str]:
    """A home of its own, and no network."""
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "SSH_CONNECTION", "SSH_TTY")}
    folders = {f"XDG_{name}_HOME": str(place / name.lower()) for name in ("STATE", "CONFIG", "CACHE", "DATA")}
    return {**kept, **folders, "HOME": str(place), "HF_HUB_OFFLINE": "1", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}


@contextmanager
def terminal(place: Path, *arguments: str, size: tuple[int, int]) -> Iterator[Terminal]:
    """The program on a terminal of this size."""
    opened = Terminal(program(*arguments), cwd=place, environment=environment(place), columns=size[0], rows=size[1])
    try:
        yield opened
    finally:
        opened.close()


def home_figures(place: Path) -> list[Figure]:
    """From Enter in the shell to the menu on the screen; which heavy modules that took."""
    found = []
    for size in SIZES:
        times = []
        for _ in range(7):
            started = time.perf_counter()
            with terminal(place, size=size) as shown:
                _wait(lambda shown=shown: "What next?" in shown.text(), timeout_s=20.0)
                times.append(time.perf_counter() - started)
        # The first start compiles bytecode and reads from the disk.
        found.append(Figure("first paint of home", statistics.median(times[1:]), "s", 0.7, f"{size[0]}×{size[1]}"))
    code = (
        "import sys, acestep_tui.app, acestep_tui.screens.home; "
        "print(sum(name in sys.modules for name in ('torch', 'numpy', 'pydantic')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found.append(Figure("torch, numpy, pydantic imported by home", float(done.stdout), "modules", 0))
    return found


def attach_figures(place: Path) -> list[Figure]:
    """Attaching to a run of 200,000 events, and the memory that takes."""
    run = make_run(place / "long", num_steps=200_000)
    times, sizes = [], []
    for _ in range(6):
        started = time.perf_counter()
        with held(run), terminal(place, "attach", str(run.path), size=SIZES[1]) as shown:
            _wait(lambda shown=shown: "200,000 of 250,000" in shown.text(), timeout_s=60.0)
            times.append(time.perf_counter() - started)
            sizes.append(psutil.Process(shown.pid).memory_info().rss / 2**20)
    return [
        Figure("attach to a run of 200,000 events", statistics.median(times[1:]), "s", 2.0, "from the shell"),
        Figure("memory then", statistics.median(sizes), "MB", 150.0),
    ]


def live_figures(place: Path) -> list[Figure]:
    """A chart of 10,000 points while 100 events a second arrive: answers to keys, and bytes to the terminal."""
    found = []
    for size in SIZES:
        run = make_run(place / f"live-{size[0]}", num_steps=10_000)
        alive = writer(run, first_step=10_001, per_second=100.0)
        with alive, terminal(place, "attach", str(run.path), size=size) as shown:
            shown.wait_for("training", "of 250,000", timeout_s=30)
            time.sleep(2.0)
            before, started = shown.num_bytes, time.perf_counter()
            time.sleep(STEADY_S)
            rate = (shown.num_bytes - before) / (time.perf_counter() - started) / 1000
            answers = key_times(shown)
            memory = psutil.Process(shown.pid).memory_info().rss / 2**20
        label = f"{size[0]}×{size[1]}, 10,000 points, 100 events/s"
        found += [Figure(name, statistics.median(times) * 1000, "ms", 100.0, label) for name, times in answers.items()]
        found += [
            Figure("to the terminal in steady state", rate, "kB/s", 20.0, label),
            Figure("memory in steady state", memory, "MB", 150.0, label),
        ]
    return found


def key_times(shown: Terminal, num_rounds: int = 10) -> dict[str, list[float]]:
    """Seconds until the screen shows what a key asked for, by what it asked for."""

    def chart() -> list[str]:
        return shown.lines()[6:16]

    def is_shown(text: str, number: str, name: str) -> bool:
        # A narrow screen shows one panel under its row of names, a wide one all of them, the focused one's rule heavy.
        is_narrow = shown.screen.columns < 100
        return ("Main memory" in text) is (number == "3") if is_narrow else f"{number} {name} ━" in text

    names = ("F1 opens help", "escape closes it", "l changes the scale", "7 and 3 show a panel")
    answers: dict[str, list[float]] = {name: [] for name in names}
    for index in range(num_rounds):
        _timed(answers["F1 opens help"], shown, "f1", lambda: "Keys on this screen" in shown.text())
        _timed(answers["escape closes it"], shown, "escape", lambda: "Keys on this screen" not in shown.text())
        before = chart()
        _timed(answers["l changes the scale"], shown, "l", lambda before=before: chart() != before)
        number, name = ("7", "Log") if index % 2 == 0 else ("3", "Computer")
        _timed(
            answers["7 and 3 show a panel"],
            shown,
            number,
            lambda number=number, name=name: is_shown(shown.text(), number, name),
        )
    return answers


def _timed(times: list[float], shown: Terminal, key: str, reached: Callable[[], bool]) -> None:
    started = time.perf_counter()
    shown.write(key)
    _wait(reached)
    times.append(time.perf_counter() - started)
    time.sleep(0.15)


def _wait(reached: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.perf_counter() + timeout_s
    while not reached():
        if time.perf_counter() > deadline:
            raise AssertionError(f"not seen within {timeout_s:g} s")
        time.sleep(0.005)


def make_run(path: Path, *, num_steps: int) -> RunDir:
    """A run folder with so many steps in its events, as a worker would have written them."""
    run = RunDir(path)
    path.mkdir(parents=True)
    write_json(run.config_json, Config({setting.key: setting.default for setting in SETTINGS}).to_dict())
    now = time.time()
    identity = {"pid": os.getpid(), "host": platform.node(), "boot_id": boot_id(), "start_time": now - num_steps}
    write_json(run.worker_json, identity)
    log = [
        events.RunStarted(
            name=path.name, dir=str(path), version="bench", pid=os.getpid(), host=platform.node(), device="cpu"
        )
    ]
    log += [events.PhaseStarted(phase="train", total=250_000)]
    log += [step_event(step) for step in range(1, num_steps + 1)]
    with run.events_jsonl.open("w", encoding="utf-8") as file:
        for seq, event in enumerate(log):
            file.write(event_lines.encode(event, seq=seq, t=now - num_steps + seq * 0.999))
    run.lock.touch()
    return run


def step_event(step: int) -> events.Step:
    """A plausible step: a loss that falls, with noise."""
    noise = ((step * 7919) % 1000) / 1000 - 0.5
    loss = 0.36 + 0.3 / (1 + step / 2000) + 0.06 * noise
    return events.Step(
        step=step, total=250_000, loss=loss, lr=1e-4, grad_norm=0.3 + 0.1 * noise,
        epoch=step / 22, step_s=1.4, data_s=0.04, audio_s=230.0, eta_s=3600.0, bucket="210.0s", forward_s=0.4,
        backward_s=0.8, optimizer_s=0.1, files=("07 Low Sun.flac",),
    )  # fmt: skip


@contextmanager
def held(run: RunDir) -> Iterator[None]:
    """The run's lock, held as its worker would."""
    import fcntl

    with run.lock.open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def writer(run: RunDir, *, first_step: int, per_second: float) -> Iterator[None]:
    """A worker's stand-in: holds the lock and appends steps, some hardware readings among them."""
    stopped = threading.Event()

    def write() -> None:
        seq = sum(1 for _ in run.events_jsonl.open("rb"))
        step = first_step
        with run.events_jsonl.open("a", encoding="utf-8") as file:
            while not stopped.wait(1 / per_second):
                file.write(event_lines.encode(step_event(step), seq=seq, t=time.time()))
                file.flush()
                step, seq = step + 1, seq + 1

    with held(run):
        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


if __name__ == "__main__":
    sys.exit(main())
