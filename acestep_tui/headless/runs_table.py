"""`acestep-tui runs`: every known run in one line."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from acestep_tui import format as fmt
from acestep_tui.headless import streams
from acestep_tui.headless.options import Options
from acestep_tui.paths import shown
from acestep_tui.runs import registry
from acestep_tui.runs.liveness import Verdict, judge
from acestep_tui.runs.load import read_state
from acestep_tui.runs.state import RunState
from acestep_tui.runs.status import status
from engine.contract.errors import ExitCode
from engine.contract.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class Row:
    """One run as the table shows it."""

    run: RunDir
    state: RunState
    verdict: Verdict


def runs(options: Options) -> int:
    """Print the table (or one JSON object a run)."""
    rows = [look_at(run) for run in registry.known_runs()]
    # Alive ones first; within each group the newest news first.
    rows.sort(key=lambda row: (not row.verdict.is_running, -(row.verdict.last_t or 0.0)))
    if options.json:
        for row in rows:
            streams.put_bytes(json.dumps(as_json(row), ensure_ascii=False).encode() + b"\n")
        return ExitCode.DONE
    if not rows:
        streams.say("No runs yet. Start one: acestep-tui --run demo")
        return ExitCode.DONE
    for line in table_lines(rows, now=time.time()):
        streams.put(line)
    return ExitCode.DONE


def look_at(run: RunDir) -> Row:
    """Fold a run's events and judge it; a run that cannot be read is shown with what is known without them."""
    state = read_state(run)
    return Row(run, state, judge(run, state))


def table_lines(rows: list[Row], *, now: float) -> list[str]:
    """The table: a header, then one line a run; numbers right-aligned."""
    cells = [("", "STATE", "NAME", "STEPS", "LOSS", "LEFT", "LAST NEWS", "FOLDER"), *(_cells(row, now) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(8)]
    lines = []
    for index, line in enumerate(cells):
        is_head = index == 0
        steps = line[3].ljust(widths[3]) if is_head else line[3].rjust(widths[3])
        left = "   ".join(
            (
                line[1].ljust(widths[1]),
                line[2].ljust(widths[2]),
                steps,
                line[4].ljust(widths[4]),
                line[5].ljust(widths[5]),
                line[6].ljust(widths[6]),
                line[7],
            )
        )
        lines.append(f"{line[0] or ' '} {left}".rstrip())
    return lines


def _cells(row: Row, now: float) -> tuple[str, ...]:
    state, verdict = row.state, row.verdict
    glyph, word, _ = status(state, verdict)
    eta = state.step.eta_s if verdict.is_running and state.step is not None else None
    news = fmt.ago(state.last_t, now) if state.last_t is not None else fmt.UNKNOWN
    return (
        glyph,
        word,
        row.run.name,
        fmt.part_of(state.step_now, state.steps_total) if state.started is not None else fmt.UNKNOWN,
        fmt.loss(state.step.loss if state.step is not None else None),
        fmt.duration(eta),
        f"{news} on {verdict.host}" if verdict.note and verdict.host else news,
        shown(row.run.path),
    )


def as_json(row: Row) -> dict[str, object]:
    """A run as data: units in the names, unknown is null."""
    state, step = row.state, row.state.step
    return {
        "name": row.run.name,
        "dir": str(row.run.path),
        "state": row.verdict.life.value,
        "phase": state.phase,
        "paused": state.paused,
        "step": state.step_now,
        "steps_total": state.steps_total,
        "loss": step.loss if step is not None and step.loss == step.loss else None,
        "eta_s": step.eta_s if step is not None and row.verdict.is_running else None,
        "last_news": state.last_t,
        "silent_s": row.verdict.silent_s,
        "host": row.verdict.host,
        "exit_code": state.ended.exit_code if state.ended is not None else None,
    }
