"""What a run folder may be used for: comparing its frozen configuration, making room, freezing a new one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui import __version__
from acestep_tui.paths import shown
from acestep_tui.runs import launch, registry
from engine.contract.errors import ConfigError
from engine.contract.files import read_json, write_json
from engine.contract.run_dir import RunDir

if TYPE_CHECKING:
    from engine.contract.config import Config, Notice, Resolved

# What readers of origins.json may rely on.
CONTRACT_VERSION = 1
# What it says of a run beside the configuration, kept when the run goes on: why it is trained, what its songs are.
KEPT_FACTS = ("goal", "scan")


def frozen_config(run_dir: RunDir) -> Config | None:
    """The configuration a run was started with; None when the folder has none.

    Raises:
        ConfigError: It cannot be read.
    """
    from engine.contract.config import Config  # pydantic: 0.2 s

    if not run_dir.config_json.exists():
        return None
    try:
        return Config.from_dict(read_json(run_dir.config_json))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"The run's own configuration cannot be read: {shown(run_dir.config_json)}: {error}",
            hint="Give --fresh to set this run aside, or --output_dir=FOLDER for another place. Nothing was changed.",
        ) from error


def require_same(frozen: Config | None, wanted: Config, *, where: str, name: str) -> None:
    """A live worker is joined only with the configuration it trains with.

    Raises:
        ConfigError: The two differ; every difference is named.
    """
    from engine.contract.config import config_differences  # pydantic: 0.2 s

    differences = config_differences(frozen, wanted) if frozen is not None else []
    if differences:
        listed = "\n".join(f"  {line}" for line in differences)
        raise ConfigError(
            f"A worker is training in {where} with another configuration; nothing was touched:\n{listed}",
            hint=f"Watch: acestep-tui attach {name}. Stop it: acestep-tui stop {name}. Or use another --output_dir.",
        )


def make_room(run_dir: RunDir, wanted: Config, *, fresh: bool) -> list[str]:
    """Make sure that a run with this configuration may (re)start in the folder; returns what the user should know.

    Raises:
        ConfigError: The folder belongs to something else, or what it holds does not go with ``wanted``.
        DiskError: The old run cannot be renamed.
    """
    if fresh:
        return _set_aside(run_dir)
    where = shown(run_dir.path)
    if run_dir.config_json.exists() and not registry.is_run_folder(run_dir.path):
        raise ConfigError(
            f"{where} already holds a config.json that is no run's; it would be overwritten",
            hint="Choose another run folder with --output_dir=FOLDER.",
        )
    checkpoints = run_dir.checkpoints()
    if not checkpoints:
        return []
    if not wanted.resume_from_checkpoint:
        raise ConfigError(
            f"resume_from_checkpoint is empty, but {where} already holds {checkpoints[-1].name}",
            hint="Give --output_dir=FOLDER for another place, or --fresh to rename the old run and start anew.",
        )
    return _changes_on_resume(frozen_config(run_dir), wanted, where=where)


def _changes_on_resume(frozen: Config | None, wanted: Config, *, where: str) -> list[str]:
    """Notes on every changed value of a run that goes on.

    Raises:
        ConfigError: A changed value cannot change within a run.
    """
    from engine.contract.config import config_differences, refused_on_resume  # pydantic: 0.2 s

    if frozen is None:  # checkpoints that another trainer wrote
        return []
    refused = refused_on_resume(frozen, wanted)
    if refused:
        listed = "\n".join(f"  {line}" for line in refused)
        raise ConfigError(
            f"The run in {where} cannot go on with this configuration:\n{listed}",
            hint="Take the old values, give --output_dir=FOLDER for another place, or --fresh to start anew.",
        )
    changes = config_differences(frozen, wanted)
    return [f"▲ changed since the last start: {line}" for line in changes]


def freeze(
    run_dir: RunDir,
    resolved: Resolved,
    *,
    notices: Sequence[Notice],
    source: str,
    typed: Sequence[str],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write the effective configuration and where each value came from.

    Args:
        run_dir: The run folder.
        resolved: The configuration.
        notices: What was noticed about it.
        source: What the configuration was read from.
        typed: The command line that does the same.
        facts: More for origins.json, such as the goal chosen in the set-up; lists of runs show it.

    Raises:
        DiskError: The folder cannot be written.
    """
    config = _with_settled_seed(run_dir, resolved.config)
    kept = _kept_facts(run_dir)
    write_json(run_dir.config_json, config.to_dict(), action="writing the run's configuration")
    origins = {
        "contract_version": CONTRACT_VERSION,
        "version": __version__,
        # Relative paths in config.json mean what they mean here.
        "cwd": str(resolved.base_dir),
        "source": source,
        "command": list(typed),
        "origins": resolved.origins,
        # The worker says them again as warning events, for whoever attaches later.
        "notices": [{"code": notice.code, "message": notice.message} for notice in notices],
        **kept,
        **(facts or {}),
    }
    write_json(run_dir.origins_json, origins, action="writing the run's configuration")


def _kept_facts(run_dir: RunDir) -> dict[str, Any]:
    """What origins.json says of a run that goes on, beside its configuration."""
    try:
        before = read_json(run_dir.origins_json) if run_dir.checkpoints() else {}
    except (OSError, ValueError):
        return {}
    return {key: before[key] for key in KEPT_FACTS if key in before} if isinstance(before, dict) else {}


def go_on_command(run_dir: RunDir) -> tuple[list[str], str]:
    """The command line that started a run and the folder it was typed in; its config.json where that is not known."""
    fallback = ["acestep-tui", "--run", str(run_dir.config_json)]
    try:
        origins = read_json(run_dir.origins_json)
        typed, cwd = [str(item) for item in origins["command"]], str(origins["cwd"])
    except (OSError, ValueError, KeyError, TypeError):
        return fallback, ""
    return [item for item in typed if item != "--fresh"], cwd


def go_on_hint(run_dir: RunDir) -> str:
    """How to go on with a run whose worker is not there."""
    typed, cwd = go_on_command(run_dir)
    place = f"cd {shlex.quote(cwd)} && " if cwd and cwd != str(Path.cwd()) else ""
    return f"Go on with it: {place}{shlex.join(typed)}"


def _with_settled_seed(run_dir: RunDir, wanted: Config) -> Config:
    """A seed to be drawn is drawn once a run: going on keeps the one it began with."""
    from engine.contract.config import with_drawn_seed  # pydantic: 0.2 s

    drawn = with_drawn_seed(wanted)
    frozen = frozen_config(run_dir) if run_dir.checkpoints() else None
    return wanted.replace(seed=frozen.seed) if frozen is not None and drawn.seed != wanted.seed else drawn


def _set_aside(run_dir: RunDir) -> list[str]:
    target = launch.set_aside(run_dir)
    if target is None:
        return []
    registry.remember(RunDir(target))
    return [f"The old run is now {shown(target)}."]
