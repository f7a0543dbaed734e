"""`acestep-tui cache build|status|verify|prune`: prepared songs and captions without a training around them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_tui import format as fmt
from acestep_tui.headless.cache_care import prune, status, verify
from acestep_tui.headless.command_help import refuse_unknown_switch
from acestep_tui.headless.follow import Follower
from acestep_tui.headless.interrupts import Interrupts
from acestep_tui.headless.options import Options, take_options
from acestep_tui.headless.output import choose_output
from acestep_tui.headless.summary import Ending, died_lines
from acestep_tui.paths import absolute, shown
from acestep_tui.runs import control, launch
from acestep_tui.runs.caches import cache_folders, preparations_folder
from acestep_tui.runs.folder import freeze
from acestep_tui.runs.liveness import is_locked
from acestep_tui.runs.state import RunState
from engine.contract.errors import ConfigError, ExitCode
from engine.contract.run_dir import RunDir

if TYPE_CHECKING:
    from engine.contract.config import Resolved

BUILD_COMMAND: tuple[str, ...] = (*launch.WORKER_COMMAND[:-1], "cache")
ACTIONS = ("build", "status", "verify", "prune")
OPTIONS = ("json", "quiet", "plain", "yes")
SYNOPSIS = "cache build|status|verify|prune [FILE|env=NAME]"
_MAX_NAME = 60


def cache(arguments: Sequence[str], *, command: Sequence[str] = BUILD_COMMAND) -> int:
    """Do what was asked of the cache.

    Args:
        arguments: The action, then a configuration and changes to it.
        command: How the preparing process is started.

    Raises:
        UserError: As the action.
    """
    options, rest = take_options(arguments, OPTIONS)
    if not rest or rest[0] not in ACTIONS:
        what = f"not {rest[0]}" if rest else "one of"
        raise ConfigError(f"cache: {what}: {', '.join(ACTIONS)}", hint=f"For example: acestep-tui {SYNOPSIS}")
    action, rest = rest[0], rest[1:]
    refuse_unknown_switch("cache", rest)
    if action == "build":
        source, overrides = _source(rest)
        return build(
            _resolved(source, overrides),
            source=source,
            typed=["acestep-tui", "cache", *arguments],
            options=options,
            command=command,
        )
    act: Callable[..., int] = {"status": status, "verify": verify, "prune": prune}[action]
    return act(cache_folders(_resolved(*_source(rest)) if rest else None), options, rest)


def _source(rest: Sequence[str]) -> tuple[str, list[str]]:
    """The configuration that is meant, as `train` finds it, and changes to it."""
    from acestep_tui.cli import training_source

    return training_source(list(rest))


def _resolved(source: str, overrides: Sequence[str]) -> Resolved:
    from engine.contract.config import resolve  # pydantic: 0.2 s, only where a configuration is given

    return resolve(source, list(overrides), cwd=Path.cwd())


def build(
    resolved: Resolved,
    *,
    source: str,
    typed: Sequence[str],
    options: Options,
    command: Sequence[str] = BUILD_COMMAND,
) -> int:
    """Prepare what a configuration trains on, and follow that to its end. Ctrl-C keeps what is ready.

    Raises:
        UserError: Nothing was started: the configuration or the folders do not allow it.
    """
    from engine.contract.backends import load_backends  # pydantic: 0.2 s, only when something is started

    backends = load_backends(resolved.config, base_dir=resolved.base_dir)
    notices = [*resolved.notices, *backends.notices]
    task = task_of(resolved)
    launch.make_writable(task.path)
    output = choose_output(options, summarise=preparation_lines)
    with Interrupts() as interrupts, launch.LaunchGuard(task) as guard:
        if is_locked(task.lock):
            raise ConfigError(
                "this is being prepared already, by another process",
                hint=f"It goes on by itself; its words are in {shown(task.worker_log)}.",
            )
        control.clear(task)
        freeze(task, resolved, notices=notices, source=source, typed=typed)
        log_start_bytes = task.worker_log.stat().st_size if task.worker_log.exists() else 0
        follower = Follower(
            task, output, interrupts=interrupts, guard=guard, log_start_bytes=log_start_bytes, again=typed
        )
        follower.read_history()
        output.begin(task, [f"▲ {notice.message}" for notice in notices])
        follower.worker = launch.start_worker(
            task, arguments=["--yes"] if options.yes else [], foreground=options.foreground, command=command
        )
        return follower.follow()


def task_of(resolved: Resolved) -> RunDir:
    """The folder of a preparation: named after the run it is for; the same for the same run."""
    folder = absolute(str(resolved.config.output_dir))
    name = re.sub(r"[^\w.-]+", "-", folder.name).strip("-.")[:_MAX_NAME] or "songs"
    return RunDir(preparations_folder() / f"{name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}")


def preparation_lines(state: RunState, run: RunDir, ending: Ending, *, again: Sequence[str] = ()) -> list[str]:
    """The block at the end of a preparation."""
    ended = state.ended
    if ending.kind != "ended" or ended is None:
        return died_lines(run, ending)
    if ended.outcome == "finished":
        return [f"✓ everything is prepared, in {fmt.duration(ended.seconds)}", *_left_out_lines(state)]
    mark = "■" if ended.outcome == "stopped" else "✗"
    lines = [f"{mark} {ended.error}", *(f"  {line}" for line in ended.hint.splitlines())]
    if ended.exit_code != ExitCode.STOPPED:
        lines.append(f"  the whole log is {shown(run.worker_log)}")
    return lines


def _left_out_lines(state: RunState) -> list[str]:
    if not state.left_out:
        return []
    return [f"  left out: {fmt.plural(len(state.left_out), 'song')}, each named above with its reason"]
