"""The download of a model, seen from the set-up: a detached task that is started, watched, stopped and found again.

The task's folder is named after what is downloaded, so whoever opens the set-up later, on any terminal, finds it.
Everything here touches the disk: it belongs into a thread.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from acestep_tui.paths import state_dir
from acestep_tui.runs import launch
from acestep_tui.runs.liveness import SILENT_LIMIT_S, is_locked
from acestep_tui.runs.tail import EventTail
from engine.contract import control
from engine.contract.errors import DiskError
from engine.contract.event_lines import Record
from engine.contract.events import DownloadProgress, RunEnded, RunStarted, RunWarning
from engine.contract.files import write_json
from engine.contract.run_dir import RunDir
from engine.hardware.models import ModelStatus, PartState, PartStatus

FETCH_COMMAND: tuple[str, ...] = (sys.executable, "-m", "engine", "fetch")

# never: nothing was ever started. cut_off: the task died without a word (killed, a restarted computer).
State = Literal["never", "running", "finished", "stopped", "failed", "cut_off"]
_ENDINGS: dict[str, State] = {"finished": "finished", "stopped": "stopped"}
_MAX_NAME = 60


@dataclass(frozen=True, slots=True)
class Order:
    """What to download: a hub id, its branch, tag or commit, and the hub client's cache where it is not its usual.

    A model for musical features also needs the word that its licence is accepted (`acestep_tui.consent`).
    """

    model: str
    revision: str | None = None
    cache_dir: Path | None = None
    accept_non_commercial: bool = False

    @property
    def folder(self) -> Path:
        """The task's folder; two orders have one only if they are the same."""
        where = "" if self.cache_dir is None else str(self.cache_dir)
        whole = "\n".join((self.model, self.revision or "", where))
        name = re.sub(r"[^\w.-]+", "--", self.model).strip("-.")[:_MAX_NAME]
        return downloads_folder() / f"{name}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a task at one moment.

    Attributes:
        state: What it does, or how it ended.
        progress: How far it last said to be.
        message: Of a failed task why; of a running one what it last warned of, until it moves on.
        hint: Of a failed task what to do.
    """

    state: State = "never"
    progress: DownloadProgress | None = None
    message: str = ""
    hint: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it is under way."""
        return self.state == "running"

    @property
    def seconds_left(self) -> float | None:
        """Until everything is here, at the pace of the last seconds; None where that is not known."""
        progress = self.progress
        if progress is None or not progress.bytes_per_s:
            return None
        return max(progress.total_bytes - progress.done_bytes, 0) / progress.bytes_per_s


def offline_variable() -> str:
    """The variable that keeps the hub client from downloading, in the client's own order; empty while none does."""
    name = next((one for one in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(one)), "")
    return name if name and os.environ[name].upper() in ("1", "ON", "YES", "TRUE") else ""


def downloads_folder() -> Path:
    """Where the tasks' folders are. Not made here."""
    return state_dir() / "downloads"


class DownloadTask:
    """The task of an order, whoever started it.

    Args:
        order: What to download.
        command: How it is started; the task's folder follows.
    """

    def __init__(self, order: Order, *, command: Sequence[str] = FETCH_COMMAND) -> None:
        self.order = order
        self.run = RunDir(order.folder)
        self._command = command
        self._tail = EventTail(self.run.events_jsonl)
        self._child: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        self._seen = Seen()
        self._ended: RunEnded | None = None
        self._last_t: float | None = None

    def look(self) -> Seen:
        """What is known now.

        Raises:
            OSError: Its events are there and cannot be read.
        """
        # The lock first: a task that ends between the two looks has written its last event by the second.
        locked = is_locked(self.run.lock)
        has_child = self._child is not None and self._child.poll() is None
        for line in self._tail.poll():
            self._take(line.record)
        if locked or has_child or (locked is None and self._spoke_lately()):
            return replace(self._seen, state="running")
        if self._ended is not None:
            state = _ENDINGS.get(self._ended.outcome, "failed")
            return replace(self._seen, state=state, message=self._ended.error, hint=self._ended.hint)
        if self._child is not None and self._child.returncode:
            said = launch.log_tail(self.run, since_bytes=self._log_from, num_lines=1)
            how = said[0] if said else f"the download ended with code {self._child.returncode}"
            return replace(self._seen, state="failed", message=how, hint=f"Its log is {self.run.worker_log}.")
        return replace(self._seen, state="never" if self._last_t is None else "cut_off")

    def _take(self, record: Record) -> None:
        self._last_t = record.t
        event = record.event
        if isinstance(event, RunStarted):
            self._ended = None
            self._seen = replace(self._seen, message="")
        elif isinstance(event, DownloadProgress):
            has_moved = self._seen.progress is None or event.done_bytes > self._seen.progress.done_bytes
            self._seen = Seen(progress=event, message="" if has_moved else self._seen.message)
        elif isinstance(event, RunWarning):
            self._seen = replace(self._seen, message=event.message)
        elif isinstance(event, RunEnded):
            self._ended = event

    def _spoke_lately(self) -> bool:
        """Where locks do not work, the last word decides."""
        return self._ended is None and self._last_t is not None and time.time() - self._last_t < SILENT_LIMIT_S

    def start(self, *, prefix: Sequence[str] = ()) -> None:
        """Start it, unless it is under way; what is here already is not fetched again.

        Args:
            prefix: What its command line must begin with to outlive the session.

        Raises:
            DiskError: Its folder cannot be written.
            OSError: The program cannot be started.
        """
        if self.look().is_running:
            return
        launch.make_writable(self.run.path)
        where = None if self.order.cache_dir is None else str(self.order.cache_dir)
        order: dict[str, object] = {
            "model": self.order.model,
            "revision": self.order.revision,
            "cache_dir": where,
        }
        if self.order.accept_non_commercial:
            order["accept_non_commercial"] = True
        write_json(self.run.config_json, order, action="starting the download")
        for command in control.pending(self.run.control):
            command.path.unlink(missing_ok=True)  # a stop that came too late for the last one
        self._log_from = self.run.worker_log.stat().st_size if self.run.worker_log.exists() else 0
        self._ended = None
        self._child = launch.start_worker(self.run, command=[*prefix, *self._command])

    def stop(self) -> None:
        """Ask it to stop; what arrived stays and is gone on from.

        Raises:
            DiskError: Its folder cannot be written.
        """
        try:
            control.send(self.run.control, "stop_now")
        except OSError as error:
            raise DiskError(f"The download cannot be asked to stop: {error.strerror or error}") from error


def with_progress(status: ModelStatus, seen: Seen) -> ModelStatus:
    """What is here of a model, with what its download says: sizes that only the hub knows, and bytes on their way.

    Args:
        status: As found on the disk.
        seen: Its download; that of one which ended gives the sizes, and bytes only as far as they are still there.
    """
    progress = seen.progress
    if progress is None or status.kind != "hub" or status.is_whole:
        return status
    is_true = seen.is_running or progress.done_bytes <= status.bytes
    parts = tuple(_part(part, progress.parts.get(part.name), is_true=is_true) for part in status.parts)
    if not is_true:
        return replace(status, parts=parts)
    # The bytes of broken-off files are in the parts now.
    return replace(status, parts=parts, partial_bytes=0)


def _part(part: PartStatus, told: Sequence[int] | None, *, is_true: bool) -> PartStatus:
    if told is None or len(told) != 2 or not all(isinstance(number, int) for number in told) or part.state == "whole":
        return part
    done, total = told
    if not is_true:
        return replace(part, total_bytes=total)
    state: PartState = "whole" if total and done >= total else "incomplete" if done else "missing"
    return PartStatus(part.name, state, done, total)
