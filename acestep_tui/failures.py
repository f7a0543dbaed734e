"""Threads that come to grief are told of, whoever began them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.worker import Worker, WorkerState

if TYPE_CHECKING:
    from acestep_tui.app import AceStepApp


class TellsFailures:
    """For everything that begins thread workers: with ``exit_on_error=False`` Textual itself says nothing.

    What a worker expects to go wrong it answers with a message of its own; this is for what nobody expected, which
    would look like a disk or a network that takes its time.
    """

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Say what happened, until a key is pressed."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            cast("AceStepApp", event.worker.node.app).tell_failure(str(error) or type(error).__name__)
