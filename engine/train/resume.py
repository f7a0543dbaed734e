"""Finding a checkpoint to go on from and putting its state back (config-formats.md section 4.3)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from engine.contract.checkpoint_files import MANIFEST_FILE, check_manifest
from engine.contract.config import Config
from engine.contract.errors import ConfigError, ModelError
from engine.contract.files import read_json
from engine.contract.optimizers import has_own_optimizer
from engine.contract.paths import expanded
from engine.contract.run_dir import GUARD_FILE, KEEP_FILE, RunDir
from engine.optim.schedule import goes_on, seek
from engine.train.checkpoint import STATE_FILE, TENSORS_FILE
from engine.train.foreign_checkpoint import check_foreign, is_foreign, load_foreign
from engine.train.lyrics_embedder import is_embedder_name, with_kept_embedder_rate
from engine.train.state import TrainState, load_optimizer_tensors, load_random_tensors
from engine.train.weights import TrainedWeights


def find_checkpoint(
    run_dir: RunDir, wanted: str, *, warn: Callable[[str, str], None], delete_damaged: bool = False
) -> Path | None:
    """The checkpoint to resume from, verified against its manifest; None = start fresh.

    Args:
        run_dir: The run.
        wanted: ``latest``, the name of a checkpoint in the run, a path to one elsewhere, or empty for a fresh start.
        warn: Called with (code, message) for each damaged checkpoint that is passed over.
        delete_damaged: Delete those that ``latest`` passed over, once an older whole one was found. One that is marked
            to be kept, or is a link to elsewhere, stays.

    Raises:
        ModelError: The named one is missing or damaged; or checkpoints exist but none of them is whole.
    """
    if not wanted:
        return None
    if wanted != "latest":
        return _named(run_dir, wanted)
    candidates, damaged = run_dir.checkpoints(), []
    for position, folder in enumerate(reversed(candidates)):
        try:
            _check(folder)
        except ModelError as error:
            older = candidates[: len(candidates) - position - 1]
            going_on = f"trying {older[-1].name}, the one before" if older else "no older one is left"
            warn("damaged_checkpoint", f"{error.message}; {going_on}")
            damaged.append(folder)
            continue
        for broken in damaged if delete_damaged else ():
            _delete(broken, warn=warn)
        return folder
    if candidates:
        raise ModelError(
            f"{run_dir.path}: none of its {len(candidates)} checkpoints is whole",
            hint="Start anew in this folder with --fresh (the old folder is kept, renamed), "
            "or name a checkpoint elsewhere with --resume_from_checkpoint=PATH.",
        )
    return None


def _delete(folder: Path, *, warn: Callable[[str, str], None]) -> None:
    if folder.is_symlink() or (folder / KEEP_FILE).exists():
        warn("damaged_checkpoint_stays", f"{folder.name} is damaged and stays: it is marked to be kept, or a link")
        return
    try:
        (folder / GUARD_FILE).unlink(missing_ok=True)  # half deleted, it must not count as whole
        shutil.rmtree(folder)
    except OSError as error:
        warn("damaged_checkpoint_stays", f"{folder.name} is damaged and could not be deleted: {error.strerror}")
        return
    warn("damaged_checkpoint_deleted", f"{folder.name} was damaged and is deleted (delete_invalid_checkpoints)")


def _named(run_dir: RunDir, wanted: str) -> Path:
    given, inside = expanded(wanted), run_dir.path / Path(wanted).name
    # A whole path means that folder, also when this run has one of the same name.
    folder = given if given.is_absolute() and given.is_dir() else inside if inside.is_dir() else given
    if not folder.is_dir():
        names = ", ".join(entry.name for entry in run_dir.whole_checkpoints()) or "none"
        raise ModelError(f"resume_from_checkpoint = {wanted}: no such checkpoint", hint=f"In {run_dir.path}: {names}.")
    _check(folder)
    return folder


def _check(folder: Path) -> None:
    if is_foreign(folder):
        check_foreign(folder)
    else:
        check_manifest(folder)


def with_kept_rate(config: Config, folder: Path, *, warn: Callable[[str, str], None]) -> Config:
    """The configuration with the learning rate that a curve began with (config-formats.md section 4.3).

    A constant schedule takes a changed ``learning_rate`` at once; a curve goes on as it began, which is said. Another
    curve than the one in the checkpoint has not begun yet: it takes the wanted rate too.

    Args:
        config: The wanted configuration.
        folder: The checkpoint to go on from.
        warn: Called with (code, message).
    """
    try:
        began = read_json(folder / "config.json")
        began_with = float(began["learning_rate"])
    except (OSError, ValueError, KeyError, TypeError):  # another trainer's checkpoint does not say
        return config
    config = with_kept_embedder_rate(config, began, warn=warn)
    if not goes_on(config.lr_scheduler, began.get("lr_scheduler")) or began_with == config.learning_rate:
        return config
    if has_own_optimizer(config) and config.lyrics_embedder_lr is None:
        config = config.replace(lyrics_embedder_lr=config.learning_rate)  # its own schedule takes the changed rate
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
    if is_foreign(folder):
        load_foreign(folder, state, weights, config=config)
        seek_schedule(state)
        return {}
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
        strangers = [name for name in load_optimizer_tensors(state, tensors) if not is_embedder_name(name)]
        if strangers:
            raise KeyError(f"it remembers {strangers[0]}, which is not trained now")
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder}: cannot be restored: {error}", hint="Resume from another checkpoint.") from error
    if state.scaler is not None and counters["scaler"]:
        state.scaler.load_state_dict(counters["scaler"])
    state.restore_counters(counters)
    seek_schedule(state)
    load_random_tensors(tensors, device)
    prefix = "training_state-"
    return {path.stem[len(prefix) :]: read_json(path) for path in sorted(folder.glob(f"{prefix}*.json"))}


def seek_schedule(state: TrainState) -> None:
    """Put the learning rates where they belong at ``state.step``."""
    # The rate is a pure function of the configuration and the step, so nothing of the schedule itself is saved.
    for schedule, optimizer in zip(state.schedules, state.optimizers, strict=True):
        seek(schedule, optimizer, state.step)
