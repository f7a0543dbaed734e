"""Watching a run folder from a thread: all reading happens here, what was found comes back as plain data.

::

    watcher = RunWatcher(run)
    state = watcher.load()        # in a thread; the screen owns `state` from then on
    update = watcher.poll(state)  # in a thread, several times a second
    state.apply(update)           # in the screen's own thread
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acestep_tui.runs import launch
from acestep_tui.runs.crash import examine_crash, examine_silence, with_checks
from acestep_tui.runs.facts import CrashFacts, FolderFacts, SilentFacts, WorkerFacts
from acestep_tui.runs.inspect import look_at_folder, read_object, read_worker
from acestep_tui.runs.liveness import SILENT_SHOWN_S, Life, Verdict, judge
from acestep_tui.runs.load import load_state
from acestep_tui.runs.state import RunState
from acestep_tui.runs.tail import EventTail
from engine.contract import event_lines, events
from engine.contract.run_dir import RunDir

# A look hands over at most this many events: the owner folds them between two keys.
MAX_RECORDS = 2000
_POLL_BYTES = 2**18
# How often what is not an event is looked at: the lock and worker.json, the folder, the disk of a silent worker.
_JUDGE_S = 1.0
_FOLDER_S = 3.0
_SILENCE_S = 60.0
# Looking through a folder on a slow disk must not become the main thing done there.
_FOLDER_SHARE = 20
_HEAD_BYTES = 256


@dataclass(slots=True)
class Update:
    """What one look found; `RunState.apply` takes it in. None means "as before", except for `crash` and `silent`.

    Attributes:
        t: When it was looked.
        records: New events in order.
        num_unreadable: New lines that could not be read.
        has_more: More events are waiting: look again at once.
        fresh: The folder holds another course now (set aside and started anew): this state replaces the old one.
        crash: What is known of a worker that is gone; None while it is not.
        silent: What is known of a worker that says nothing; None while it does.
        problem: Why the events cannot be read just now; empty when they can.
    """

    t: float = 0.0
    records: list[event_lines.Record] = field(default_factory=list)
    num_unreadable: int = 0
    has_more: bool = False
    fresh: RunState | None = None
    verdict: Verdict | None = None
    config: dict[str, Any] | None = None
    origins: dict[str, Any] | None = None
    worker: WorkerFacts | None = None
    folder_facts: FolderFacts | None = None
    crash: CrashFacts | None = None
    silent: SilentFacts | None = None
    problem: str = ""


class RunWatcher:
    """Looks at one run folder. Used by one thread at a time; never raises for what it finds there.

    Args:
        run: The run folder.
        with_facts: Whether to look at the folder's contents and examine crashes too; a preview needs only the events.
    """

    def __init__(self, run: RunDir, *, with_facts: bool = True) -> None:
        self.run = run
        self.with_facts = with_facts
        self._tail = EventTail(run.events_jsonl)
        self._waiting: list[str] = []
        self._head = b""
        # The two facts that decide whether a run is alive; the state itself belongs to another thread.
        self._last_t: float | None = None
        self._ended: events.RunEnded | None = None
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._judged_at = self._folder_at = self._silence_at = float("-inf")
        self._folder_s = _FOLDER_S
        self._verdict: Verdict | None = None
        self._facts: FolderFacts | None = None
        self._crash: CrashFacts | None = None
        self._silent: SilentFacts | None = None
        self._stops: Callable[[], bool] = _never

    def load(
        self,
        on_progress: Callable[[int, int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> RunState:
        """Everything up to now, folded and looked at. The state then belongs to the caller.

        Args:
            on_progress: Called now and then with the bytes read and the bytes in all.
            should_stop: Asked now and then, also by later looks; True leaves early.
        """
        self._stops = should_stop or _never
        state, update = self._load(on_progress), Update(t=time.time())
        self._look(update)
        state.apply(update)
        state.news.clear()
        return state

    def poll(self, state: RunState) -> Update:
        """What is new since the last look. ``state`` is only read, for what it says about the last event."""
        update = Update(t=time.time())
        if self._is_another_course():
            update.fresh = state = self._load(None)
            self._forget()
        self._read(update)
        if update.records:
            self._forget()  # something was said: what was known of a crash or a silence is over
        self._look(update)
        if self.with_facts and not update.records and not update.has_more and not update.problem:
            self._examine(update, state)
        update.crash, update.silent = self._crash, self._silent
        return update

    def _load(self, on_progress: Callable[[int, int], None] | None) -> RunState:
        self._waiting = []
        self._stamps.clear()
        self._folder_at = float("-inf")
        problem = ""
        try:
            self._head = _head(self.run.events_jsonl)
            state, self._tail = load_state(self.run.events_jsonl, on_progress=on_progress, should_stop=self._stops)
        except OSError as error:
            state, self._tail, problem = RunState(), EventTail(self.run.events_jsonl), _reason(error)
        state.folder = self.run.path
        state.reading_problem = problem
        self._last_t, self._ended = state.last_t, state.ended
        return state

    def _forget(self) -> None:
        self._crash = self._silent = None
        self._judged_at = self._silence_at = float("-inf")

    def _is_another_course(self) -> bool:
        """Whether events.jsonl is not the file that was read so far: cut short, or another one in its place."""
        try:
            head, num_bytes = _head(self.run.events_jsonl), self.run.events_jsonl.stat().st_size
        except OSError:
            return False
        if self._tail.offset and (num_bytes < self._tail.offset or not head.startswith(self._head)):
            return True
        self._head = head
        return False

    def _read(self, update: Update) -> None:
        before = self._tail.num_unreadable
        try:
            if not self._waiting:
                for chunk in self._tail.chunks(_POLL_BYTES):
                    self._waiting.extend(chunk.decode("utf-8", errors="replace").split("\n")[:-1])
                    if len(self._waiting) >= MAX_RECORDS:
                        break
        except OSError as error:
            update.problem = _reason(error)
        taken, self._waiting = self._waiting[:MAX_RECORDS], self._waiting[MAX_RECORDS:]
        for record in map(self._tail.read_line, taken):
            if record is not None:
                update.records.append(record)
                self._last_t = record.t
                if isinstance(record.event, events.RunStarted | events.RunEnded):
                    self._ended = record.event if isinstance(record.event, events.RunEnded) else None
        update.num_unreadable = self._tail.num_unreadable - before
        update.has_more = len(taken) == MAX_RECORDS

    def _look(self, update: Update) -> None:
        """Everything beside the events, each as often as it deserves."""
        try:
            self.run.path.stat()
            self._look_inside(update)
        except (FileNotFoundError, NotADirectoryError):
            # What was last seen stays; only that it is gone is new.
            self._facts = update.folder_facts = replace(self._facts or FolderFacts(), is_gone=True, is_writable=False)
            self._folder_at = float("-inf")
        except OSError as error:
            update.problem = update.problem or f"the run folder cannot be read: {error.strerror or error}"

    def _look_inside(self, update: Update) -> None:
        now = time.monotonic()
        update.config = self._changed(self.run.config_json)
        update.origins = self._changed(self.run.origins_json)
        if now - self._judged_at >= _JUDGE_S:
            self._judged_at = now
            self._judge(update)
        if self.with_facts and now - self._folder_at >= self._folder_s:
            self._facts = update.folder_facts = look_at_folder(self.run)
            self._folder_at = time.monotonic()
            self._folder_s = max(_FOLDER_S, _FOLDER_SHARE * (self._folder_at - now))

    def _judge(self, update: Update) -> None:
        verdict = judge(self.run, RunState(last_t=self._last_t, ended=self._ended), now=update.t)
        if verdict.life in (Life.NEW, Life.UNHEARD) and launch.exit_code_of(self.run) is not None:
            verdict = replace(verdict, life=Life.CRASHED)  # our own child: how it ended is known without any lock
        self._verdict = update.verdict = verdict
        update.worker = read_worker(self.run)

    def _examine(self, update: Update, state: RunState) -> None:
        """Look closer at a worker that is gone or silent: what costs seconds, and only where somebody waits for it."""
        verdict = self._verdict
        if verdict is None or (self._facts is not None and self._facts.is_gone):
            return
        silent_s = 0.0 if self._last_t is None else update.t - self._last_t
        if verdict.life in (Life.CRASHED, Life.UNHEARD):
            self._silent = None
            if self._crash is None:
                self._crash = examine_crash(self.run, state)
            elif not self._crash.is_checked:
                self._crash = with_checks(self._crash, self.run, state, should_stop=self._is_disturbed)
        elif verdict.is_running and silent_s > SILENT_SHOWN_S:
            self._crash = None
            if time.monotonic() - self._silence_at >= _SILENCE_S:
                may_write = self._facts is not None and self._facts.is_writable
                self._silent = examine_silence(self.run, state, may_write=may_write)
                self._silence_at = time.monotonic()
        else:
            self._crash = self._silent = None

    def _is_disturbed(self) -> bool:
        """Whether to leave off reading save points: the program ends, or a new worker has begun to write."""
        try:
            return self._stops() or self.run.events_jsonl.stat().st_size > self._tail.offset
        except OSError:
            return True

    def _changed(self, path: Path) -> dict[str, Any] | None:
        """A JSON object that was written since the last look; None when it was not, or cannot be read."""
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        if self._stamps.get(path) == stamp:
            return None
        found = read_object(path)
        if found is not None:
            self._stamps[path] = stamp
        return found


def _head(path: Path) -> bytes:
    """The first bytes of a file: an events file begins with an event and its time, so no two courses share them."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _reason(error: OSError) -> str:
    return f"events.jsonl cannot be read: {error.strerror or error}"


def _never() -> bool:
    return False
