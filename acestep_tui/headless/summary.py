"""The block at the end of a run: what came out, where it lies, what to type next (design: screens.md section 5)."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from acestep_tui import format as fmt
from acestep_tui.paths import shown
from acestep_tui.runs import registry
from acestep_tui.runs.state import RunState
from engine.contract.events import Proofs
from engine.contract.run_dir import ADAPTER_FILE, RunDir, short_name

# Column of the values, after two blanks.
LABEL_WIDTH = 16
# Names of left-out files in the summary; each was named with its reason when it was found.
_MAX_NAMES = 5


@dataclass(frozen=True, slots=True)
class Ending:
    """How following a run came to an end.

    kind: ``ended`` (the worker said run_ended), ``died`` (it could not), ``killed`` (by the second Ctrl-C), ``left``
    (we went, it goes on).
    """

    kind: str
    exit_code: int
    reason: str = ""
    log: tuple[str, ...] = ()

    @property
    def is_failure(self) -> bool:
        """Whether the block belongs to stderr."""
        return self.kind in ("died", "killed") or self.exit_code not in (0, 130)


def summary_lines(state: RunState, run: RunDir, ending: Ending, *, again: Sequence[str] = ()) -> list[str]:
    """The block for any ending; ``again`` is the command line that goes on with (or repeats) the run."""
    if ending.kind == "left":
        return leaving_lines(state, run)
    if ending.kind != "ended" or state.ended is None:
        return _broken_lines(run, ending, again)
    if state.ended.outcome == "finished":
        planned = f" (planned {fmt.duration(state.plan.seconds)})" if state.plan is not None else ""
        head = f"✓ finished in {fmt.duration(state.ended.seconds)}{planned}"
        return [head, *_result_lines(state, run), *_next_lines(run, again, "again")]
    if state.ended.outcome == "stopped":
        head = f"■ stopped at step {fmt.part_of(state.step_now, state.steps_total)}"
        return [head, _safe_line(run), *_next_lines(run, again, "go on")]
    return _failed_lines(state, run, ending, again)


class Summarise(Protocol):
    """What makes the block: `summary_lines`, or that of another task."""

    def __call__(self, state: RunState, run: RunDir, ending: Ending, *, again: Sequence[str] = ()) -> list[str]:
        """The block's lines."""


def leaving_lines(state: RunState, run: RunDir, *, handle: str = "") -> list[str]:
    """What the shell shows when a viewer goes and the training stays.

    Args:
        state: The run.
        run: Its folder.
        handle: What to type to mean it, where that is known already; else it is looked up on disk.
    """
    typed = shlex.quote(handle or registry.handle(run))
    left = state.step.eta_s if state.step is not None else None
    where = f", step {fmt.part_of(state.step_now, state.steps_total)}" if state.step is not None else ""
    when = f", about {fmt.duration(left)} left" if left is not None else ""
    return [
        f"Training goes on: {short_name(run.name)}{where}{when}.",
        f"Come back from any terminal:  acestep-tui attach {typed}",
        f"Stop it:  acestep-tui stop {typed}",
    ]


def safe_step(run: RunDir) -> str:
    """The newest whole save point, as a sentence's end."""
    whole = run.whole_checkpoints()
    return f"{shown(whole[-1])}/" if whole else ""


def _result_lines(state: RunState, run: RunDir) -> list[str]:
    lines = []
    first, last = state.heldout_first, state.heldout_last
    if first is not None and last is not None:
        songs = state.heldout[-1].num_songs if state.heldout else None
        kept = f"{fmt.plural(songs, 'song')} kept aside, " if songs else ""
        lines.append(
            _row("held-out loss", f"{fmt.loss(first)} → {fmt.loss(last)}   ({kept}same noise, before and after)")
        )
    if state.exported is not None:
        path = run.path / state.exported.path
        folder = path.parent if path.suffix else path
        what = "model" if state.exported.format == "checkpoint" else "LoRA"
        lines.append(_row(what, f"{shown(folder)}/   {fmt.size(state.exported.bytes)}"))
    elif (run.path / ADAPTER_FILE).exists():
        lines.append(_row("LoRA", shown(run.path / ADAPTER_FILE)))
    else:
        lines.append(_safe_line(run))
    if (sample := state.main_sample) is not None:
        lines.append(_row("test clip", f"{shown(run.path / sample.path)}   {fmt.clip_length(sample.seconds)}"))
    if state.proofs is not None:
        lines.append(_row("proofs", _proofs(state.proofs)))
    if _is_slower_on_a_card(state):
        lines.append(_row("steps", state.compilation.slower_because))
    if state.left_out:
        lines.append(_row("left out", _left_out(state)))
    return lines


def _is_slower_on_a_card(state: RunState) -> bool:
    """Whether a card trained slower than it can; a processor is slow either way."""
    has_card = state.measured is not None and state.measured.used_bytes is not None  # only an NVIDIA card tells it
    return has_card and bool(state.compilation.slower_because)


def _proofs(proofs: Proofs) -> str:
    shown_as = (
        ("works", "works", proofs.works),
        ("loads", "loads", proofs.loads),
        ("can go on", "resumes", proofs.resumes),
        ("is yours", "is_yours", proofs.is_yours),
    )
    marks = {True: "✓", False: "✗", None: fmt.UNKNOWN}
    parts = []
    for word, key, value in shown_as:
        note = proofs.notes.get(key, "")
        parts.append(f"{word} {marks[value]}" + (f" ({note})" if note and value is not True else ""))
    return "   ".join(parts)


def _left_out(state: RunState) -> str:
    names = [Path(problem.file).name for problem in state.left_out]
    more = f" and {fmt.count(len(names) - _MAX_NAMES)} more" if len(names) > _MAX_NAMES else ""
    whole = f" of {fmt.plural(state.num_files, 'song')}" if state.num_files else ""
    return f"{fmt.count(len(names))}{whole}: {', '.join(names[:_MAX_NAMES])}{more}"


def _failed_lines(state: RunState, run: RunDir, ending: Ending, again: Sequence[str]) -> list[str]:
    ended = state.ended
    error = ended.error if ended is not None else ""
    lines = [f"✗ {line}" if index == 0 else f"  {line}" for index, line in enumerate((error or "failed").splitlines())]
    if ended is not None:
        lines += [f"  {line}" for line in ended.hint.splitlines()]
    return [*lines, *_aftermath(run, ending, again)]


def died_lines(run: RunDir, ending: Ending) -> list[str]:
    """A worker that left no word: why, as far as that is known, and the end of its log."""
    lines = [f"✗ {ending.reason}"]
    if ending.log:
        lines += [f"  the end of {shown(run.worker_log)}:", *(f"    {line}" for line in ending.log)]
    return lines


def _broken_lines(run: RunDir, ending: Ending, again: Sequence[str]) -> list[str]:
    return [*died_lines(run, ending), *_aftermath(run, ending, again)]


def _aftermath(run: RunDir, ending: Ending, again: Sequence[str]) -> list[str]:
    return [
        _safe_line(run),
        _row("exit code", str(int(ending.exit_code))),
        *_next_lines(run, again, "go on" if safe_step(run) else "again"),
    ]


def _safe_line(run: RunDir) -> str:
    safe = safe_step(run)
    return _row("save point", safe) if safe else _row("save point", "none yet")


def _next_lines(run: RunDir, again: Sequence[str], label: str) -> list[str]:
    look = f"look: acestep-tui attach {_typed(run)}"
    return [_row(label, f"{shlex.join(again)}     {look}")] if again else [_row("look", look.removeprefix("look: "))]


def _typed(run: RunDir) -> str:
    return shlex.quote(registry.handle(run))


def _row(label: str, value: str) -> str:
    return f"  {label:<{LABEL_WIDTH}}{value}"
