"""Watching a run folder from a thread: all reading happens here, what was found comes back as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acestep_tui.runs.facts import CrashFacts, FolderFacts, SilentFacts, WorkerFacts
from engine.contract import events

if TYPE_CHECKING:
    from acestep_tui.runs.liveness import Verdict
    from acestep_tui.runs.state import RunState


@dataclass(slots=True)
class Update:
    """What one look found; `RunState.apply` takes it in. None means "as before", except for `crash` and `silent`.

    Attributes:
        t: When it was looked.
        records: New events in order.
        num_unreadable: New lines that could not be read.
        has_more: More events are waiting: look again at once.
        fresh: The folder holds another course now (set aside and started anew): this state replaces the old one.
        problem: Why the events cannot be read just now; empty when they can.
    """

    t: float = 0.0
    records: list[events.Record] = field(default_factory=list)
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
