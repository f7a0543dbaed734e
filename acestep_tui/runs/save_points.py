"""Save points (checkpoints) as people deal with them: what is known of each, verifying, keeping, deleting."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from acestep_tui.runs.facts import CheckpointCheck, CheckpointFact
from acestep_tui.runs.state import RunState
from engine.contract.events import CheckpointSaved
from engine.contract.run_dir import KEEP_FILE, PARTIAL_SUFFIX


@dataclass(frozen=True, slots=True)
class SavePoint:
    """A save point as events and folder tell it together.

    Attributes:
        step: Its step.
        path: Its folder; None when neither tells it.
        bytes: Its size; None when not known.
        saved_t: When it was written.
        held_out: Held-out loss of its step; None when not measured there.
        is_best: Whether that is the lowest of all.
        is_verified: Whether the worker read it back when it wrote it.
        is_whole: Whether its guard landed, so that it counts; None while nobody has looked.
        is_rolling: Whether the next one replaces it.
        is_kept: Whether it is kept for ever.
        check: What comparing it with its checksums gave; None when not compared.
    """

    step: int
    path: Path | None = None
    bytes: int | None = None
    saved_t: float | None = None
    held_out: float | None = None
    is_best: bool = False
    is_verified: bool = False
    is_whole: bool | None = None
    is_rolling: bool = False
    is_kept: bool = False
    check: CheckpointCheck | None = None

    @property
    def is_damaged(self) -> bool:
        """Whether it cannot be gone on from."""
        return self.is_whole is False or (self.check is not None and self.check.is_whole is False)

    @property
    def is_proved(self) -> bool:
        """Whether its files were read back and were right: when written, or since."""
        if self.is_damaged:
            return False
        return self.is_verified or (self.check is not None and self.check.is_whole is True)


def save_points(state: RunState) -> list[SavePoint]:
    """All save points of a run that are there, the newest first.

    What the events tell and the folder does not hold any more (older ones make room) is left out; before anybody has
    looked into the folder, the events alone tell.
    """
    facts = state.folder_facts if state.folder_facts is not None and not state.folder_facts.is_gone else None
    on_disk = {fact.path.name: fact for fact in facts.checkpoints} if facts is not None else {}
    checks = {check.path.name: check for check in state.crash.checks} if state.crash is not None else {}
    said = {Path(saved.path).name: saved for saved in state.checkpoints}
    newest = state.checkpoints[-1] if state.checkpoints else None
    points = []
    for name in {**said, **on_disk}:
        saved, fact = said.get(name), on_disk.get(name)
        # The folder is looked at every few seconds: what was just saved may not be in the last look yet.
        if facts is None or fact is not None or saved is newest:
            points.append(_joined(state, name, saved, fact, checks.get(name)))
    return sorted(points, key=lambda point: (-point.step, point.is_rolling))


def _joined(
    state: RunState,
    name: str,
    saved: CheckpointSaved | None,
    fact: CheckpointFact | None,
    check: CheckpointCheck | None,
) -> SavePoint:
    step = fact.step if fact is not None else saved.step if saved is not None else 0
    root = state.folder / name if state.folder is not None else None
    said_t = state.saved_t.get(step)
    return SavePoint(
        step,
        path=fact.path if fact is not None else root,
        bytes=fact.bytes if fact is not None else saved.bytes if saved is not None else None,
        saved_t=said_t if saved is not None and said_t is not None else fact.t if fact is not None else None,
        held_out=state.heldout_at(step),
        is_best=state.best is not None and state.best.step == step,
        is_verified=saved is not None and saved.verified,
        is_whole=fact.is_whole if fact is not None else None,
        is_rolling=name.endswith("-rolling"),
        is_kept=fact is not None and fact.is_kept,
        check=check,
    )


def seen(point: SavePoint, checks: Mapping[Path, CheckpointCheck], kept: Mapping[Path, bool]) -> SavePoint:
    """A save point with what a viewer has found out or changed since the folder was looked at."""
    if point.path is None:
        return point
    return replace(point, check=checks.get(point.path, point.check), is_kept=kept.get(point.path, point.is_kept))


def resume_point(state: RunState) -> SavePoint | None:
    """The save point that the run would go on from: its newest whole one."""
    return next((point for point in save_points(state) if not point.is_damaged), None)


def why_not_delete(state: RunState, point: SavePoint) -> str:
    """Why a save point must stay, as one sentence; empty when it may go."""
    if state.is_readonly:
        return "This run's folder cannot be written from here."
    is_running = state.ended is None and (state.verdict is None or state.verdict.is_running)
    newest = resume_point(state)
    if is_running and newest is not None and newest.path == point.path:
        return "The run would go on from this one if it were stopped now. A later save sets it free."
    return ""


def set_kept(folder: Path, *, is_kept: bool) -> None:
    """Mark a save point so that no run removes it to make room, or take the mark away.

    Raises:
        OSError: The folder cannot be written or is gone.
    """
    if is_kept:
        (folder / KEEP_FILE).touch()
    else:
        (folder / KEEP_FILE).unlink(missing_ok=True)


def delete(folder: Path) -> None:
    """Remove a save point for good.

    It is renamed first, so that a half-removed one is never taken for a whole one; what a killed removal leaves is
    cleared away by the run's next save.

    Raises:
        OSError: It cannot be removed.
    """
    if folder.is_symlink():
        raise OSError("it is a link to somewhere else")
    aside = folder.with_name(f"{folder.name}-deleted{PARTIAL_SUFFIX}")
    folder.rename(aside)
    # The worker may clear it away at the same time.
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(aside)
