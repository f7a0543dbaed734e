"""Proving that an exported adapter does what the trained one did (spec exports.md 9)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.export.adapter_file import AdapterFile
from engine.model.adapters import (
    LoraSpec,
    adapter_disabled,
    adapter_scaled,
    adapter_state,
    load_adapter_state,
)

if TYPE_CHECKING:
    from engine.model.transformer import AceStepTransformer, ConditionInputs

_TOLERANCES = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}
"""Largest relative error of a module's delta, by the dtype of the file."""

_NOISE = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}
"""How far two runs of the model may lie apart because tiny differences round differently, by the model's dtype."""

# The universal form's own rule, written here a second time on purpose: a mistake in the writer must not excuse itself.
_BARE_KEY = re.compile(r"^(?P<module>[a-z_]+(?:\.[a-z0-9_]+)*)\.lora_(?P<part>[AB])\.weight$")


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification found."""

    ok: bool
    """No problem at all."""
    max_relative_error: float
    """Worst relative Frobenius error of a module's delta; NaN when nothing could be compared."""
    num_modules: int
    """Modules compared."""
    problems: tuple[str, ...]
    """What is wrong, in words."""


@dataclass(frozen=True, slots=True)
class OutputComparison:
    """The trained adapter and its export, heard by the model: how far their predictions lie apart."""

    ok: bool
    """The difference is small against the adapter's own effect, or within the rounding of the model."""
    max_relative_error: float
    """Largest difference, relative to the largest value of the prediction."""
    effect: float
    """Largest change that the trained adapter makes to the base model's prediction, on the same scale."""


def verify_universal(
    path: Path, state: Mapping[str, Tensor], spec: LoraSpec, modules: Mapping[str, tuple[int, ...]]
) -> VerifyReport:
    """Check an exported file of the universal form against the adapter it was made from.

    Names, completeness, header and numbers: for every module the file's ``B' A'`` at strength 1 is compared with
    ``scale * B A`` in float64. Nothing is read through the importer.

    Args:
        path: The exported file.
        state: Canonical tensors of the trained adapter.
        spec: Its scale.
        modules: Module path -> weight shape (`engine.model.adapters.known_modules`).
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            metadata = dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        return VerifyReport(
            ok=False, max_relative_error=math.nan, num_modules=0, problems=(f"cannot be read: {error}",)
        )
    problems = _name_problems(tensors, state, modules) + _header_problems(tensors, metadata)
    if any(not torch.isfinite(tensor).all() for tensor in tensors.values()):
        problems.append("values that are not finite (NaN or Inf)")
    shared = [key.removesuffix(".lora_A.weight") for key in state if key.endswith("A.weight") and key in tensors]
    shared = [module for module in shared if f"{module}.lora_B.weight" in tensors]
    comparisons = {module: _compare_module(module, tensors, state, spec.scale_of(module)) for module in shared}
    if not any(comparison.norm > 0 for comparison in comparisons.values()):
        problems.append("untrained adapter: it changes nothing (every B is zero)")
    problems += _delta_problems(comparisons, tensors, spec)
    worst = max((comparison.error for comparison in comparisons.values()), default=math.nan)
    return VerifyReport(
        ok=not problems, max_relative_error=worst, num_modules=len(comparisons), problems=tuple(problems)
    )


@torch.no_grad()
def compare_outputs(
    model: AceStepTransformer,
    exported: AdapterFile,
    *,
    x_t: Tensor,
    t: Tensor,
    inputs: ConditionInputs,
    frame_mask: Tensor | None = None,
) -> OutputComparison:
    """Predict with the trained adapter, with the re-read export at strength 1, and with none.

    Args:
        model: With the trained adapter on it; everything is as before afterwards.
        exported: The export, read back (`engine.export.adapter_file.read_adapter`).
        x_t: (B, C, H, T) noised latents.
        t: (B,) timesteps, 0 ... 1000.
        inputs: Conditions.
        frame_mask: (B, T) or None.
    """

    def predict() -> Tensor:
        return model(x_t, t, model.encode_conditions(inputs), frame_mask=frame_mask).velocity.float()

    was_training = model.training
    model.eval()
    kept = {key: tensor.clone() for key, tensor in adapter_state(model).items()}
    try:
        trained = predict()
        with adapter_disabled(model):
            base = predict()
        loaded = load_adapter_state(model, exported.tensors)
        with adapter_scaled(model, 1.0):
            replayed = predict()
    finally:
        load_adapter_state(model, kept)
        model.train(was_training)
    largest = float(trained.abs().max())
    error, effect = float((replayed - trained).abs().max()) / largest, float((trained - base).abs().max()) / largest
    tolerance = _TOLERANCES[next(iter(exported.tensors.values())).dtype]
    # A lost scale is an error of the size of the effect; the file's own rounding is a small share of it.
    whole = not loaded.missing and not loaded.unexpected
    is_near = error <= 5 * tolerance * effect + _NOISE[_computed_in(model, x_t.device)]
    return OutputComparison(ok=whole and is_near, max_relative_error=error, effect=effect)


def _computed_in(model: AceStepTransformer, device: torch.device) -> torch.dtype:
    """The dtype of most products, whose rounding is what two runs may differ by: autocast's where it is on."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else model.dtype


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One module's delta in the file against the trained one."""

    norm: float
    error: float
    factor: float
    """Least-squares factor between the two: 1 when all is well."""


def _compare_module(
    module: str, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor], scale: float
) -> _Comparison:
    """Compare two products B A in the Frobenius norm without making them: ``<BA, B'A'> = sum((B^T B') * (A A'^T))``."""

    def pair(source: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        down, up = source[f"{module}.lora_A.weight"], source[f"{module}.lora_B.weight"]
        return down.detach().to("cpu", torch.float64).flatten(1), up.detach().to("cpu", torch.float64).flatten(1)

    def inner(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
        return float(((one[1].T @ other[1]) * (one[0] @ other[0].T)).sum())

    trained, written = pair(state), pair(tensors)
    reference = scale**2 * inner(trained, trained)
    cross, square = scale * inner(trained, written), inner(written, written)
    if reference == 0:
        return _Comparison(norm=0.0, error=0.0 if square == 0 else math.inf, factor=math.nan)
    error = math.sqrt(max(square - 2 * cross + reference, 0.0) / reference)
    return _Comparison(norm=math.sqrt(reference), error=error, factor=cross / reference)


def _name_problems(
    tensors: Mapping[str, Tensor], state: Mapping[str, Tensor], modules: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """Keys under the universal form's own rule: bare module path, A and B, nothing else."""
    problems = []
    foreign = []
    for key in tensors:
        match = _BARE_KEY.match(key)
        if not match or match["module"] not in modules:
            foreign.append(key)
    for what, keys in (
        ("keys that upstream and ComfyUI would not know", foreign),
        ("tensors missing", [key for key in state if key not in tensors]),
        ("tensors too many", [key for key in tensors if key not in state]),
        (
            "tensors of another shape",
            [key for key in state if key in tensors and tensors[key].shape != state[key].shape],
        ),
    ):
        if keys:
            problems.append(f"{len(keys)} {what}: {', '.join(keys[:3])}")
    return problems


def _header_problems(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> list[str]:
    """A folded file must say alpha = rank: diffusers applies the header's scale when it reads it at all."""
    try:
        config = json.loads(metadata["lora_adapter_metadata"])
        rank, alpha, rslora = config["r"], config["lora_alpha"], config["use_rslora"]
        ranks = {
            key.removesuffix(".lora_A.weight"): x.shape[0] for key, x in tensors.items() if key.endswith("A.weight")
        }
        says = {module: config["rank_pattern"].get(module, rank) for module in ranks}
        alphas = {module: config["alpha_pattern"].get(module, alpha) for module in ranks}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        return [f"the header's lora_adapter_metadata cannot be read: {error!r}"]
    problems = []
    if says != ranks:
        problems.append("the header names other ranks than the tensors have")
    if alphas != says or rslora:
        problems.append(
            "the header asks for a scale although it is folded in (alpha must equal the rank, rsLoRA be off)"
        )
    return problems


def _delta_problems(comparisons: Mapping[str, _Comparison], tensors: Mapping[str, Tensor], spec: LoraSpec) -> list[str]:
    """Modules whose delta is off, and the usual mistake when one factor explains it."""
    wrong = [
        module
        for module, comparison in comparisons.items()
        if not comparison.error <= _TOLERANCES[tensors[f"{module}.lora_B.weight"].dtype]
    ]
    if not wrong:
        return []
    problems = [f"{len(wrong)} of {len(comparisons)} modules do something else than trained: {', '.join(wrong[:3])}"]
    factors = sorted(comparisons[module].factor for module in wrong if comparisons[module].norm > 0)
    if factors:
        factor = factors[len(factors) // 2]
        mistakes = {
            "the scale is missing": 1 / spec.scale,
            "the scale is in it twice": spec.scale,
            "alpha / rank was used for alpha / sqrt(rank)": 1 / math.sqrt(spec.rank),
            "alpha / sqrt(rank) was used for alpha / rank": math.sqrt(spec.rank),
        }
        for mistake, value in mistakes.items():
            if abs(factor - value) <= 0.01 * abs(value):
                problems.append(f"it plays at {factor:.4g} times the trained strength: {mistake}")
                break
    return problems
