"""Every run in one line, and one sentence where it needs something: what the lists of runs show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.runs import registry
from acestep_tui.runs.inspect import folder_bytes, is_writable, owner_of, read_object, read_worker
from acestep_tui.runs.liveness import Life, Verdict, judge
from acestep_tui.runs.quick import read_end
from acestep_tui.runs.state import RunState
from acestep_tui.runs.status import DRAFT, UNREADABLE, Status, status
from acestep_tui.runs.tail import EventTail
from engine.contract.run_dir import RunDir, checkpoint_step
from engine.hardware.host import boot_id

_DEMO_SONGS = "demo:songs"
# A live run's folder grows slowly; its size is for orientation.
_SIZE_S = 30.0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run (or one set-up not finished) as a list shows it. None and empty mean not known.

    Attributes:
        name: The run's name, or the draft's.
        path: The run folder; the file of a draft.
        status: Glyph, word and kind of colour.
        life: What the status rests on; None for a draft.
        step: Steps taken.
        total: Steps in all.
        loss: The newest loss.
        eta_s: Time left, while it trains.
        last_t: Time of its last word; of a draft, when it was saved.
        started_t: When its newest start was.
        goal: ``voice``, ``style`` …, ``demo``, as chosen in the set-up.
        method: ``rank 64``, or ``whole model``.
        host: Where it runs, when that is another computer.
        is_readonly: Whether it cannot be controlled from here.
        saves: Steps of its whole save points, rising.
        size_bytes: Its folder's size.
        owner: Who owns the folder.
        cause: Why it ended, or what is odd, as the beginning of a sentence.
        cure: What to do about it, with its key.
        draft_step: Where the set-up goes on, for a draft.
    """

    name: str
    path: Path
    status: Status
    life: Life | None = None
    step: int = 0
    total: int | None = None
    loss: float | None = None
    eta_s: float | None = None
    last_t: float | None = None
    started_t: float | None = None
    goal: str = ""
    method: str = ""
    host: str = ""
    is_readonly: bool = False
    saves: tuple[int, ...] = ()
    size_bytes: int | None = None
    owner: str = ""
    cause: str = ""
    cure: str = ""
    draft_step: int | None = None
    draft_steps: int = 6

    @property
    def run(self) -> RunDir | None:
        """The run folder; None for a draft."""
        return None if self.is_draft else RunDir(self.path)

    @property
    def is_draft(self) -> bool:
        """Whether it is a set-up that was never started."""
        return self.draft_step is not None

    @property
    def is_alive(self) -> bool:
        """Whether its worker is at work."""
        return self.life is Life.RUNNING

    @property
    def is_training(self) -> bool:
        """Whether it counts as "1 training" in a header: at work and neither paused nor silent."""
        return self.is_alive and self.status.severity == "busy"

    @property
    def steps_text(self) -> str:
        """``1,240 of 2,000``; ``step 3 of 6`` for a draft."""
        if self.draft_step is not None:
            return f"step {self.draft_step} of {self.draft_steps}"
        return fmt.part_of(self.step, self.total) if self.life is not Life.NEW else fmt.UNKNOWN

    @property
    def about(self) -> str:
        """``voice, rank 64``; ``demo``; ``not started`` for a draft."""
        if self.is_draft:
            return "not started"
        return self.goal if self.goal == "demo" else ", ".join(part for part in (self.goal, self.method) if part)

    @property
    def good_to_know(self) -> str:
        """One or two sentences when it needs something: cause, then cure; else empty."""
        if not self.cause:
            return ""
        return f"{self.cause}; {self.cure}." if self.cure and not self.cure[:1].isupper() else self._sentences()

    def news(self, now: float) -> str:
        """``21 min left`` while it trains, else when it was last heard of."""
        if self.eta_s is not None:
            return f"{fmt.duration(self.eta_s)} left"
        text = past(self.last_t, now)
        return f"{text} on {self.host}" if self.host and self.last_t is not None else text

    def _sentences(self) -> str:
        return f"{self.cause}. {self.cure}" if self.cure else f"{self.cause}."


def past(t: float | None, now: float) -> str:
    """When something was: ``4 min ago``, ``today 09:12``, ``yesterday 23:10``, ``3 days ago``, ``12 Nov``."""
    if t is None:
        return fmt.UNKNOWN
    try:
        days = (datetime.fromtimestamp(now).date() - datetime.fromtimestamp(t).date()).days
    except (ValueError, OverflowError, OSError):  # no calendar holds it
        return fmt.UNKNOWN
    if 2 <= days < 7:
        return f"{days} days ago"
    text = fmt.ago(t, now)
    return f"today {text}" if days == 0 and ":" in text else text


def draft_summary(name: str, path: Path, *, step: int, saved_t: float | None, num_steps: int = 6) -> RunSummary:
    """The line of a set-up that was not finished."""
    return RunSummary(
        name,
        path,
        DRAFT,
        last_t=saved_t,
        draft_step=step,
        draft_steps=num_steps,
        cause="a set-up you did not finish",
        cure=f"↵ goes on at step {step}",
    )


@dataclass(slots=True)
class _Known:
    """What is kept of one run between two looks."""

    state: RunState
    tail: EventTail
    problem: str = ""
    size_bytes: int | None = None
    sized_at: float = float("-inf")
    config: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Any] = field(default_factory=dict)
    stamps: dict[Path, tuple[int, int]] = field(default_factory=dict)


class RunList:
    """All known runs; each look reads only what was added since the last one. For one thread at a time."""

    def __init__(self, *, with_size: bool = True) -> None:
        self.with_size = with_size
        self._known: dict[Path, _Known] = {}

    def look(self, now: float) -> list[RunSummary]:
        """Every run, those alive first, then by the newest news."""
        runs = registry.known_runs()
        self._known = {run.path: self._known[run.path] for run in runs if run.path in self._known}
        summaries = [self.summary(run, now) for run in runs]
        return sorted(summaries, key=lambda summary: (not summary.is_alive, -(summary.last_t or 0.0)))

    def summary(self, run: RunDir, now: float) -> RunSummary:
        """One run; never an exception."""
        try:
            return self._summary(run, now)
        except OSError as error:
            return _unreadable(run, str(error.strerror or error))

    def _summary(self, run: RunDir, now: float) -> RunSummary:
        known = self._refreshed(run)
        if known.problem:
            return _unreadable(run, known.problem)
        if self.with_size and now - known.sized_at > _SIZE_S:
            known.size_bytes, known.sized_at = folder_bytes(run.path)[0], now
        for path, target in ((run.config_json, known.config), (run.origins_json, known.origins)):
            _refresh(path, target, known.stamps)
        verdict = judge(run, known.state, now=now)
        saves = tuple(sorted({checkpoint_step(folder) for folder in run.whole_checkpoints()}))
        return _summarised(run, known, verdict, saves=saves, now=now)

    def _refreshed(self, run: RunDir) -> _Known:
        known = self._known.get(run.path)
        try:
            num_bytes = _num_bytes(run.events_jsonl)
            if known is None or known.problem or num_bytes < known.tail.offset:
                state, tail = read_end(run.events_jsonl)
                known = self._known[run.path] = _Known(state, tail)
            elif num_bytes > known.tail.offset:
                for line in known.tail.poll():
                    known.state.fold(line.record)
                known.state.news.clear()
        except OSError as error:
            known = self._known[run.path] = _Known(RunState(), EventTail(run.events_jsonl))
            known.problem = str(error.strerror or error)
        return known


def _num_bytes(path: Path) -> int:
    """Bytes of a file, 0 when there is none.

    Raises:
        OSError: It may not be looked at.
    """
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def summarise(run: RunDir, now: float) -> RunSummary:
    """One run, looked at once."""
    return RunList().summary(run, now)


def _summarised(
    run: RunDir, known: _Known, verdict: Verdict, *, saves: tuple[int, ...], now: float
) -> RunSummary:  # fmt: skip
    state = known.state
    shown = status(state, verdict, now=now)
    cause, cure = _needs(run, state, verdict, shown, saves=saves, now=now)
    step = state.step
    eta_s = None
    if verdict.is_running and not state.paused and shown.word != "silent" and step is not None:
        eta_s = step.eta_s
        if eta_s is not None and state.step_t is not None:
            eta_s = max(eta_s - max(now - state.step_t, 0.0), 0.0)
    return RunSummary(
        name=run.name,
        path=run.path,
        status=shown,
        life=verdict.life,
        step=state.step_now or (state.ended.steps if state.ended is not None else 0),
        total=state.steps_total or _total_of(known.config),
        loss=step.loss if step is not None and math.isfinite(step.loss) else None,
        eta_s=eta_s,
        last_t=state.last_t,
        started_t=state.started_t or read_worker(run).start_t,
        goal=goal_of(known.config, known.origins),
        method=method_of(known.config),
        host="" if read_worker(run).is_here else verdict.host,
        is_readonly=not is_writable(run),
        saves=saves,
        size_bytes=known.size_bytes,
        owner=owner_of(run.path),
        cause=cause,
        cure=cure,
    )


def _needs(
    run: RunDir, state: RunState, verdict: Verdict, shown: Status, *, saves: tuple[int, ...], now: float
) -> tuple[str, str]:
    """What is to be known about a run that needs something: why, and what to do."""
    if verdict.life is Life.CRASHED:
        worker = read_worker(run)
        here = boot_id()
        has_restarted = bool(worker.is_here and worker.boot_id and here and worker.boot_id != here)
        cause = "the machine restarted" if has_restarted else "its process ended without a word"
        if saves:
            return cause, f"step {fmt.count(saves[-1])} is safe, r resumes"
        return cause, "nothing was saved yet, r starts it again"
    if verdict.life is Life.FAILED and state.ended is not None:
        error = (state.ended.error or "it failed").splitlines()[0].rstrip(".")
        hint = " ".join(state.ended.hint.split())
        return f"{error[:1].lower()}{error[1:]}", f"{hint[:1].upper()}{hint[1:]}"
    if shown.word == "silent":
        news = f"no news for {fmt.duration(now - state.last_t)}" if state.last_t is not None else "no news"
        where = "" if read_worker(run).is_here or not verdict.host else f" on {verdict.host}"
        return f"{news}{where}", "↵ shows what is known"
    return "", ""


def _unreadable(run: RunDir, reason: str) -> RunSummary:
    return RunSummary(run.name, run.path, UNREADABLE, cause=f"its folder cannot be read: {reason.lower()}")


def goal_of(config: Mapping[str, Any], origins: Mapping[str, Any]) -> str:
    """What a run is for, in a word or two: as chosen in the set-up, or ``demo``; empty when nobody said."""
    goal = origins.get("goal")
    if isinstance(goal, str) and goal:
        return goal.replace("_", " ")
    backends = config.get("data_backend_config")
    entries = backends if isinstance(backends, list) else []
    folders = [entry.get("instance_data_dir") for entry in entries if isinstance(entry, dict)]
    return "demo" if _DEMO_SONGS in folders else ""


def method_of(config: Mapping[str, Any]) -> str:
    """``rank 64`` or ``whole model``; empty when there is no configuration."""
    if config.get("model_type") == "full":
        return "whole model"
    rank = config.get("lora_rank")
    return f"rank {rank}" if isinstance(rank, int) else ""


def _total_of(config: Mapping[str, Any]) -> int | None:
    total = config.get("max_train_steps")
    return total if isinstance(total, int) and total > 0 else None


def _refresh(path: Path, target: dict[str, Any], stamps: dict[Path, tuple[int, int]]) -> None:
    """Read a JSON object into ``target`` if its file changed."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    stamp = (found.st_mtime_ns, found.st_size)
    if stamps.get(path) != stamp:
        stamps[path] = stamp
        target.clear()
        target.update(read_object(path) or {})
