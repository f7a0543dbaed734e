"""What an adapter file says about its scale, from every place where tools put it (spec exports.md 8, rule 4)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.model.adapters import lora_scale

_ALPHA_TENSORS = "alpha tensors"


@dataclass(frozen=True, slots=True)
class ScaleSource:
    """One place that determines the scale of every module."""

    name: str
    """Where it stands: ``alpha tensors``, ``adapter_config.json``, ``lora_adapter_metadata``, ..."""
    scales: dict[str, float]
    """Module path -> scale."""

    def shown(self) -> str:
        """The scale in words: one number, or its range where modules differ."""
        low, high = min(self.scales.values()), max(self.scales.values())
        return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"


def find_scales(
    ranks: Mapping[str, int], alphas: Mapping[str, float], metadata: Mapping[str, str], config_file: Path
) -> tuple[list[ScaleSource], list[str]]:
    """All sources in their order of precedence, and what a user should be told about them.

    Args:
        ranks: Module path -> rank.
        alphas: Module path -> value of its alpha tensor, for the modules that have one.
        metadata: The file's header strings.
        config_file: PEFT's ``adapter_config.json`` beside the file; it need not exist.
    """
    notes: list[str] = []
    sources: list[ScaleSource] = []
    if alphas:
        # The rule of the players that read them: alpha over rank, 1 where a module has none.
        scales = {module: alphas[module] / rank if module in alphas else 1.0 for module, rank in ranks.items()}
        sources.append(ScaleSource(_ALPHA_TENSORS, scales))
    readers: tuple[tuple[str, Callable[[], dict[str, float] | None]], ...] = (
        ("adapter_config.json", lambda: _from_config_file(ranks, config_file)),
        ("lora_adapter_metadata", lambda: _from_json(ranks, metadata.get("lora_adapter_metadata"))),
        ("acestep_tui", lambda: _from_own(ranks, metadata)),
        ("ss_network_alpha", lambda: _from_kohya(ranks, metadata)),
    )
    for name, read in readers:
        try:
            scales_found = read()
        except (ValueError, TypeError, KeyError, OSError, ZeroDivisionError) as error:
            notes.append(f"{name} cannot be read and is left out: {error}")
            continue
        if scales_found is not None:
            sources.append(ScaleSource(name, scales_found))
    return sources, notes + _notes(sources)


def _notes(sources: list[ScaleSource]) -> list[str]:
    if not sources:
        return ["the file does not say its scale; 1 is used"]
    notes = []
    first = sources[0]
    for other in sources[1:]:
        if any(abs(other.scales[module] - scale) > 1e-6 * abs(scale) for module, scale in first.scales.items()):
            notes.append(
                f"{first.name} say scale {first.shown()}, {other.name} says {other.shown()}; the first is used"
            )
    if first.name != _ALPHA_TENSORS and any(scale != 1.0 for scale in first.scales.values()):
        notes.append(f"trained at scale {first.shown()}; other tools play this file at 1")
    return notes


def _from_config_file(ranks: Mapping[str, int], path: Path) -> dict[str, float] | None:
    return _from_json(ranks, path.read_text(encoding="utf-8-sig")) if path.is_file() else None


def _from_json(ranks: Mapping[str, int], text: str | None) -> dict[str, float] | None:
    """Scales by a LoraConfig's JSON; a pipeline's metadata carries the component's name before each key."""
    if text is None:
        return None
    config: dict[str, Any] = {key.removeprefix("transformer."): value for key, value in json.loads(text).items()}
    rank_pattern, alpha_pattern = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    use_rslora = bool(config.get("use_rslora", False))
    scales: dict[str, float] = {}
    for module in ranks:
        rank = int(_by_pattern(rank_pattern, module, config["r"]))
        alpha = float(_by_pattern(alpha_pattern, module, config["lora_alpha"]))
        scales[module] = lora_scale(rank, alpha, use_rslora=use_rslora)
    return scales


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """PEFT's rule: the first key that matches the module's path, or its end, as a regular expression."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def _from_own(ranks: Mapping[str, int], metadata: Mapping[str, str]) -> dict[str, float] | None:
    """Our own entries: an export has its scale folded in, a training file names alpha."""
    form = metadata.get("acestep_tui.format")
    if form is None:
        return None
    if form != "train":
        return dict.fromkeys(ranks, 1.0)
    use_rslora = metadata.get("rslora") == "true"
    alpha = float(metadata["alpha"])
    return {module: lora_scale(rank, alpha, use_rslora=use_rslora) for module, rank in ranks.items()}


def _from_kohya(ranks: Mapping[str, int], metadata: Mapping[str, str]) -> dict[str, float] | None:
    if "ss_network_alpha" not in metadata or "ss_network_dim" not in metadata:
        return None
    return dict.fromkeys(ranks, float(metadata["ss_network_alpha"]) / float(metadata["ss_network_dim"]))
