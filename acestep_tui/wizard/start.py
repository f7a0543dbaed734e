"""Starting the run of a draft: checked, written beside the run as a preset, handed to the worker. For a thread."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from acestep_tui.consent import agree
from acestep_tui.paths import absolute
from acestep_tui.runs import launch
from acestep_tui.runs.start import StartedRun, start_run
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.preset import check_draft, environment, save_preset
from engine.contract.errors import ConfigError
from engine.contract.feature_models import CONSENT_KEY
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.paths import expanded
from engine.contract.run_dir import RunDir

PRESET_NAME = "preset.json"


def start_draft(
    draft: Draft,
    *,
    cwd: Path,
    preset: Path | None = None,
    prefix: Sequence[str] = (),
    worker_command: Sequence[str] = launch.WORKER_COMMAND,
) -> StartedRun:
    """Start the run of a draft.

    Args:
        draft: Complete, with an output folder.
        cwd: Where relative paths begin.
        preset: Its preset, where it was saved as it is now; else one is written into the run folder.
        prefix: What the worker's command line must begin with to outlive the session.
        worker_command: How a worker is started.

    Raises:
        UserError: Nothing was started.
    """
    checked = check_draft(draft, cwd=cwd)
    if checked.config is None:
        key, reason = next(iter(checked.errors.items()))
        name = f"{SETTINGS_BY_KEY[key].label}: " if key else ""
        raise ConfigError(f"{name}{reason}", hint="Change it, then start again. Nothing was started.")
    run = RunDir(absolute(cwd / expanded(str(checked.config.output_dir))))
    is_new = not run.path.exists()
    source = preset or run.path / PRESET_NAME
    variables = [f"{name}={value}" for name, value in environment(draft).items()]
    command = [*prefix, *(["env", *variables] if variables else []), *worker_command]
    try:
        if draft.value(CONSENT_KEY):
            agree()
        if preset is None:
            launch.make_writable(run.path)
            save_preset(draft, source)
        return start_run(source, cwd=cwd, facts={"goal": draft.value("goal")}, worker_command=command)
    except BaseException:
        if is_new and not run.config_json.exists():
            with contextlib.suppress(OSError):
                shutil.rmtree(run.path)
        raise
