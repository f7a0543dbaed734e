"""The end of a run: final weights, the shareable form, and what can be proved about it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.batches.collate import Batch
from engine.contract.errors import as_disk_error, is_disk_failure
from engine.contract.events import AdapterExported, Proofs, RunWarning, ValidationLoss
from engine.contract.files import sync_folder
from engine.contract.model_files import SUB_FOLDERS, TRANSFORMER_FOLDER
from engine.contract.run_dir import EMA_FOLDER, RunDir
from engine.export.adapter_file import read_adapter
from engine.export.formats import export_universal
from engine.export.verify import compare_outputs, verify_universal
from engine.model.adapters import LoraSpec, adapter_state, known_modules
from engine.model.load import Checkpoint, load_transformer, resolve_checkpoint
from engine.objective.flow import interpolate
from engine.objective.timesteps import timesteps_of
from engine.train.checkpoint import folder_bytes
from engine.train.ema import save_ema
from engine.train.lyrics_embedder import embedder_equals, save_embedder, untrained
from engine.train.state import TrainState
from engine.train.step import precision_context
from engine.train.trainer import Trainer

SMALLEST_EFFECT = 1e-4
"""Smallest change of a prediction, relative to its largest value, that counts as "the adapter does something"."""


def finish_lora(trainer: Trainer, spec: LoraSpec, *, base_model: str, probe: Batch) -> Proofs:
    """Write the final adapter and its universal export, read the export again, and prove what can be proved.

    With an average of the weights, that goes into ``ema/`` and is exported beside it, as NAME-ema.

    Args:
        trainer: After its last step and save.
        spec: The adapter's shape and scale.
        base_model: For the export's header.
        probe: A batch to compare predictions on.
    """
    state, run_dir = trainer.state, trainer.run_dir
    trainer.weights.save(run_dir.path, step=state.step)
    averaged = None
    if state.ema is not None:
        save_ema(run_dir.path, state.ema, trainer.weights, step=state.step)
        with state.ema.applied():
            averaged = _export_lora(trainer, spec, averaged_export(run_dir), base_model=base_model, probe=probe)
    exported = _export_lora(trainer, spec, run_dir.export, base_model=base_model, probe=probe)
    notes = {
        "works": f"changes a prediction by {exported.effect * 100:.1f} % of its largest value",
        "is_yours": "no musical features",
    }
    works = exported.effect > SMALLEST_EFFECT
    if works and trainer.held_out.songs:
        works = _beats_its_base(trainer, notes)
    loads = exported.loads and (averaged is None or averaged.loads)
    return Proofs(works=works, loads=loads, resumes=trainer.saved_step == state.step, is_yours=None, notes=notes)


def averaged_export(run_dir: RunDir) -> Path:
    """The shareable form of the averaged weights: export/NAME-ema/."""
    return run_dir.export.with_name(f"{run_dir.export.name}-{EMA_FOLDER}")


@dataclass(frozen=True)
class _Exported:
    """What was found when an export was read again."""

    loads: bool
    effect: float


def _export_lora(trainer: Trainer, spec: LoraSpec, folder: Path, *, base_model: str, probe: Batch) -> _Exported:
    """Write the adapter as it is now in its universal form, read it again and compare predictions."""
    state, run_dir, emitter = trainer.state, trainer.run_dir, trainer.emitter
    tensors, modules = adapter_state(state.model), known_modules(state.model.config)
    path = export_universal(tensors, spec, folder, base_model=base_model, global_step=state.step)
    report = verify_universal(path, tensors, spec, modules)
    batch = probe.to(trainer.device)
    sigma = trainer.sigmas[batch.timestep_index]
    with precision_context(trainer.config, trainer.device):
        comparison = compare_outputs(
            state.model,
            read_adapter(path, modules=modules),
            x_t=interpolate(batch.latents, batch.noise, sigma),
            t=timesteps_of(sigma),
            inputs=trainer.family.conditions(batch),
            frame_mask=batch.frame_mask,
        )
    loads = report.ok and comparison.ok
    emitter.emit(
        AdapterExported(
            path=str(path.relative_to(run_dir.path)),
            format="universal",
            bytes=path.stat().st_size,
            max_relative_error=report.max_relative_error,
            verified=loads,
        )
    )
    if trainer.config.lyrics_embedder_train:
        loads = _export_embedder(trainer, folder) and loads
    for problem in report.problems:
        emitter.emit(RunWarning(code="export_problem", message=f"{path.name}: {problem}"))
    return _Exported(loads=loads, effect=comparison.effect)


def _export_embedder(trainer: Trainer, folder: Path) -> bool:
    """Put the lyrics embedder as it is now beside the adapter; whether it reads back equal, bit for bit."""
    path = save_embedder(trainer.state.model, folder, step=trainer.state.step).parent
    message = (
        f"the trained lyrics embedder is beside the LoRA, in {path.relative_to(trainer.run_dir.path)}: a program that "
        "loads the LoRA alone reads lyrics as the base model does"
    )
    trainer.emitter.emit(RunWarning(code="lyrics_embedder_exported", message=message))
    return embedder_equals(trainer.state.model, folder)


def _beats_its_base(trainer: Trainer, notes: dict[str, str]) -> bool:
    """Whether the held-out loss is lower with the adapter than without; both are told."""
    state = trainer.state
    trainer.measure_held_out()  # measured with the last save; again only where nothing had to be saved
    if trainer.held_out.measured_step != state.step:  # an older loss must not stand in
        trainer.stop_if_asked()
        notes["works"] += "; the held-out loss was not measured, because memory ran out"
        return True
    with_adapter = state.heldout_last
    assert with_adapter is not None
    with untrained(state.model, trainer.config, trainer.family.checkpoint):
        without = trainer.held_out.measure(state.model, step=state.step)
    trainer.emitter.emit(
        ValidationLoss(step=state.step, loss=with_adapter, num_songs=len(trainer.held_out.songs), base_loss=without)
    )
    notes["works"] = f"{with_adapter:.4f} with the LoRA, {without:.4f} without"
    return with_adapter < without


def finish_full(trainer: Trainer, source: Checkpoint) -> Proofs:
    """Make export/NAME/ a checkpoint of its own: the trained transformer beside the source's other three parts.

    Files are hard links where the disk allows it, so that 13 GB are not written twice. An average of the weights goes
    into ``ema/`` of the run's folder.
    """
    state, run_dir, emitter = trainer.state, trainer.run_dir, trainer.emitter
    if state.ema is not None:
        save_ema(run_dir.path, state.ema, None, step=state.step)
    saved = run_dir.checkpoint(state.step) / TRANSFORMER_FOLDER
    parts = dict(zip(SUB_FOLDERS, (saved, source.dcae, source.vocoder, source.text_encoder), strict=True))
    _link_parts(parts, run_dir.export)
    exported = resolve_checkpoint(run_dir.export)
    with_projectors = state.model.projectors is not None
    loaded = load_transformer(exported, dtype=torch.float32, device="cpu", with_projectors=with_projectors)
    # Of what the model gave up the source's tensor is written (the speaker embedder's weight).
    found, live = loaded.state_dict(), state.model.state_dict()
    loads = all(torch.equal(found[name], tensor.cpu().float()) for name, tensor in live.items())
    emitter.emit(
        AdapterExported(
            path=str(run_dir.export.relative_to(run_dir.path)),
            format="checkpoint",
            bytes=folder_bytes(run_dir.export),
            max_relative_error=0.0,
            verified=loads,
        )
    )
    changed = _has_changed(state, source)
    return Proofs(
        works=changed,
        loads=loads,
        resumes=trainer.saved_step == state.step,
        is_yours=None,
        notes={"is_yours": "no musical features"},
    )


def _has_changed(state: TrainState, source: Checkpoint) -> bool:
    base = load_transformer(source, dtype=torch.float32, device="cpu").state_dict()
    trained = {name: value.cpu() for name, value in state.trainable.items() if name in base}
    return any(not torch.equal(base[name].to(value.dtype), value) for name, value in trained.items())


def _link_parts(parts: dict[str, Path], target: Path) -> None:
    aside = target.with_name(target.name + "-tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        for name, folder in parts.items():
            shutil.copytree(folder, aside / name, copy_function=_link_or_copy)
        shutil.rmtree(target, ignore_errors=True)
        aside.replace(target)
        sync_folder(target.parent)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(aside, ignore_errors=True)
        if is_disk_failure(error):
            raise as_disk_error(error, action="writing the trained model", path=target) from error
        raise


def _link_or_copy(source: str, target: str) -> None:
    real = os.path.realpath(source)  # the hub's cache holds links to blobs
    try:
        os.link(real, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(real, target)
