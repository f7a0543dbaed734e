"""A whole tiny checkpoint whose vocoder carries its mel buffers as the released one does, and copies to be broken."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.contract.model_files import read_config
from engine.model.mel import LogMel
from engine.model.tiny import write_tiny_checkpoint
from engine.model.vocoder import VocoderConfig

VOCODER = "music_vocoder/diffusion_pytorch_model.safetensors"
WINDOW, BANK = "mel_transform.spectrogram.window", "mel_transform.mel_scale.fb"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once a session; never changed."""
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("verified") / "tiny")
    log_mel = LogMel(VocoderConfig.from_dict(read_config(folder / "music_vocoder")))
    change_tensors(folder / VOCODER, lambda tensors: tensors | {WINDOW: log_mel.window, BANK: log_mel.filter_bank})
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy of the whole checkpoint, to be broken."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def change_tensors(path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Rewrite a safetensors file."""
    tensors = change({name: tensor.clone() for name, tensor in load_file(path).items()})
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})


def with_nan(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The same tensors, one of them not a number."""
    return tensors | {name: torch.full_like(tensors[name], torch.nan)}
