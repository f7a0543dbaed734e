"""Reading one model folder: its config.json and its safetensors, straight into a module built on the meta device."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.contract.errors import ModelError
from engine.model.tensor_file import TensorReader, read_header

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
TRANSFORMERS_WEIGHTS = "model.safetensors"

_WHOLE_HINT = "Download the checkpoint again, or point pretrained_model_name_or_path at a whole copy."


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model folder as plain data.

    Raises:
        ModelError: The file is missing, unreadable or not a JSON object.
    """
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint=_WHOLE_HINT) from error
    if not isinstance(data, dict):
        raise ModelError(f"{path} is not a JSON object", hint=_WHOLE_HINT)
    return data


def weight_files(folder: Path, *, default_name: str = DIFFUSERS_WEIGHTS) -> tuple[Path, ...]:
    """The safetensors files of a model folder (spec section 1): the shards of an index, the default name, the only one.

    Raises:
        ModelError: There is none, or several and no index that says how they belong together.
    """
    index = folder / f"{default_name}.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{index} is not a weight index: {error!r}", hint=_WHOLE_HINT) from error
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise ModelError(f"{folder / missing[0]} is missing (listed in {index.name})", hint=_WHOLE_HINT)
        return tuple(folder / name for name in names)
    if (folder / default_name).is_file():
        return (folder / default_name,)
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return (found[0],)
    what = "no .safetensors file" if not found else f"{len(found)} .safetensors files and no index"
    raise ModelError(f"{folder} holds {what}; {default_name} is expected", hint=_WHOLE_HINT)


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
            hint="The weights and config.json beside them must come from the same model. " + _WHOLE_HINT,
        )
    module.load_state_dict(dict(tensors), strict=True, assign=True)
