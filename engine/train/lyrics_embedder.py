"""The lyrics embedder trained along with a LoRA: its weights, its file, its place in a checkpoint (spec section 8).

The embedder is three modules of the transformer: ``lyric_embs``, ``lyric_encoder`` and ``lyric_proj``. Their own
weights are meant here; a LoRA inside them belongs to the adapter's file.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.model_files import DIFFUSERS_WEIGHTS, weight_files
from engine.contract.optimizers import embedder_values, has_own_optimizer
from engine.export.adapter_file import write_tensors
from engine.model.adapters import adapter_disabled
from engine.model.load import Checkpoint
from engine.model.quantise import LYRIC_MODULES
from engine.model.transformer import AceStepTransformer
from engine.model.weights import read_tensors
from engine.optim.build import trained_dtype
from engine.optim.schedule import goes_on

EMBEDDER_FOLDER = "lyrics_embedder"
EMBEDDER_FILE = "model.safetensors"
SIMPLETUNER_FILE = "pytorch_model.bin"

_ADAPTER_PART = re.compile(r"\.lora_[A-Za-z_]+\.")


def is_embedder_name(name: str) -> bool:
    """Whether a parameter is one of the embedder's own weights."""
    return name.partition(".")[0] in LYRIC_MODULES and not _ADAPTER_PART.search(name)


def embedder_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The embedder's own weights by their name in a checkpoint: what PEFT put around them is no part of it."""
    return {
        name.replace(".base_layer.", "."): parameter
        for name, parameter in model.named_parameters()
        if is_embedder_name(name)
    }


def make_embedder_trainable(model: nn.Module, optimizer: str) -> None:
    """Let the embedder's weights be trained, in the dtype that their optimizer trains (float32 or bfloat16)."""
    for parameter in embedder_parameters(model).values():
        parameter.data = parameter.data.to(trained_dtype(optimizer))
        parameter.requires_grad_(True)


def embedder_file(folder: Path) -> Path | None:
    """The embedder's file in a checkpoint, ours or SimpleTuner's; None = there is none."""
    files = [folder / EMBEDDER_FOLDER / name for name in (EMBEDDER_FILE, SIMPLETUNER_FILE)]
    return next((path for path in files if path.is_file()), None)


def save_embedder(model: nn.Module, folder: Path, *, step: int) -> Path:
    """Write ``lyrics_embedder/model.safetensors`` below ``folder``, all or nothing.

    Raises:
        DiskError: The disk is full or not writable.
    """
    path = folder / EMBEDDER_FOLDER / EMBEDDER_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    state: dict[str, Tensor] = dict(embedder_parameters(model))
    write_tensors(path, state, metadata={"format": "pt", "global_step": str(step)}, action="saving the lyrics embedder")
    return path


def read_embedder(path: Path) -> dict[str, Tensor]:
    """The tensors of an embedder's file, on the CPU; a ``.bin`` is read without running anything in it.

    Raises:
        ModelError: The file is damaged, or holds something else than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
            raise ValueError("it holds something else than tensors by name")
        return loaded
    except (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, ValueError, EOFError) as error:
        raise ModelError(
            f"{path}: the lyrics embedder cannot be read: {str(error).splitlines()[0]}",
            hint="Copy the file again, or set lyrics_embedder_train false.",
        ) from error


@torch.no_grad()
def load_embedder(model: nn.Module, tensors: Mapping[str, Tensor], *, source: Path) -> None:
    """Copy the embedder's weights into the model, in place and in its dtypes.

    Raises:
        ModelError: A weight is missing, unknown or of another shape; nothing is copied then.
    """
    parameters = embedder_parameters(model)
    problems = [f"{name} is missing" for name in parameters.keys() - tensors.keys()]
    problems += [f"{name} is no part of it" for name in tensors.keys() - parameters.keys()]
    problems += [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(parameter.shape)}"
        for name, parameter in parameters.items()
        if name in tensors and tensors[name].shape != parameter.shape
    ]
    if problems:
        raise ModelError(
            f"{source}: {len(problems)} weights do not fit the model's lyrics embedder: {'; '.join(problems[:3])}",
            hint="The file must belong to this base model. Without it: set lyrics_embedder_train false.",
        )
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])


def load_sibling_embedder(model: nn.Module, adapter: Path) -> Path | None:
    """Load the ``lyrics_embedder/`` folder that lies beside an adapter's file, if there is one; returns its file.

    Raises:
        ModelError: It cannot be read or does not fit.
    """
    path = embedder_file(adapter.parent)
    if path is not None:
        load_embedder(model, read_embedder(path), source=path)
    return path


def embedder_equals(model: nn.Module, folder: Path) -> bool:
    """Whether what `save_embedder` wrote equals the model's embedder, bit for bit."""
    saved = load_file(folder / EMBEDDER_FOLDER / EMBEDDER_FILE)
    live = embedder_parameters(model)
    return saved.keys() == live.keys() and all(torch.equal(saved[name], live[name].detach().cpu()) for name in live)


@contextlib.contextmanager
def original_embedder(model: AceStepTransformer, source: Checkpoint) -> Iterator[None]:
    """The embedder is the base model's inside the block, and as it was after it."""
    kept = {name: parameter.detach().clone() for name, parameter in embedder_parameters(model).items()}
    files = weight_files(source.transformer, default_name=DIFFUSERS_WEIGHTS, variant=source.variant)
    tensors = read_tensors(files, dtype=torch.float32, device=torch.device("cpu"), keep=is_embedder_name)
    load_embedder(model, tensors, source=source.transformer)
    try:
        yield
    finally:
        load_embedder(model, kept, source=source.transformer)


@contextlib.contextmanager
def untrained(model: AceStepTransformer, config: Config, source: Checkpoint) -> Iterator[None]:
    """The base model of a LoRA run inside the block: without adapter, with the lyrics embedder as it came."""
    embedder = original_embedder(model, source) if config.lyrics_embedder_train else contextlib.nullcontext()
    with adapter_disabled(model), embedder:
        yield


def with_kept_embedder_rate(config: Config, began: Mapping[str, Any], *, warn: Callable[[str, str], None]) -> Config:
    """The configuration with the rate that the embedder's curve began with (config-formats.md section 4.3).

    Args:
        config: The wanted configuration.
        began: The configuration in the checkpoint.
        warn: Called with (code, message).
    """
    wanted = embedder_values(config)
    own_schedule, own = began.get("lyrics_embedder_lr_scheduler"), began.get("lyrics_embedder_lr")
    began_schedule = began.get("lr_scheduler") if own_schedule is None else own_schedule
    if not config.lyrics_embedder_train or not goes_on(wanted["lr_scheduler"], began_schedule):
        return config
    rate = began["learning_rate"] if own is None else own  # 0 is a rate too
    if rate == wanted["learning_rate"]:
        return config
    if config.lyrics_embedder_lr is not None:
        warn(
            "learning_rate_kept",
            f"lyrics_embedder_lr stays {rate:g} instead of {config.lyrics_embedder_lr:g}: a {wanted['lr_scheduler']} "
            "curve goes on as it began",
        )
    # In the main optimizer, at the main rate, it stays there: a rate of its own would make it another group.
    return config.replace(lyrics_embedder_lr=rate if has_own_optimizer(config) else own)


def embedder_warning(config: Config, folder: Path) -> tuple[str, str] | None:
    """What does not fit between the setting and the checkpoint to go on from: code and message."""
    if config.model_type != "lora":
        return None
    path = embedder_file(folder)
    if config.lyrics_embedder_train and path is None:
        told = "holds no lyrics embedder, so that of the base model is trained from here on"
        return "no_lyrics_embedder", f"{folder.name} {told}"
    if path is not None and not config.lyrics_embedder_train:
        told = "which is not used: clips and training differ from before. Set lyrics_embedder_train true to use it"
        return "lyrics_embedder_ignored", f"{folder.name} holds a trained lyrics embedder, {told}"
    return None
