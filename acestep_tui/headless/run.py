"""`--run` and `train`: configuration in, a run folder made ready, a worker started (or joined), its end returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_tui.headless.follow import Follower
from acestep_tui.headless.interrupts import Interrupts
from acestep_tui.headless.options import Options
from acestep_tui.headless.output import Output, choose_output
from acestep_tui.paths import absolute, shown
from acestep_tui.runs import launch
from acestep_tui.runs.folder import frozen_config, require_same
from acestep_tui.runs.start import prepare, settled
from engine.contract.errors import ConfigError, ExitCode
from engine.contract.run_dir import RunDir

if TYPE_CHECKING:
    from engine.contract.config import Notice, Resolved


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line.

    Args:
        source: A file, the name of a shipped preset, or ``env=NAME``.
        overrides: ``--key=value`` and the like, one item each.
        options: The front end's switches.
        typed: The command line as typed, shown as the way to go on.
        worker_command: How a worker is started; the tests give a scripted one.
    """

    source: str
    overrides: Sequence[str]
    options: Options
    typed: Sequence[str]
    worker_command: Sequence[str] = launch.WORKER_COMMAND


def run(request: Request) -> int:
    """Start, resume or join the run that the request means, follow it and return its exit code.

    Raises:
        UserError: Nothing was started: the configuration, the data folder or the run folder does not allow it.
    """
    from engine.contract.backends import load_backends  # pydantic: 0.2 s, only when a run is started
    from engine.contract.config import resolve

    resolved = resolve(request.source, request.overrides, cwd=Path.cwd())
    backends = load_backends(resolved.config, base_dir=resolved.base_dir)
    notices = [*resolved.notices, *backends.notices]
    run_dir = RunDir(absolute(str(resolved.config.output_dir)))
    output = choose_output(request.options)
    with Interrupts() as interrupts, launch.LaunchGuard(run_dir) as guard:
        if settled(run_dir, should_stop=lambda: interrupts.count > 0).is_running:
            return _join(run_dir, resolved, request, output, interrupts).follow()
        follower = _start(run_dir, resolved, request, output, interrupts, guard=guard, notices=notices)
        return follower.follow() if follower is not None else ExitCode.STOPPED


def _join(run_dir: RunDir, resolved: Resolved, request: Request, output: Output, interrupts: Interrupts) -> Follower:
    """Follow the worker that is already at work; nothing in the folder is touched.

    Raises:
        ConfigError: It trains with another configuration, or a fresh start was asked for.
    """
    where = shown(run_dir.path)
    if request.options.fresh:
        raise ConfigError(
            f"A worker is training in {where}, so it cannot be set aside",
            hint=f"Stop it first (acestep-tui stop {run_dir.name}), or choose another folder with --output_dir=FOLDER.",
        )
    require_same(frozen_config(run_dir), resolved.config, where=where, name=run_dir.name)
    follower = Follower(run_dir, output, interrupts=interrupts, again=request.typed)
    note = f"A worker already trains in {where}; following it. Ctrl-C stops it, `acestep-tui attach` only watches."
    output.begin(run_dir, [note])
    follower.replay_start()
    return follower


def _start(
    run_dir: RunDir,
    resolved: Resolved,
    request: Request,
    output: Output,
    interrupts: Interrupts,
    *,
    guard: launch.LaunchGuard,
    notices: Sequence[Notice],
) -> Follower | None:
    """Make the folder ready and start a worker in it; None when Ctrl-C came first.

    Raises:
        UserError: The folder holds something that does not go with the request, or cannot be written.
    """
    prepared = prepare(
        run_dir,
        resolved,
        notices=notices,
        source=request.source,
        typed=request.typed,
        fresh=request.options.fresh,
        should_stop=lambda: interrupts.count > 0,
    )
    if prepared is None:
        return None
    again = [item for item in request.typed if item != "--fresh"]
    follower = Follower(
        run_dir, output, interrupts=interrupts, guard=guard, log_start_bytes=prepared.log_start_bytes, again=again
    )
    follower.read_history()
    output.begin(run_dir, [*(f"▲ {text}" for text in prepared.warnings), *prepared.notes])
    follower.worker = launch.start_worker(
        run_dir,
        arguments=["--yes"] if request.options.yes else [],
        foreground=request.options.foreground,
        command=request.worker_command,
    )
    return follower
