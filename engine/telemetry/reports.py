"""``report_to``: the numbers of a run for TensorBoard, or as a table and a page of our own (config-formats.md 1.2).

Reports listen to the run's events. They never stop it: one that fails is said once and left out from then on.
"""

from __future__ import annotations

import dataclasses
import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from engine.contract.config import Config
from engine.contract.event_base import Event
from engine.contract.events import CheckpointSaved, Hardware, RunEnded, RunWarning, Step, ValidationLoss
from engine.contract.prompt_library import file_name_of
from engine.contract.run_dir import RunDir
from engine.contract.trackers import is_installed, known_trackers
from engine.telemetry.emitter import Emitter
from engine.telemetry.report_page import render_page

PAGE_EVERY_S = 60.0

Numbers = dict[str, float]


class Report(Protocol):
    """Where numbers go."""

    def log(self, step: int, numbers: Numbers) -> None:
        """Take the numbers of a step."""

    def flush(self) -> None:
        """Make what was logged readable for others."""

    def close(self) -> None:
        """The run ends."""


class TensorboardReport:
    """Scalars for TensorBoard; a run that goes on hides what was logged beyond its checkpoint."""

    def __init__(self, folder: Path, *, from_step: int) -> None:
        # Takes seconds, and needs the extra: only who asks for it pays.
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=from_step + 1 if from_step else None)

    def log(self, step: int, numbers: Numbers) -> None:
        """Take the numbers of a step."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write what is waiting."""
        self._writer.flush()

    def close(self) -> None:
        """Write and close."""
        self._writer.close()


class LocalReport:
    """One JSON line a step in ``NAME.jsonl``, and ``NAME.html``: a page with the curves that needs nothing else."""

    def __init__(self, folder: Path, name: str, *, title: str, from_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._table, self._page = folder / f"{name}.jsonl", folder / f"{name}.html"
        self._title = title
        self._rows = [row for row in _rows_of(self._table) if row["step"] <= from_step]
        # Lines of another course of the run (beyond the checkpoint it goes on from) are dropped.
        self._table.write_text("".join(map(_line, self._rows)), encoding="utf-8")
        self._lock = threading.Lock()
        self._drawn = time.monotonic()

    def log(self, step: int, numbers: Numbers) -> None:
        """Append a line; draw the page anew when it is old."""
        row = {"step": step, **numbers}
        with self._lock:
            self._rows.append(row)
            with self._table.open("a", encoding="utf-8") as file:
                file.write(_line(row))
        if time.monotonic() - self._drawn >= PAGE_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Draw the page."""
        with self._lock:
            self._page.write_text(render_page(self._title, self._rows), encoding="utf-8")
            self._drawn = time.monotonic()

    def close(self) -> None:
        """Draw the page for the last time."""
        self.flush()


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


def _rows_of(table: Path) -> list[dict[str, Any]]:
    if not table.is_file():
        return []
    rows = []
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the torn last line of a killed run
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


class Reports:
    """Hands the numbers of events on to the reports; one that fails is said and dropped."""

    def __init__(self, emitter: Emitter, reports: Sequence[tuple[str, Report]]) -> None:
        self._emitter = emitter
        self._reports = list(reports)

    def on_event(self, event: Event) -> None:
        """Take an event of the run."""
        if not self._reports:
            return
        numbers = numbers_of(event)
        step = event.step if isinstance(event, Step | ValidationLoss) else self._emitter.last_step
        if numbers:
            self._each(lambda report: report.log(step, numbers))
        if isinstance(event, CheckpointSaved):
            self._each(lambda report: report.flush())
        elif isinstance(event, RunEnded):
            self.close()

    def close(self) -> None:
        """End every report."""
        self._each(lambda report: report.close())
        self._reports = []

    def _each(self, action: Callable[[Report], None]) -> None:
        for name, report in list(self._reports):
            try:
                action(report)
            except Exception as error:  # whatever a tracker raises: training is worth more
                self._reports.remove((name, report))
                self._emitter.emit(_gave_up(name, error))


def _gave_up(name: str, error: Exception) -> RunWarning:
    return RunWarning(code="report_failed", message=f"report_to: {name} failed and is left out from now on: {error}")


def numbers_of(event: Event) -> Numbers:
    """The numbers of an event under the names they have in reports; empty when it has none worth a curve."""
    if isinstance(event, Step):
        return _group("train", event, left_out=("step", "total", "eta_s"))
    if isinstance(event, ValidationLoss):
        return _group("validation", event, left_out=("step", "num_songs"))
    if isinstance(event, Hardware):
        return _group("hardware", event, left_out=())
    return {}


def _group(group: str, event: Event, *, left_out: Sequence[str]) -> Numbers:
    fields = ((entry.name, getattr(event, entry.name)) for entry in dataclasses.fields(event))
    return {f"{group}/{name}": float(value) for name, value in fields if name not in left_out and _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def open_reports(config: Config, run_dir: RunDir, emitter: Emitter, *, from_step: int) -> Reports:
    """Open what ``report_to`` names; what cannot be opened is said and left out.

    Args:
        config: ``report_to``, ``logging_dir``, ``tracker_project_name``, ``tracker_run_name``.
        run_dir: ``logging_dir`` is inside it, unless it is a whole path.
        emitter: The reports listen to it from now on.
        from_step: The step that the run goes on from; 0 for a fresh start.
    """
    names, others = known_trackers(config.report_to)
    if others:
        message = f"report_to: {', '.join(others)} is not available here; the run goes on without"
        emitter.emit(RunWarning(code="unknown_tracker", message=message))
    project, run_name = (file_name_of(config[key].replace("{name}", run_dir.name)) for key in _NAME_KEYS)
    logs = run_dir.path / config.logging_dir
    opened: list[tuple[str, Report]] = []
    for name in names:
        try:
            if not is_installed(name):
                raise ImportError(f"it is not installed; install it with: pip install acestep-tui[{name}]")
            if name == "tensorboard":
                opened.append((name, TensorboardReport(logs / project / run_name, from_step=from_step)))
            else:
                title = f"{project}: {run_name}"
                opened.append((name, LocalReport(logs, run_name, title=title, from_step=from_step)))
        except Exception as error:  # whatever a tracker raises: training is worth more
            emitter.emit(_gave_up(name, error))
    reports = Reports(emitter, opened)
    if opened:
        emitter.listen(reports.on_event)
    return reports


_NAME_KEYS = ("tracker_project_name", "tracker_run_name")
