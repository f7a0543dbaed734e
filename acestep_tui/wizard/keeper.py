"""Keeping a draft on disk while it changes: at most a second behind, in a thread, and to the end. No screen."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.draft_files import delete_draft, save_draft, snapshot
from engine.contract.errors import UserError


class DraftKeeper:
    """Writes one draft; a later writing never overtakes an earlier one.

    Args:
        draft: What is kept.
        path: Its file, if it has one.
        told: Called in the writing thread with why the draft could not be saved; empty when it was.
    """

    def __init__(self, draft: Draft, path: Path | None, told: Callable[[str], None]) -> None:
        self.draft = draft
        self.path = path
        self._told = told
        self._lock = threading.Lock()
        self._is_gone = False

    def save(self) -> threading.Thread:
        """Write the draft as it is now. The thread is no daemon: leaving the app waits for the last writing."""
        data = snapshot(self.draft)
        thread = threading.Thread(target=self._write, args=(data,), name="draft")
        thread.start()
        return thread

    def remove(self) -> None:
        """Take the draft away: its run has started. For a thread."""
        with self._lock:
            self._is_gone = True
            if self.path is not None:
                with contextlib.suppress(OSError):
                    delete_draft(self.path)

    def _write(self, data: dict[str, Any]) -> None:
        with self._lock:
            if self._is_gone:
                return
            problem = ""
            try:
                self.path = save_draft(data, self.path)
            except (UserError, OSError) as error:
                problem = fmt.few_words(error)
        with contextlib.suppress(RuntimeError):  # the screen may be gone by now
            self._told(problem)
