"""Adapter files: writing the resume form, reading any dialect into the canonical one (spec exports.md 1, 4, 8)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.contract.errors import ModelError
from engine.contract.files import write_atomic
from engine.contract.lora_key_names import Part, flat_names_of, foreign_kind, match_module, split_key
from engine.export.scales import ScaleSource, find_scales
from engine.model.adapters import LoraSpec, pair_shapes

ADAPTER_NAME_ON_DISK = "pytorch_lora_weights.safetensors"
"""The name upstream, SimpleTuner and diffusers look for inside a folder."""

_MAX_HEADER_BYTES = 100 * 2**20


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter in canonical form: ``W' = W + scales[module] * B A`` for every module."""

    path: Path
    """The file itself, also where a folder was given."""
    tensors: dict[str, Tensor]
    """Canonical key -> tensor, CPU, dtype of the file, shapes as in a checkpoint."""
    ranks: dict[str, int]
    """Module path -> rank."""
    scales: dict[str, float]
    """Module path -> scale."""
    metadata: dict[str, str]
    """The file's own header strings."""
    scale_sources: tuple[ScaleSource, ...]
    """Everything that says something about the scale, the one used first; empty = nothing does, scale 1."""
    unmatched: tuple[str, ...]
    """Keys that belong to no known module or are no LoRA tensor."""
    notes: tuple[str, ...]
    """What a user should be told: extra keys, sources that disagree, a scale other programs do not apply."""


def write_adapter(
    path: Path, state: Mapping[str, Tensor], *, spec: LoraSpec, metadata: Mapping[str, str | int | float]
) -> None:
    """Write an adapter in resume form: unfolded, with its true alpha.

    Args:
        path: The file.
        state: Canonical tensors (`engine.model.adapters.adapter_state`).
        spec: The adapter's shape and scale.
        metadata: Further header entries: ``global_step``, ``base_model``, ``target_preset``, ...; they win over ours.

    Raises:
        DiskError: The disk is full or not writable; the old file, if any, is untouched.
    """
    own = {
        "format": "pt",
        "acestep_tui.format": "train",
        "lora_adapter_metadata": config_json(spec),
        "rank": str(spec.rank),
        "alpha": number_text(spec.alpha),
        "rslora": str(spec.use_rslora).lower(),
    }
    extra = {key: str(value) for key, value in metadata.items()}
    write_tensors(path, state, metadata=own | extra, action="saving the adapter")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str], action: str) -> None:
    """Write a safetensors file all or nothing; equal content always gives equal bytes.

    Raises:
        DiskError: The disk is full or not writable.
    """
    plain = {key: tensor.detach().to("cpu").contiguous() for key, tensor in tensors.items()}
    content = safetensors.torch.save(plain, metadata=dict(metadata))
    # The library writes the metadata in the order of a hash table, another one in every process.
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    write_atomic(
        path, b"".join((len(text).to_bytes(8, "little"), text, memoryview(content)[8 + size :])), action=action
    )


def config_json(spec: LoraSpec, **changes: Any) -> str:
    """The header entry ``lora_adapter_metadata``: LoRA settings every PEFT version understands, as JSON.

    diffusers passes them to ``LoraConfig``, which refuses what it does not know; so nothing newer stands here.
    """
    values: dict[str, Any] = {
        "r": spec.rank,
        "lora_alpha": _plain_number(spec.alpha),
        "use_rslora": spec.use_rslora,
        "lora_dropout": spec.dropout,
        "bias": "none",
        "target_modules": sorted(spec.target_modules),
        "rank_pattern": dict(spec.rank_pattern),
        "alpha_pattern": {name: _plain_number(alpha) for name, alpha in spec.alpha_pattern.items()},
    }
    return json.dumps(values | changes, indent=2, sort_keys=True)


def number_text(value: float) -> str:
    """A number for a header entry: whole numbers without a fraction."""
    return str(_plain_number(value))


def read_adapter(
    path: Path, modules: Mapping[str, tuple[int, ...]], *, scale: Literal["trained", "played"] = "trained"
) -> AdapterFile:
    """Read an adapter of any known dialect (spec exports.md 8).

    Args:
        path: A ``.safetensors`` file, or a folder with one.
        modules: Module path -> weight shape in the checkpoint (`engine.model.adapters.known_modules`).
        scale: ``trained`` takes the first source there is; ``played`` takes what inference tools apply: alpha
            tensors, else 1.

    Raises:
        ModelError: Nothing there, not safetensors, no module matches, half or mismatched pairs, wrong shapes, values
            that are not finite, another kind of adapter or another model's.
    """
    path = _find_file(path)
    raw, metadata = _read_raw(path)
    parts, unmatched = _sort_keys(path, raw, modules)
    tensors = _canonical(path, parts, modules)
    ranks = {key.removesuffix(".lora_A.weight"): x.shape[0] for key, x in tensors.items() if key.endswith("A.weight")}
    alphas = {module: _scalar(path, found["alpha"]) for module, found in parts.items() if "alpha" in found}
    sources, notes = find_scales(ranks, alphas, metadata, path.parent / "adapter_config.json")
    used = [source for source in sources if scale == "trained" or source.name == "alpha tensors"]
    if unmatched:
        notes.insert(0, f"{len(unmatched)} keys are not used: {', '.join(unmatched[:3])}")
    return AdapterFile(
        path=path,
        tensors=tensors,
        ranks=ranks,
        scales=used[0].scales if used else dict.fromkeys(ranks, 1.0),
        metadata=metadata,
        scale_sources=tuple(sources),
        unmatched=tuple(unmatched),
        notes=tuple(notes),
    )


def _find_file(path: Path) -> Path:
    if path.is_dir():
        for name in (ADAPTER_NAME_ON_DISK, "adapter_model.safetensors"):
            if (path / name).is_file():
                return path / name
        found = sorted(path.glob("*.safetensors"))
        if len(found) == 1:
            return found[0]
        raise ModelError(
            f"{path}: {len(found)} .safetensors files, none called {ADAPTER_NAME_ON_DISK}",
            hint="Give the adapter's file itself.",
        )
    if not path.is_file():
        raise ModelError(f"{path}: no such adapter file", hint="Give a .safetensors file, or a folder that holds one.")
    if path.suffix != ".safetensors":
        raise ModelError(f"{path}: not a .safetensors file", hint="Pickled files (.bin, .pt, .ckpt) are never opened.")
    return path


def _read_raw(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > _MAX_HEADER_BYTES:
        raise ModelError(f"{path}: not a safetensors file (header of {header_bytes} bytes)")
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"{path}: damaged: {error}", hint="Copy or download the file again.") from error


def _sort_keys(
    path: Path, raw: Mapping[str, Tensor], modules: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, dict[Part, Tensor]], list[str]]:
    """Tensors by module and part, and the keys that belong nowhere."""
    kind = foreign_kind(raw)
    if kind == "ACE-Step 1.5":
        raise ModelError(f"{path}: this LoRA is for ACE-Step 1.5", hint="This program trains and plays version 1 only.")
    if kind:
        raise ModelError(f"{path}: a {kind} adapter; only plain LoRA is supported ({_examples(sorted(raw))})")
    flat_names = flat_names_of(modules)
    parts: dict[str, dict[Part, Tensor]] = defaultdict(dict)
    unmatched, twice = [], []
    for key, tensor in raw.items():
        split = split_key(key)
        module = split and match_module(split[0], modules, flat_names)
        if not split or not module:
            unmatched.append(key)
        elif split[1] in parts[module]:
            twice.append(key)
        else:
            parts[module][split[1]] = tensor
    _refuse(path, twice, "keys name a tensor that another key names too")
    if not any(found.keys() - {"alpha"} for found in parts.values()):
        raise ModelError(
            f"{path}: none of its {len(raw)} keys names a module of ACE-Step v1 ({_examples(sorted(raw))})",
            hint="Is it a LoRA, and for this model?",
        )
    return dict(parts), unmatched


def _canonical(
    path: Path, parts: Mapping[str, dict[Part, Tensor]], modules: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Complete, well-shaped, finite pairs under canonical keys."""
    half, ranks, shapes, nonfinite = [], [], [], []
    tensors: dict[str, Tensor] = {}
    for module, found in parts.items():
        down, up = found.get("A"), found.get("B")
        if "embedding_A" in found and "embedding_B" in found:
            # PEFT's embedding pair is the transpose of a linear one: (rank, rows) and (columns, rank).
            down, up = found["embedding_B"].T, found["embedding_A"].T
        if down is None or up is None:
            if found.keys() != {"alpha"}:
                half.append(module)
            continue
        if min(down.dim(), up.dim()) < 2 or up.shape[1] != down.shape[0]:
            ranks.append(f"{module}: A {tuple(down.shape)}, B {tuple(up.shape)}")
            continue
        down_shape, up_shape = pair_shapes(modules[module], down.shape[0])
        if _squeezed(down.shape) != _squeezed(down_shape) or _squeezed(up.shape) != _squeezed(up_shape):
            shapes.append(f"{module}: A {tuple(down.shape)}, B {tuple(up.shape)}, weight {modules[module]}")
        elif not (torch.isfinite(down).all() and torch.isfinite(up).all()):
            nonfinite.append(module)
        else:
            tensors[f"{module}.lora_A.weight"] = down.reshape(down_shape).contiguous()
            tensors[f"{module}.lora_B.weight"] = up.reshape(up_shape).contiguous()
    _refuse(path, half, "modules have only half of their pair")
    _refuse(path, ranks, "pairs disagree about their rank")
    _refuse(
        path,
        shapes,
        "pairs do not fit the base model",
        hint="It was trained for a model of another size: take a LoRA for this one, or set "
        "pretrained_model_name_or_path to the model that it is for.",
    )
    _refuse(path, nonfinite, "modules hold values that are not finite (NaN or Inf)")
    return tensors


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """Without trailing axes of length 1 beyond the first two: 1x1 convolutions are stored with and without them."""
    sizes = list(shape)
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def _scalar(path: Path, alpha: Tensor) -> float:
    if alpha.numel() != 1:
        raise ModelError(f"{path}: an alpha tensor holds {alpha.numel()} values instead of one")
    return float(alpha.item())


def _refuse(path: Path, found: Sequence[str], what: str, hint: str = "") -> None:
    if found:
        raise ModelError(f"{path}: {len(found)} {what} ({_examples(found)})", hint=hint)


def _examples(names: Sequence[str]) -> str:
    return "; ".join(names[:3])


def _plain_number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)
