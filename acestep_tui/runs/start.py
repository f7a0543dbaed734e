"""Starting a run, anew or again: the one way there, whether the command line asks for it or a screen."""

from __future__ import annotations

import platform
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui.paths import absolute, shown
from acestep_tui.runs import control, launch, registry
from acestep_tui.runs.folder import freeze, frozen_config, go_on_command, make_room, require_same
from acestep_tui.runs.inspect import read_object
from acestep_tui.runs.liveness import Life, Verdict, judge
from acestep_tui.runs.load import read_state
from engine.contract.errors import ConfigError
from engine.contract.paths import expanded
from engine.contract.run_dir import RunDir, short_name

if TYPE_CHECKING:
    from engine.contract.config import Notice, Resolved

# A worker that said its last word closes within this; the next one says its first word within it.
_CLOSING_WAIT_S = 20.0
# From its start to holding the folder a worker only imports the standard library.
_FIRST_WORD_WAIT_S = 30.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A folder made ready: what the user should be warned of and told, and where this start begins in worker.log."""

    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    log_start_bytes: int


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run that is under way. `is_joined`: its worker was at work already, nothing was started."""

    run: RunDir
    worker: subprocess.Popen[bytes] | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_joined: bool = False


def start_run(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    cwd: Path | None = None,
    typed: Sequence[str] | None = None,
    facts: Mapping[str, Any] | None = None,
    fresh: bool = False,
    yes: bool = False,
    worker_command: Sequence[str] = launch.WORKER_COMMAND,
) -> StartedRun:
    """Start (or join) the run that a configuration means; takes a second or two, so call it in a thread.

    Args:
        source: A file, the name of a shipped preset, or ``env=NAME``.
        overrides: ``--key=value`` and the like, one item each.
        cwd: Where relative paths begin; ours by default.
        typed: The command line that does the same; made from the two by default.
        facts: More for origins.json, such as ``{"goal": "voice"}``.
        fresh: Set an old run in the same folder aside.
        yes: Start although the estimate exceeds the free disk space.
        worker_command: How a worker is started.

    Raises:
        UserError: Nothing was started: the configuration, the data folder or the run folder does not allow it.
    """
    from engine.contract.backends import load_backends  # pydantic: 0.2 s, only when a run is started
    from engine.contract.config import resolve

    cwd = cwd or Path.cwd()
    resolved = resolve(source, overrides, cwd=cwd)
    notices = [*resolved.notices, *load_backends(resolved.config, base_dir=resolved.base_dir).notices]
    run_dir = RunDir(absolute(cwd / expanded(str(resolved.config.output_dir))))
    typed = typed if typed is not None else ["acestep-tui", "--run", str(source), *overrides]
    with launch.LaunchGuard(run_dir):
        verdict = settled(run_dir)
        if verdict.is_running:
            require_same(frozen_config(run_dir), resolved.config, where=shown(run_dir.path), name=run_dir.name)
            return StartedRun(run_dir, is_joined=True)
        _require_known_end(run_dir, verdict)
        prepared = prepare(
            run_dir, resolved, notices=notices, source=str(source), typed=typed, fresh=fresh, facts=facts
        )
        if prepared is None:
            raise RuntimeError("nobody can have asked to stop")
        return _launched(run_dir, prepared, cwd=cwd, yes=yes, worker_command=worker_command)


def start_again(
    run: RunDir,
    changes: Mapping[str, Any] | None = None,
    *,
    yes: bool = False,
    worker_command: Sequence[str] = launch.WORKER_COMMAND,
) -> StartedRun:
    """Go on with a run from its newest whole save point (from its beginning when it has none); call it in a thread.

    Args:
        run: The run folder.
        changes: Settings that are to be different from now on; what may not change within a run is refused.
        yes: Start although the estimate exceeds the free disk space.
        worker_command: How a worker is started.

    Raises:
        UserError: Nothing was started.
    """
    cwd = _working_directory(run)
    with launch.LaunchGuard(run):
        verdict = settled(run)
        if verdict.is_running:
            raise ConfigError(f"{run.name} is training already", hint=f"Watch it: acestep-tui attach {run.name}")
        _require_known_end(run, verdict)
        prepared = _prepare_again(run, dict(changes or {}), cwd=cwd)
        return _launched(run, prepared, cwd=cwd, yes=yes, worker_command=worker_command)


def train_longer(
    run: RunDir, num_steps: int, *, yes: bool = False, worker_command: Sequence[str] = launch.WORKER_COMMAND
) -> StartedRun:
    """Go on with a finished run up to ``num_steps`` steps in all; call it in a thread.

    Raises:
        ConfigError: It has that many steps already.
        UserError: As `start_again`.
    """
    whole = run.whole_checkpoints()
    reached = read_state(run).step_now if whole else 0
    if num_steps <= reached:
        raise ConfigError(
            f"{run.name} has {reached:,} steps already", hint=f"Give more than that, such as {2 * reached:,}."
        )
    changes = {"max_train_steps": num_steps, "num_train_epochs": 0}
    return start_again(run, changes, yes=yes, worker_command=worker_command)


def settled(run_dir: RunDir, *, should_stop: Callable[[], bool] | None = None) -> Verdict:
    """The judgement on a folder once nobody is just closing it.

    Raises:
        ConfigError: A worker that has ended does not let the folder go.
    """
    deadline = time.monotonic() + _CLOSING_WAIT_S
    while True:
        verdict = judge(run_dir, read_state(run_dir))
        if not verdict.is_closing or (should_stop is not None and should_stop()):
            return verdict
        if time.monotonic() > deadline:
            raise ConfigError(
                f"The last worker has ended but still holds {shown(run_dir.path)}",
                hint=f"Wait for it, or end the process named in {shown(run_dir.worker_json)}.",
            )
        time.sleep(_POLL_S)


def _require_known_end(run: RunDir, verdict: Verdict) -> None:
    """Where the lock cannot be asked, a key may not put a second worker beside one that may be at work.

    Whoever has looked goes on by the command line, where the last news alone decides (jobs of a cluster move on so).

    Raises:
        ConfigError: Nobody here can tell whether the last worker lives.
    """
    if verdict.life is not Life.UNHEARD:
        return
    command, _ = go_on_command(run)
    is_here = verdict.host in ("", platform.node())
    look = "See whether its process lives" if is_here else f"Look on {verdict.host} first"
    where = "" if is_here else f" on {verdict.host}"
    raise ConfigError(
        f"Whether {short_name(run.name)} still trains{where} cannot be seen from here",
        hint=f"{look}. If it has ended: {shlex.join(command)}",
    )


def prepare(
    run_dir: RunDir,
    resolved: Resolved,
    *,
    notices: Sequence[Notice],
    source: str,
    typed: Sequence[str],
    fresh: bool = False,
    facts: Mapping[str, Any] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Prepared | None:
    """Make a folder ready for a worker, with the launch guard held; None when ``should_stop`` says so first.

    Raises:
        UserError: The folder holds something that does not go with the configuration, or cannot be written.
    """
    notes = make_room(run_dir, resolved.config, fresh=fresh)
    launch.make_writable(run_dir.path)
    if should_stop is not None and should_stop():
        return None
    freeze(run_dir, resolved, notices=notices, source=source, typed=typed, facts=facts)
    return _cleared(run_dir, warnings=[notice.message for notice in notices], notes=notes)


def _prepare_again(run: RunDir, changes: dict[str, Any], *, cwd: Path) -> Prepared:
    """As `prepare`, with the run's own configuration: it stays as it is, unless something has to change."""
    from engine.contract.backends import load_backends  # pydantic: 0.2 s, only when a run is started
    from engine.contract.config import resolve

    frozen = frozen_config(run)
    if frozen is None:
        raise ConfigError(f"{run.name} has no config.json, so it cannot go on", hint=f"It should be in {run.path}.")
    if frozen.resume_from_checkpoint != "latest":
        changes["resume_from_checkpoint"] = "latest"
    if absolute(cwd / expanded(str(frozen.output_dir))) != run.path:
        changes["output_dir"] = str(run.path)  # the folder was moved or renamed since
    changes = {key: value for key, value in changes.items() if frozen[key] != value}
    launch.make_writable(run.path)
    if not changes:
        return _cleared(run, warnings=[], notes=[])
    resolved = resolve(run.config_json, [f"--{key}={_typed(value)}" for key, value in changes.items()], cwd=cwd)
    notes = make_room(run, resolved.config, fresh=False)
    notices = [*resolved.notices, *load_backends(resolved.config, base_dir=resolved.base_dir).notices]
    before = read_object(run.origins_json) or {}
    origins = {**resolved.origins, **_unchanged(before.get("origins"), changes)}
    # From now on config.json says what the run is; the file it once came from says less.
    freeze(
        run,
        resolved,
        notices=notices,
        source=str(run.config_json),
        typed=["acestep-tui", "--run", str(run.config_json)],
        facts={"origins": origins},
    )
    return _cleared(run, warnings=[notice.message for notice in notices], notes=notes)


def _typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unchanged(origins: object, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: origin for key, origin in origins.items() if key not in changes} if isinstance(origins, dict) else {}


def _cleared(run_dir: RunDir, *, warnings: Sequence[str], notes: Sequence[str]) -> Prepared:
    """Forget the commands of the last start, remember the run."""
    control.clear(run_dir)
    forgotten = registry.remember(run_dir)
    try:
        log_start = run_dir.worker_log.stat().st_size
    except OSError:
        log_start = 0
    return Prepared((*warnings, *([forgotten] if forgotten else [])), tuple(notes), log_start)


def _launched(
    run_dir: RunDir, prepared: Prepared, *, cwd: Path, yes: bool, worker_command: Sequence[str]
) -> StartedRun:
    """Start the worker and hold others off until it has the folder (or is gone again, which its log explains)."""
    worker = launch.start_worker(run_dir, arguments=["--yes"] if yes else [], command=worker_command, cwd=cwd)
    deadline = time.monotonic() + _FIRST_WORD_WAIT_S
    while time.monotonic() < deadline and worker.poll() is None and not run_dir.worker_json.exists():
        time.sleep(_POLL_S)
    return StartedRun(run_dir, worker, prepared.warnings, prepared.notes)


def _working_directory(run: RunDir) -> Path:
    """The folder in which the run was started, where its relative paths begin.

    Raises:
        ConfigError: It is not there any more.
    """
    _, cwd = go_on_command(run)
    folder = Path(cwd) if cwd else Path.cwd()
    if not folder.is_dir():
        raise ConfigError(
            f"{run.name} was started in {cwd}, which is not there any more",
            hint=f"Start it where its songs are now: acestep-tui --run {run.config_json}",
        )
    return folder
