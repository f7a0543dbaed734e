"""Writing checkpoints: aside, verified, guard last, renamed in. Layout: config-formats.md section 4.1.

::

    checkpoint-500/
      pytorch_lora_weights.safetensors     LoRA runs (a full run has ace_step_transformer/ instead)
      training_state.safetensors           optimizer memory, random states
      ema/                                 with use_ema: the average, raw and (LoRA runs) as an adapter file
      training_state.json                  counters, loss scaler
      training_state-<backend id>.json     position of the stream of samples
      config.json                          the effective configuration
      assets/audio_0.wav …                 the step's test clips, with their sidecars
      checkpoint_manifest.json             files with size and SHA-256, model family, type and flavour
      .guard                               written last: without it the folder does not count
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine.contract.checkpoint_files import MANIFEST_FILE, sha256
from engine.contract.config import Config
from engine.contract.errors import ModelError, as_disk_error, is_disk_failure
from engine.contract.files import sync_folder, write_json
from engine.contract.run_dir import GUARD_FILE, KEEP_FILE, PARTIAL_SUFFIX, RunDir, checkpoint_step
from engine.train.after_save import add_assets
from engine.train.ema import save_ema
from engine.train.state import TrainState, optimizer_tensors, random_tensors
from engine.train.weights import TrainedWeights

FORMAT_VERSION = 1
STATE_FILE = "training_state.json"
TENSORS_FILE = "training_state.safetensors"


def write_checkpoint(
    run_dir: RunDir,
    state: TrainState,
    weights: TrainedWeights,
    *,
    config: Config,
    stream: dict[str, Any],
    device: torch.device,
    rolling: bool = False,
) -> Path:
    """Write the checkpoint of the current step and return its folder; one that is there already is replaced.

    A folder of the same name is of another course of the run (an older checkpoint was named, other settings since) or
    damaged: keeping it would throw the present weights away and let a later start go on with the old ones.

    Args:
        run_dir: The run.
        state: What to save.
        weights: The trained weights' own way of saving.
        config: Goes into the folder, so that a checkpoint explains itself.
        stream: Position of the stream of samples by backend id.
        device: Its random state is saved too.
        rolling: Name it ``checkpoint-N-rolling``.

    Raises:
        DiskError: Full or not writable; earlier checkpoints are untouched and no partial folder stays.
        ModelError: What was written does not read back equal.
    """
    folder = run_dir.checkpoint(state.step, rolling=rolling)
    aside = folder.with_name(folder.name + PARTIAL_SUFFIX)
    remove_partial(run_dir)
    try:
        aside.mkdir(parents=True)
        tensors = {**optimizer_tensors(state), **random_tensors(device)}
        weights.save(aside, step=state.step)
        if state.ema is not None:
            save_ema(aside, state.ema, weights if config.model_type == "lora" else None, step=state.step)
        save_file(tensors, aside / TENSORS_FILE, metadata={"format": "pt"})
        scaler = {} if state.scaler is None else state.scaler.state_dict()
        write_json(aside / STATE_FILE, {"version": FORMAT_VERSION, **state.counters(), "scaler": scaler})
        for backend_id, position in stream.items():
            write_json(aside / f"training_state-{backend_id}.json", position)
        write_json(aside / "config.json", config.to_dict())
        add_assets(run_dir, aside, step=state.step)
        _verify(aside, weights, tensors)
        write_json(aside / MANIFEST_FILE, _manifest(aside, config))
        _sync_tree(aside)
        (aside / GUARD_FILE).touch()
        sync_folder(aside)
        _move_in(aside, folder)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if is_disk_failure(error):
            raise as_disk_error(error, action=f"saving step {state.step}", path=folder) from error
        raise
    return folder


def remove_partial(run_dir: RunDir) -> None:
    """Remove what a killed save left behind."""
    for leftover in run_dir.path.glob(f"checkpoint-*{PARTIAL_SUFFIX}"):
        shutil.rmtree(leftover, ignore_errors=True)


def purge_checkpoints(
    run_dir: RunDir, *, keep: int, keep_rolling: int, best_step: int | None, in_use: Collection[Path] = ()
) -> list[Path]:
    """Delete the oldest whole checkpoints beyond the limits; the newest and the best always stay.

    Those that a person marked to be kept (`KEEP_FILE`) stay too, outside the limits.

    Args:
        run_dir: The run.
        keep: Plain checkpoints to keep; 0 keeps all.
        keep_rolling: Rolling ones to keep.
        best_step: Step of the best one, kept beside the newest `keep`.
        in_use: Kept whatever their age: the one just written (after going back, older ones may have higher steps),
            the one that the configuration names to go on from (the same command needs it again), and those that
            ``post_checkpoint_script`` is still at work on.

    Returns:
        Folders that should have gone but could not be removed (never fatal).
    """
    whole = [folder for folder in run_dir.whole_checkpoints() if not (folder / KEEP_FILE).exists()]
    plain = [folder for folder in whole if not folder.name.endswith("-rolling")]
    rolling = [folder for folder in whole if folder.name.endswith("-rolling")]
    beyond = (plain[:-keep] if keep else []) + rolling[:-keep_rolling]
    stuck = []
    for folder in beyond:
        if checkpoint_step(folder) == best_step or folder in in_use:
            continue
        # The guard goes first: a half-deleted checkpoint must not count as whole.
        try:
            (folder / GUARD_FILE).unlink(missing_ok=True)
            shutil.rmtree(folder)
        except OSError:
            stuck.append(folder)
    return stuck


def folder_bytes(folder: Path) -> int:
    """Bytes in all files below ``folder``."""
    return sum(path.stat().st_size for path in _files(folder))


def _manifest(folder: Path, config: Config) -> dict[str, Any]:
    return {
        "version": FORMAT_VERSION,
        "name": folder.name.removesuffix(PARTIAL_SUFFIX),
        "model_family": config.model_family,
        "model_type": config.model_type,
        "model_flavour": config.model_flavour,
        "files": {
            str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for path in _files(folder)
        },
    }


def _verify(folder: Path, weights: TrainedWeights, tensors: dict[str, torch.Tensor]) -> None:
    from safetensors import safe_open

    with safe_open(folder / TENSORS_FILE, framework="pt") as file:
        equal = all(torch.equal(file.get_tensor(name), tensor) for name, tensor in tensors.items())
    if not equal or not weights.equal_to(folder):
        raise ModelError(
            f"{folder}: what was written does not read back the same",
            hint="The disk may be failing; choose another output_dir.",
        )


def _move_in(aside: Path, folder: Path) -> None:
    replaced = folder.with_name(f"{folder.name}-replaced{PARTIAL_SUFFIX}")
    if folder.exists():
        folder.replace(replaced)
    aside.replace(folder)
    sync_folder(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _sync_tree(folder: Path) -> None:
    for path in _files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
