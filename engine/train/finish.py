"""The end of a run: final weights, the shareable form, and what can be proved about it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from torch import nn

from engine.contract.errors import ModelError
from engine.contract.events import AdapterExported, Proofs, RunWarning, ValidationLoss
from engine.contract.run_dir import ADAPTER_FILE
from engine.export.formats import export_universal
from engine.export.verify import compare_outputs, verify_export
from engine.model.adapters import LoraSpec, adapter_disabled, adapter_state
from engine.model.load import Checkpoint, load_transformer, resolve_checkpoint
from engine.train.checkpoint import folder_bytes
from engine.train.trainer import Trainer
from engine.train.validate import evaluation
from engine.train.weights import TRANSFORMER_FOLDER

WORKS_THRESHOLD = 1e-4
"""Smallest relative change of a prediction that counts as "the adapter does something"."""


def finish_lora(trainer: Trainer, spec: LoraSpec, *, base_model: str) -> Proofs:
    """Write the final adapter and its universal export, read both again, and prove what can be proved."""
    state, run_dir, emitter = trainer.state, trainer.run_dir, trainer.emitter
    trainer.weights.save(run_dir.path, step=state.step)
    resumes = trainer.weights.equal_to(run_dir.path) and trainer.saved_step is not None

    tensors = adapter_state(state.model)
    path = export_universal(tensors, spec, run_dir.export, base_model=base_model, global_step=state.step)
    report = verify_export(path, tensors, spec)
    batch = probe_batch(trainer)
    output_error = compare_outputs(state.model, path, spec, trainer.family.conditions(batch), batch)
    loads = report.ok and output_error <= report.tolerance
    emitter.emit(
        AdapterExported(
            path=str(path.relative_to(run_dir.path)),
            format="universal",
            bytes=path.stat().st_size,
            max_relative_error=max(report.max_relative_error, output_error),
            verified=loads,
        )
    )
    for problem in report.problems:
        emitter.emit(RunWarning(code="export_problem", message=problem))
    works, note = lora_works(trainer)
    return Proofs(works=works, loads=loads, resumes=resumes, is_yours=None, notes=note)
