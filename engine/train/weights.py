"""The two kinds of trained weights, each with its own way of saving, loading and comparing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.contract.model_files import TRANSFORMER_FOLDER
from engine.contract.run_dir import ADAPTER_FILE
from engine.export.adapter_file import read_adapter, write_adapter
from engine.model.adapters import LoraSpec, adapter_state, known_modules, load_adapter_state
from engine.model.load import Checkpoint, load_transformer, save_transformer
from engine.model.transformer import AceStepTransformer


class TrainedWeights(Protocol):
    """What a checkpoint needs of the weights that are trained."""

    def save(self, folder: Path, *, step: int) -> None:
        """Write them into ``folder``."""

    def load(self, folder: Path) -> None:
        """Read them back into the model, bit for bit."""

    def equal_to(self, folder: Path) -> bool:
        """Whether what ``folder`` holds equals the model, bit for bit."""


class LoraWeights:
    """A LoRA adapter in resume form: unfolded, true alpha, canonical keys (exports.md section 1)."""

    def __init__(self, model: AceStepTransformer, spec: LoraSpec, *, base_model: str, target_preset: str) -> None:
        self._model = model
        self._spec = spec
        self._header = {"base_model": base_model, "target_preset": target_preset}

    def save(self, folder: Path, *, step: int) -> None:
        """Write ``pytorch_lora_weights.safetensors``."""
        metadata = self._header | {"global_step": str(step)}
        write_adapter(folder / ADAPTER_FILE, adapter_state(self._model), spec=self._spec, metadata=metadata)

    def load(self, folder: Path) -> None:
        """Read the adapter file into the model's adapter."""
        load_adapter_state(self._model, self._read(folder))

    def equal_to(self, folder: Path) -> bool:
        """Whether the file's tensors equal the adapter's."""
        saved, live = self._read(folder), adapter_state(self._model)
        return saved.keys() == live.keys() and all(torch.equal(saved[name], live[name].cpu()) for name in live)

    def _read(self, folder: Path) -> dict[str, Tensor]:
        return read_adapter(folder / ADAPTER_FILE, known_modules(self._model.config)).tensors


class FullWeights:
    """All weights of the transformer, with the dead ones of the source checkpoint copied through."""

    def __init__(self, model: AceStepTransformer, source: Checkpoint) -> None:
        self._model = model
        self._source = source

    def save(self, folder: Path, *, step: int) -> None:
        """Write ``ace_step_transformer/`` in float32, so that a resumed run is bit-equal."""
        del step  # full checkpoints carry it in training_state.json alone
        save_transformer(self._model, self._source, folder / TRANSFORMER_FOLDER, dtype=torch.float32)

    def load(self, folder: Path) -> None:
        """Read the folder's tensors into the model."""
        self._model.load_state_dict(self._read(folder).state_dict())

    def equal_to(self, folder: Path) -> bool:
        """Whether the folder's tensors equal the model's."""
        saved, live = self._read(folder).state_dict(), self._model.state_dict()
        return saved.keys() == live.keys() and all(torch.equal(saved[name], live[name].cpu()) for name in live)

    def _read(self, folder: Path) -> nn.Module:
        source = replace(self._source, transformer=folder / TRANSFORMER_FOLDER)
        with_projectors = self._model.projectors is not None
        return load_transformer(source, dtype=torch.float32, device="cpu", with_projectors=with_projectors)
