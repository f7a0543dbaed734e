"""Finding a checkpoint to go on from and putting its state back (config-formats.md section 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from engine.contract.checkpoint_files import MANIFEST_FILE, check_manifest
from engine.contract.config import Config
from engine.contract.errors import ConfigError, ModelError
from engine.contract.files import read_json
from engine.contract.paths import expanded
from engine.contract.run_dir import RunDir
from engine.train.checkpoint import STATE_FILE, TENSORS_FILE
from engine.train.state import TrainState, load_optimizer_tensors, load_random_tensors
from engine.train.weights import TrainedWeights


def find_checkpoint(run_dir: RunDir, wanted: str, *, warn: Callable[[str, str], None]) -> Path | None:
    """The checkpoint to resume from, verified against its manifest; None = start fresh.

    Args:
        run_dir: The run.
        wanted: ``latest``, the name of a checkpoint in the run, a path to one elsewhere, or empty for a fresh start.
        warn: Called with (code, message) for each damaged checkpoint that is passed over.

    Raises:
        ModelError: The named one is missing or damaged; or checkpoints exist but none of them is whole.
    """
    if not wanted:
        return None
    if wanted != "latest":
        return _named(run_dir, wanted)
    candidates = run_dir.checkpoints()
    for position, folder in enumerate(reversed(candidates)):
        try:
            check_manifest(folder)
        except ModelError as error:
            older = candidates[: len(candidates) - position - 1]
            going_on = f"trying {older[-1].name}, the one before" if older else "no older one is left"
            warn("damaged_checkpoint", f"{error.message}; {going_on}")
            continue
        return folder
    if candidates:
        raise ModelError(
            f"{run_dir.path}: none of its {len(candidates)} checkpoints is whole",
            hint="Start anew in this folder with --fresh (the old folder is kept, renamed), "
            "or name a checkpoint elsewhere with --resume_from_checkpoint=PATH.",
        )
    return None


def _named(run_dir: RunDir, wanted: str) -> Path:
    given, inside = expanded(wanted), run_dir.path / Path(wanted).name
    # A whole path means that folder, also when this run has one of the same name.
    folder = given if given.is_absolute() and given.is_dir() else inside if inside.is_dir() else given
    if not folder.is_dir():
        names = ", ".join(entry.name for entry in run_dir.whole_checkpoints()) or "none"
        raise ModelError(f"resume_from_checkpoint = {wanted}: no such checkpoint", hint=f"In {run_dir.path}: {names}.")
    check_manifest(folder)
    return folder


def with_kept_rate(config: Config, folder: Path, *, warn: Callable[[str, str], None]) -> Config:
    """The configuration with the learning rate that a curve began with (config-formats.md section 4.3).

    A constant schedule takes a changed ``learning_rate`` at once; a curve goes on as it began, which is said.

    Args:
        config: The wanted configuration.
        folder: The checkpoint to go on from.
        warn: Called with (code, message).
    """
    try:
        began_with = float(read_json(folder / "config.json")["learning_rate"])
    except (OSError, ValueError, KeyError, TypeError):  # another trainer's checkpoint does not say
        return config
    if config.lr_scheduler.startswith("constant") or began_with == config.learning_rate:
        return config
    warn(
        "learning_rate_kept",
        f"learning_rate stays {began_with:g} instead of {config.learning_rate:g}: a {config.lr_scheduler} curve "
        "goes on as it began. Set lr_scheduler constant to train on at another rate",
    )
    return config.replace(learning_rate=began_with)


def load_checkpoint(
    folder: Path, state: TrainState, weights: TrainedWeights, *, config: Config, device: torch.device
) -> dict[str, Any]:
    """Restore weights, optimizer, schedule, scaler, counters and random states; return the streams' positions.

    Args:
        folder: As `find_checkpoint` gave it: its files are hashed there, once (a full model's are 34 GB).
        state: Built as for a fresh start; changed in place.
        weights: Loads itself.
        config: The wanted configuration; its model type must be the checkpoint's.
        device: Random states of this device are restored.

    Raises:
        ConfigError: The checkpoint is of another model family, type or flavour.
        ModelError: A file cannot be read or does not fit.
    """
    manifest = read_json(folder / MANIFEST_FILE)
    for key in ("model_family", "model_type", "model_flavour"):
        if manifest[key] != config[key]:
            raise ConfigError(
                f"{folder} is a {manifest[key]} checkpoint, the configuration says {key} = {config[key]}",
                hint=f"Set {key} to {manifest[key]}, or choose another output_dir.",
            )
    try:
        counters = read_json(folder / STATE_FILE)
        tensors = load_file(folder / TENSORS_FILE)
        weights.load(folder)
        load_optimizer_tensors(state, tensors)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder}: cannot be restored: {error}", hint="Resume from another checkpoint.") from error
    if state.scaler is not None and counters["scaler"]:
        state.scaler.load_state_dict(counters["scaler"])
    state.restore_counters(counters)
    _seek_schedule(state)
    load_random_tensors(tensors, device)
    prefix = "training_state-"
    return {path.stem[len(prefix) :]: read_json(path) for path in sorted(folder.glob(f"{prefix}*.json"))}


def _seek_schedule(state: TrainState) -> None:
    # The rate is a pure function of the configuration and the step, so nothing of the schedule itself is saved.
    state.schedule.last_epoch = state.step
    for group, rate in zip(state.optimizer.param_groups, _rates(state), strict=True):
        group["lr"] = rate


def _rates(state: TrainState) -> list[float]:
    schedule = state.schedule
    assert isinstance(schedule, torch.optim.lr_scheduler.LambdaLR)
    return [base * factor(state.step) for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)]
