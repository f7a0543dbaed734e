"""`acestep-tui attach`: watch a run from any terminal; leaving never stops it."""

from __future__ import annotations

import time
from pathlib import Path

from acestep_tui import format as fmt
from acestep_tui.headless import streams
from acestep_tui.headless.follow import Follower
from acestep_tui.headless.interrupts import Interrupts
from acestep_tui.headless.options import Options
from acestep_tui.headless.output import PlainOutput, choose_output
from acestep_tui.headless.runs_table import look_at
from acestep_tui.headless.summary import Ending, summary_lines
from acestep_tui.runs import registry
from acestep_tui.runs.folder import go_on_command
from acestep_tui.runs.liveness import Life, Verdict
from acestep_tui.runs.state import RunState
from acestep_tui.runs.status import status
from engine.contract.errors import ExitCode
from engine.contract.run_dir import RunDir


def attach(wanted: str | None, options: Options) -> int:
    """Show a run until it ends or Ctrl-C; with ``--once`` show what is known and leave.

    Returns:
        The run's exit code when it ends (or has ended), 0 when it goes on, 1 when its worker is gone or not heard of.

    Raises:
        ConfigError: There is no such run.
    """
    run = registry.find_run(wanted)
    if options.once:
        return _show_once(run, options)
    output = choose_output(options)
    with Interrupts() as interrupts:
        follower = Follower(run, output, interrupts=interrupts, stops_worker=False, again=_again(run))
        output.begin(run, [])
        if options.json or isinstance(output, PlainOutput):
            follower.replay_all()
        else:
            follower.replay_start()
        return follower.follow()


def _show_once(run: RunDir, options: Options) -> int:
    row = look_at(run)
    if options.json or options.plain:
        output = choose_output(options)
        Follower(run, output, interrupts=Interrupts()).replay_all()
    else:
        for text in status_lines(row.state, run, row.verdict, now=time.time()):
            streams.put(text)
    if row.state.ended is not None:
        return row.state.ended.exit_code
    return ExitCode.INTERNAL if row.verdict.life in (Life.CRASHED, Life.UNHEARD) else ExitCode.DONE


def _again(run: RunDir) -> list[str]:
    """The command that goes on with the run, where it would mean the same: in the folder it was typed in."""
    typed, cwd = go_on_command(run)
    return typed if cwd == str(Path.cwd()) else []


def status_lines(state: RunState, run: RunDir, verdict: Verdict, *, now: float) -> list[str]:
    """A run at one look: one line of numbers, then what deserves attention; the summary once it has ended."""
    if state.ended is not None:
        return summary_lines(state, run, Ending("ended", state.ended.exit_code), again=_again(run))
    if verdict.life is Life.CRASHED:
        reason = f"The worker of {run.name} is gone and left no word why"
        return summary_lines(state, run, Ending("died", ExitCode.INTERNAL, reason=reason), again=_again(run))
    glyph, word, _ = status(state, verdict)
    parts = [f"{glyph} {word}", run.name]
    if state.is_compiling:
        parts.append(state.compilation.progress(now))
    if state.started is not None:
        parts.append(f"step {fmt.part_of(state.step_now, state.steps_total)}")
    if state.step is not None:
        parts += [f"loss {fmt.loss(state.step.loss)}", fmt.pace(state.step.step_s)]
        if state.step.eta_s is not None and verdict.is_running:
            parts.append(f"{fmt.duration(state.step.eta_s)} left")
    if state.last_t is not None:
        parts.append(verdict.note or f"last news {fmt.ago(state.last_t, now)}")
    lines = ["   ".join(parts)]
    if state.compilation.slower_because and not state.has_warned_of_speed:
        lines.append(f"    {state.compilation.slower_because}")
    lines += [f"  ▲ {warning.message}" for warning in state.warnings]
    column = max((len(problem.file) for problem in state.problems), default=0)
    for problem in state.problems:
        lines.append(f"  {'✗' if problem.severity == 'error' else '▲'} {problem.file:<{column}}   {problem.reason}")
    return lines
