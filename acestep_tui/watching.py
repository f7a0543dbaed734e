"""Between a run folder and a screen: one thread reads, the screen's own thread folds and draws."""

from __future__ import annotations

import threading
from collections.abc import Callable

from textual.message import Message

from acestep_tui.messages import RunLoaded, RunUpdated
from acestep_tui.runs import registry
from acestep_tui.runs.state import RunState
from acestep_tui.runs.watch import RunWatcher, Update
from engine.contract.run_dir import RunDir

# How often it is noted that somebody looks at the run, so that who comes back is told how long they were away.
_NOTE_SEEN_S = 10.0


class Watch:
    """Watches one run. `read` is the thread's; everything else is called by the screen.

    A look waits until the screen has taken in the one before: a slow terminal makes looks rarer, never a queue.

    Args:
        run: The run folder.
        post: Hands a message to the screen.
        clock: Tells the time.
        redraw_s: Seconds between two looks, asked before each.
    """

    def __init__(
        self,
        run: RunDir,
        *,
        post: Callable[[Message], object],
        clock: Callable[[], float],
        redraw_s: Callable[[], float],
    ) -> None:
        self.run = run
        self._post, self._clock, self._redraw_s = post, clock, redraw_s
        self._wake = threading.Event()
        self._taken = threading.Event()
        self._is_over = False
        self._noted_t = 0.0
        self.num_bytes = (0, 0)

    def close(self) -> None:
        """The screen is gone: end the thread at once, also from inside a long first reading."""
        self._is_over = True
        self._wake.set()
        self._taken.set()

    def look_now(self) -> None:
        """Something was asked for: look without waiting."""
        self._wake.set()

    def taken(self) -> None:
        """The screen has folded and drawn what it was given."""
        self._taken.set()

    def read(self) -> None:
        """The thread: read everything once, then what is new, until `close`."""
        watcher = RunWatcher(self.run)
        seen_t, handle = registry.last_seen(self.run), registry.handle(self.run)
        state = watcher.load(self._on_progress, lambda: self._is_over)
        if self._is_over:
            return
        self._taken.clear()
        self._post(RunLoaded(state, seen_t, handle))
        while self._wait():
            update = watcher.poll(state)
            if self._is_over:
                break
            self._note_seen()
            if not is_empty(update, state):
                self._taken.clear()
                self._post(RunUpdated(update))
            if update.has_more:
                self._wake.set()
        registry.note_seen(self.run, self._clock())

    def _on_progress(self, done: int, total: int) -> None:
        self.num_bytes = (done, total)

    def _wait(self) -> bool:
        """Until the last look is taken in and it is time for the next one; False when it is over."""
        self._taken.wait()
        self._wake.wait(self._redraw_s())
        self._wake.clear()
        return not self._is_over

    def _note_seen(self) -> None:
        now = self._clock()
        if not 0 <= now - self._noted_t < _NOTE_SEEN_S:
            registry.note_seen(self.run, now)
            self._noted_t = now


def is_empty(update: Update, state: RunState) -> bool:
    """Whether a look found nothing that the state does not say already."""
    found = (update.fresh, update.config, update.origins)
    return (
        not update.records
        and not update.num_unreadable
        and not any(item is not None for item in found)
        and (update.verdict is None or _same_verdict(update, state))
        and (update.worker is None or update.worker == state.worker)
        and (update.folder_facts is None or update.folder_facts == state.folder_facts)
        and update.crash == state.crash
        and update.silent == state.silent
        and update.problem == state.reading_problem
    )


def _same_verdict(update: Update, state: RunState) -> bool:
    """The same life as before: that the silence has become a second longer is told by the clock."""
    new, old = update.verdict, state.verdict
    if new is None or old is None:
        return new is old
    return (new.life, new.is_locked, new.host) == (old.life, old.is_locked, old.host)
