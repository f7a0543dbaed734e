"""Shareable adapter files: what a player applies at strength 1 is exactly what was trained (spec exports.md 3, 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from engine.contract.errors import ModelError
from engine.contract.files import sync_folder
from engine.export.adapter_file import ADAPTER_NAME_ON_DISK, config_json, number_text, write_tensors
from engine.model.adapters import LoraSpec

_DTYPE_NAMES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}


def export_universal(
    state: Mapping[str, Tensor],
    spec: LoraSpec,
    folder: Path,
    *,
    dtype: torch.dtype = torch.bfloat16,
    base_model: str,
    global_step: int,
) -> Path:
    """Write the form that upstream, the forks and ComfyUI play alike at strength 1.

    Those tools read no scale from a plain file, so it is folded into B: ``B' = scale * B``, ``A' = A``, computed in
    float32 and rounded once; the header then says alpha = rank everywhere. Bare canonical keys, no alpha tensors.

    Args:
        state: Canonical tensors of the trained adapter.
        spec: Its scale.
        folder: Becomes ``folder/pytorch_lora_weights.safetensors``; upstream wants the folder.
        dtype: bfloat16, float32 or float16.
        base_model: Hub id or folder of the base, for the header.
        global_step: Optimizer steps trained, for the header.

    Returns:
        The file.

    Raises:
        ModelError: A value does not fit the dtype, or rounding would make a module vanish.
        DiskError: The disk is full or not writable; an older export is untouched.
    """
    tensors = {key: _cast(key, tensor, dtype) for key, tensor in fold_scale(state, spec)}
    ranks = {key.removesuffix(".lora_A.weight"): x.shape[0] for key, x in tensors.items() if key.endswith("A.weight")}
    odd_ranks = {module: rank for module, rank in ranks.items() if rank != spec.rank}
    folded = replace(
        spec,
        alpha=spec.rank,
        use_rslora=False,
        dropout=0.0,
        rank_pattern=odd_ranks,
        alpha_pattern=odd_ranks,
    )
    metadata = {
        "format": "pt",
        "lora_adapter_metadata": config_json(folded),
        "acestep_tui.format": "universal",
        "acestep_tui.folded_scale": number_text(spec.scale),
        "acestep_tui.train_alpha": number_text(spec.alpha),
        "acestep_tui.train_rslora": str(spec.use_rslora).lower(),
        "base_model": base_model,
        "global_step": str(global_step),
    }
    path = folder / ADAPTER_NAME_ON_DISK
    write_tensors(path, tensors, metadata=metadata, action="writing the export")
    sync_folder(folder)
    return path


def fold_scale(state: Mapping[str, Tensor], spec: LoraSpec) -> Iterator[tuple[str, Tensor]]:
    """The tensors in float32 on the CPU with each module's scale multiplied into its B."""
    for key, tensor in state.items():
        value = tensor.detach().to("cpu", torch.float32)
        if key.endswith(".lora_B.weight"):
            value = value * spec.scale_of(key.removesuffix(".lora_B.weight"))
        yield key, value


def _cast(key: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    largest = tensor.abs().max()
    if largest > torch.finfo(dtype).max:
        raise ModelError(
            f"{key}: its largest value {largest:.3g} does not fit {_DTYPE_NAMES[dtype]}",
            hint="Export in bf16 or fp32.",
        )
    cast = tensor.to(dtype)
    if largest > 0 and not cast.any():
        raise ModelError(
            f"{key}: all its values vanish in {_DTYPE_NAMES[dtype]} (largest {largest:.3g})",
            hint="Export in bf16 or fp32.",
        )
    return cast
