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
from engine.model.transformer import AceStepTransformer, SpeakerConstant
from engine.train.lyrics_embedder import embedder_equals, embedder_file, load_embedder, read_embedder, save_embedder


class TrainedWeights(Protocol):
    """What a checkpoint needs of the weights that are trained."""

    def save(self, folder: Path, *, step: int) -> None:
        """Write them into ``folder``."""

    def load(self, folder: Path) -> None:
        """Read them back into the model, bit for bit."""

    def equal_to(self, folder: Path) -> bool:
        """Whether what ``folder`` holds equals the model, bit for bit."""


class LoraWeights:
    """A LoRA adapter in resume form: unfolded, true alpha, canonical keys (exports.md section 1).

    With ``with_embedder`` also the lyrics embedder, in a folder of its own (config-formats.md section 8).
    """

    def __init__(
        self,
        model: AceStepTransformer,
        spec: LoraSpec,
        *,
        base_model: str,
        target_preset: str,
        with_embedder: bool = False,
    ) -> None:
        self._model = model
        self._spec = spec
        self._with_embedder = with_embedder
        self._header = {"base_model": base_model, "target_preset": target_preset}

    def save(self, folder: Path, *, step: int) -> None:
        """Write ``pytorch_lora_weights.safetensors``, and ``lyrics_embedder/`` where it is trained."""
        metadata = self._header | {"global_step": str(step)}
        write_adapter(folder / ADAPTER_FILE, adapter_state(self._model), spec=self._spec, metadata=metadata)
        if self._with_embedder:
            save_embedder(self._model, folder, step=step)

    def load(self, folder: Path) -> None:
        """Read the adapter file into the model's adapter, and the embedder where it is trained and there."""
        load_adapter_state(self._model, self._read(folder))
        path = embedder_file(folder) if self._with_embedder else None
        if path is not None:
            load_embedder(self._model, read_embedder(path), source=path)

    def equal_to(self, folder: Path) -> bool:
        """Whether the files' tensors equal the model's."""
        saved, live = self._read(folder), adapter_state(self._model)
        if self._with_embedder and not embedder_equals(self._model, folder):
            return False
        return saved.keys() == live.keys() and all(torch.equal(saved[name], live[name].cpu()) for name in live)

    def _read(self, folder: Path) -> dict[str, Tensor]:
        return read_adapter(folder / ADAPTER_FILE, known_modules(self._model.config)).tensors


class FullWeights:
    """All weights of the transformer, with the dead ones of the source checkpoint copied through."""

    def __init__(self, model: AceStepTransformer, source: Checkpoint) -> None:
        self._model = model
        self._source = source

    def save(self, folder: Path, *, step: int) -> None:
        """Write ``ace_step_transformer/`` in the dtype that is trained, so that a resumed run is bit-equal."""
        del step  # full checkpoints carry it in training_state.json alone
        save_transformer(self._model, self._source, folder / TRANSFORMER_FOLDER, dtype=self._widest())

    def load(self, folder: Path) -> None:
        """Read the folder's tensors into the model."""
        self._model.load_state_dict(self._read(folder).state_dict())

    def equal_to(self, folder: Path) -> bool:
        """Whether the folder's tensors equal the model's."""
        saved, live = self._read(folder).state_dict(), self._model.state_dict()
        return saved.keys() == live.keys() and all(
            torch.equal(saved[name].to(live[name].dtype), live[name].cpu()) for name in live
        )

    def _read(self, folder: Path) -> nn.Module:
        source = replace(self._source, transformer=folder / TRANSFORMER_FOLDER)
        with_projectors = self._model.projectors is not None
        read = load_transformer(source, dtype=self._widest(), device="cpu", with_projectors=with_projectors)
        if isinstance(self._model.speaker_embedder, SpeakerConstant):
            read.leave_speaker_out()
        return read

    def _widest(self) -> torch.dtype:
        """Float32, unless every weight is trained in bfloat16."""
        dtypes = {parameter.dtype for parameter in self._model.parameters()}
        return dtypes.pop() if len(dtypes) == 1 else torch.float32
