"""Following a worker to its end: events in, output out, Ctrl-C turned into a stop that saves."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Sequence

from acestep_tui.headless import streams
from acestep_tui.headless.interrupts import Interrupts
from acestep_tui.headless.output import Output, PlainOutput
from acestep_tui.headless.summary import Ending, leaving_lines
from acestep_tui.runs import control
from acestep_tui.runs.launch import LaunchGuard, log_tail
from acestep_tui.runs.liveness import Life, Verdict, is_locked, judge
from acestep_tui.runs.load import count_starts, load_state
from acestep_tui.runs.state import RunState
from acestep_tui.runs.tail import EventTail, Line
from engine.contract import events
from engine.contract.errors import ExitCode, UserError
from engine.contract.run_dir import RunDir

_POLL_S = 0.1
# How often a worker that is not our child is asked for: its lock is looked at, no more.
_LIFE_CHECK_S = 1.0
# After run_ended the worker only closes its files; a library that hangs at exit must not hold the terminal.
_EXIT_WAIT_S = 10.0

STOP_NOTE = "Stopping: the step under way is finished and saved. Ctrl-C once more ends at once, without saving."


class Follower:
    """One front end on one run.

    Args:
        run: The run folder.
        output: Where news go.
        interrupts: Counts Ctrl-C and SIGTERM; entered by the caller.
        worker: The worker, when it is our own child.
        guard: Held until our worker has the folder.
        stops_worker: Whether Ctrl-C stops the training (`--run`) or only leaves (`attach`).
        log_start_bytes: Where this start began in worker.log.
        again: The command line that goes on with this run, for the summary.
    """

    def __init__(
        self,
        run: RunDir,
        output: Output,
        *,
        interrupts: Interrupts,
        worker: subprocess.Popen[bytes] | None = None,
        guard: LaunchGuard | None = None,
        stops_worker: bool = True,
        log_start_bytes: int = 0,
        again: Sequence[str] = (),
    ) -> None:
        self.run = run
        self.output = output
        self.interrupts = interrupts
        self.worker = worker
        self.guard = guard
        self.stops_worker = stops_worker
        self.log_start_bytes = log_start_bytes
        self.again = again
        self.state = RunState()
        self.tail = EventTail(run.events_jsonl)
        self._ended = False
        self._num_answered = 0
        self._life_checked_t = 0.0
        self._verdict: Verdict | None = None

    def read_history(self) -> None:
        """Fold what is already there without showing it: a start of our own shows only its own news."""
        self.state, self.tail = load_state(self.run.events_jsonl)

    def replay_start(self) -> None:
        """Fold what is there and show the newest start from its beginning: for joining a worker at work."""
        num_starts = count_starts(self.run.events_jsonl)
        if isinstance(self.output, PlainOutput):  # a line an event, so each is wanted
            for line in self.tail.poll():
                self.state.fold(line.record)
                self._tell_if_newest(line, num_starts)
            return

        def show(line: Line, state: RunState) -> None:
            self.state = state
            self._tell_if_newest(line, num_starts)

        # On a bar each of many steps would only have moved it.
        self.state, self.tail = load_state(self.run.events_jsonl, on_line=show)

    def _tell_if_newest(self, line: Line, num_starts: int) -> None:
        if self.state.num_starts >= num_starts:
            self._tell(line)

    def replay_all(self) -> None:
        """Show everything from the first event on."""
        self._take(self.tail.poll())

    def follow(self) -> int:
        """Follow to the end, print the summary and return the exit code."""
        try:
            ending = self._follow()
            self.output.end(self.state, self.run, ending, self.again)
        except BrokenPipeError:
            return self._left_by_reader()
        return ending.exit_code

    def _follow(self) -> Ending:
        while True:
            self._take(self.tail.poll())
            if not self._ended and self._is_gone():
                self._take(self.tail.poll())  # its last words may have landed in between
                if not self._ended:
                    return self._died()
            if self._ended:
                return self._finish()
            ending = self._answer_interrupts()
            if ending is not None:
                return ending
            self._let_others_look()
            self.output.tick(self.state)
            time.sleep(_POLL_S)

    def _take(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self.state.fold(line.record)
            self._tell(line)

    def _tell(self, line: Line) -> None:
        # A newer start on the same folder takes back the end of the one before.
        if line.record.kind in (events.RunStarted.kind, events.RunEnded.kind):
            self._ended = self.state.ended is not None
        self.output.event(line, self.state)

    def _is_gone(self) -> bool:
        if self.worker is not None:
            if self.worker.poll() is None:
                return False
            if not is_locked(self.run.lock):
                return True
            # Another front end was faster: its worker has the folder, ours left. Follow that one.
            self.worker = None
            self.output.note("Another worker already trains in this folder; following it.")
            return False
        now = time.monotonic()
        if now - self._life_checked_t < _LIFE_CHECK_S:
            return False
        self._life_checked_t = now
        self._verdict = judge(self.run, self.state)
        return not self._verdict.is_running

    def _let_others_look(self) -> None:
        # worker.json is written under the lock: from here on another front end sees a live worker.
        if self.guard is not None and (self.worker is None or self.run.worker_json.exists()):
            self.guard.release()
            self.guard = None

    def _finish(self) -> Ending:
        ended = self.state.ended
        if ended is None:
            raise RuntimeError("finished without a run_ended event")
        if self.worker is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.worker.wait(timeout=_EXIT_WAIT_S)
        return Ending("ended", ended.exit_code)

    def _died(self) -> Ending:
        reason = "The worker is gone and left no word why"
        if self._verdict is not None and self._verdict.life is Life.UNHEARD:
            reason = f"Whether the worker still trains cannot be seen from here ({self._verdict.note})"
        if self.worker is not None:
            reason = f"The worker ended without a word: {_how(self.worker.returncode)}"
        log = log_tail(self.run, since_bytes=self.log_start_bytes)
        return Ending("died", ExitCode.INTERNAL, reason=reason, log=tuple(log))

    def _answer_interrupts(self) -> Ending | None:
        if self.interrupts.count == self._num_answered:
            return None
        is_first = self._num_answered == 0 and self.interrupts.count == 1
        self._num_answered = self.interrupts.count
        if not self.stops_worker:
            return Ending("left", ExitCode.DONE)
        if is_first:
            self._ask_to_stop()
            return None
        return self._kill()

    def _ask_to_stop(self) -> None:
        self.output.note(STOP_NOTE)
        try:
            control.send(self.run, "stop_now")
        except (UserError, OSError) as error:
            # A full disk cannot carry a command; the signal means the same to the worker.
            if self.worker is None:
                self.output.note(f"The stop command cannot be written: {error}")
            else:
                self.worker.terminate()

    def _kill(self) -> Ending:
        is_sent = control.kill_worker(self.run, pid=self.worker.pid if self.worker is not None else None)
        if self.worker is not None:
            self.worker.wait()
        reason = (
            "Ended at once, without saving" if is_sent else "The worker runs elsewhere and cannot be ended from here"
        )
        return Ending("killed", ExitCode.STOPPED, reason=reason)

    def _left_by_reader(self) -> int:
        """Our reader (a pager, `head`) went away; the training does not care."""
        streams.let_reader_go()
        if not self._ended:
            for text in leaving_lines(self.state, self.run):
                streams.say(text)
        return ExitCode.INTERNAL


def _how(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = str(-returncode)
    by_kernel = "; the system does this when main memory runs out" if name == "SIGKILL" else ""
    return f"ended by {name}{by_kernel}"
