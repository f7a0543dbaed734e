"""A model folder's safetensors, read straight into a module built on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from engine.contract.errors import ModelError
from engine.contract.model_files import WHOLE_HINT
from engine.model.tensor_file import TensorReader, read_header


def read_tensors(
    files: Iterable[Path],
    *,
    dtype: torch.dtype,
    device: torch.device,
    keep: Callable[[str], bool] = lambda name: True,
) -> dict[str, torch.Tensor]:
    """Tensors by name, each cast to `dtype` as it is read, so that only one is ever held twice.

    Raises:
        ModelError: A file is damaged.
    """
    with TensorReader() as reader:
        return {
            name: reader.read(entry).to(device=device, dtype=dtype)
            for path in files
            for name, entry in read_header(path).items()
            if keep(name)
        }


def assign_tensors(module: nn.Module, tensors: Mapping[str, torch.Tensor], *, source: Path) -> None:
    """Put tensors into a module (built on meta) by name, without a copy; names and shapes must match exactly.

    Raises:
        ModelError: Tensors are missing, unexpected or of another shape; names `source` and three examples.
    """
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    missing = sorted(wanted.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - wanted.keys())
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {shape}"
        for name, shape in sorted(wanted.items())
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:3])})"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if names
    ]
    if problems:
        raise ModelError(
            f"{source} does not fit its config.json: tensors {'; '.join(problems)}",
            hint="The weights and config.json beside them must come from the same model. " + WHOLE_HINT,
        )
    module.load_state_dict(dict(tensors), strict=True, assign=True)
