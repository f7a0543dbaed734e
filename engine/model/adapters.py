"""LoRA on the transformer, with the ecosystem's own key names (spec ace-step-v1.md 10, exports.md 1).

Precision: the adapter's weights are always float32, whatever the base is. Outside autocast a module's input is cast
up and the low-rank product runs in float32, only its sum with the base output is rounded to the base's dtype; inside
autocast the two small products run in the autocast dtype. Either way the optimizer works on float32 weights: updates
far below bf16's step of 2^-8 are not lost.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engine.contract.errors import ConfigError, ModelError
from engine.contract.fields_lora import LORA_TARGETS
from engine.model.lora_layer import ADAPTER_NAME, LoraLayer, put_in_place
from engine.model.parameter_names import checkpoint_shape, checkpoint_shapes
from engine.model.quantise import device_of
from engine.objective.randomness import sample_generator

if TYPE_CHECKING:
    from engine.contract.config import Config
    from engine.model.card import TransformerConfig
    from engine.model.transformer import AceStepTransformer


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSpec:
    """Shape and strength of an adapter: ``W' = W + scale * B A`` with A (rank, in) and B (out, rank)."""

    rank: int
    """Inner width of the pair."""
    alpha: float
    """Numerator of the scale."""
    use_rslora: bool = False
    """Divide by the square root of the rank instead of the rank."""
    dropout: float = 0.0
    """Dropout on the adapter's input while training, 0 ... 1."""
    target_modules: tuple[str, ...] = LORA_TARGETS["attn_qkv+linear_qkv"]
    """Module-name suffixes."""
    init: str = "default"
    """How A starts: ``default`` (Kaiming uniform) or ``gaussian`` (std 1/rank); B always starts at zero."""
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    """Module path -> rank where it differs from ``rank``."""
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    """Module path -> alpha where it differs from ``alpha``."""

    @property
    def scale(self) -> float:
        """``alpha / rank``, or ``alpha / sqrt(rank)`` with rsLoRA."""
        return lora_scale(self.rank, self.alpha, use_rslora=self.use_rslora)

    def scale_of(self, module: str) -> float:
        """The scale of one module, patterns included."""
        rank, alpha = self.rank_pattern.get(module, self.rank), self.alpha_pattern.get(module, self.alpha)
        return lora_scale(rank, alpha, use_rslora=self.use_rslora)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of an adapter file's keys."""

    matched: tuple[str, ...]
    """Keys copied into the model."""
    missing: tuple[str, ...]
    """Keys of the model that the file lacks: they keep their values."""
    unexpected: tuple[str, ...]
    """Keys of the file that the model has no place for."""


def lora_scale(rank: int, alpha: float, *, use_rslora: bool) -> float:
    """``alpha / rank``, or ``alpha / sqrt(rank)`` with rsLoRA."""
    return alpha / (math.sqrt(rank) if use_rslora else rank)


def lora_targets(config: Config) -> tuple[str, ...]:
    """The module-name suffixes a configuration asks for: ``peft_lora_target_modules`` over ``acestep_lora_target``."""
    return config.peft_lora_target_modules or LORA_TARGETS[config.acestep_lora_target]


def lora_spec(config: Config) -> LoraSpec:
    """The adapter a configuration asks for; ``lora_alpha`` absent means alpha = rank, so scale 1."""
    alpha = config.lora_rank if config.lora_alpha is None else config.lora_alpha
    return LoraSpec(
        rank=config.lora_rank,
        alpha=alpha,
        use_rslora=config.lora_use_rslora,
        dropout=config.lora_dropout,
        target_modules=lora_targets(config),
        init=config.lora_init_type,
    )


def known_modules(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Every module of the checkpoint a LoRA file may name, with the shape of its weight in the file.

    Dead cross-attention projections are among them: files that carry them are valid (exports.md 1).
    """
    return {
        name.removesuffix(".weight"): shape
        for name, shape in checkpoint_shapes(config).items()
        if name.endswith(".weight") and len(shape) > 1
    }


def pair_shapes(weight_shape: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of A and B in a file, for a weight of this shape in the checkpoint: convolutions keep trailing axes."""
    out_features, *rest = weight_shape
    return (rank, *rest), (out_features, rank, *[1] * (len(rest) - 1))


def add_lora(model: AceStepTransformer, spec: LoraSpec, *, seed: int) -> None:
    """Put a fresh adapter on the model and freeze everything else; the model's output does not change (B = 0).

    A is drawn from (seed, module path) alone: neither the global generator nor the other targets have a part in it.

    Raises:
        ConfigError: A target matches nothing, or a module that cannot carry LoRA.
    """
    _check_targets(model, spec.target_modules)
    model.requires_grad_(False)
    targets = {name: leaf for name, leaf in _linear_leaves(model) if _is_target(name, spec.target_modules)}
    for name, leaf in targets.items():
        rank, device = spec.rank_pattern.get(name, spec.rank), device_of(leaf)
        down = torch.empty(rank, leaf.in_features, dtype=torch.float32)
        generator = sample_generator(seed, 0, f"lora_init/{name}")
        if spec.init == "gaussian":
            nn.init.normal_(down, std=1 / rank, generator=generator)
        else:
            nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        up = torch.zeros(leaf.out_features, rank, dtype=torch.float32, device=device)
        layer = LoraLayer(
            leaf,
            rank=rank,
            scale=spec.scale_of(name),
            dropout=spec.dropout,
            down=down.to(device),
            up=up,
            of_distances=name.endswith(".linear_pos"),
        )
        put_in_place(model, name, layer.train(leaf.training))


def _linear_leaves(model: nn.Module) -> list[tuple[str, nn.Linear]]:
    return [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def _is_target(name: str, targets: Sequence[str]) -> bool:
    return any(name == target or name.endswith(f".{target}") for target in targets)


def lora_layers(model: nn.Module) -> dict[str, LoraLayer]:
    """Module path -> layer with an adapter, in the model's order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


def adapter_state(model: AceStepTransformer) -> dict[str, Tensor]:
    """The adapter's tensors under canonical keys and file shapes; detached views, so clone what must not move."""
    return {key: parameter.detach().view(shape) for key, (parameter, shape) in _adapter_slots(model).items()}


@torch.no_grad()
def load_adapter_state(model: AceStepTransformer, tensors: Mapping[str, Tensor]) -> LoadReport:
    """Copy canonical tensors into the model's adapter, in place and in float32.

    Raises:
        ModelError: A tensor has another shape than its place (for example another rank); nothing is copied then.
    """
    slots = _adapter_slots(model)
    matched = tuple(key for key in slots if key in tensors)
    misshapen = [key for key in matched if tuple(tensors[key].shape) != slots[key][1]]
    if misshapen:
        examples = "; ".join(f"{key} {tuple(tensors[key].shape)} instead of {slots[key][1]}" for key in misshapen[:3])
        raise ModelError(
            f"{len(misshapen)} of {len(matched)} adapter tensors do not fit the model: {examples}",
            hint="The file's rank must equal lora_rank, and the file must belong to this base model.",
        )
    for key in matched:
        parameter = slots[key][0]
        parameter.copy_(tensors[key].view(parameter.shape))
    return LoadReport(
        matched=matched,
        missing=tuple(key for key in slots if key not in tensors),
        unexpected=tuple(key for key in tensors if key not in slots),
    )


@contextmanager
def adapter_disabled(model: nn.Module) -> Iterator[None]:
    """Run the base model: every adapter is out of the way inside the block, and back as it was after it."""
    layers = list(lora_layers(model).values())
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


@contextmanager
def adapter_scaled(model: nn.Module, scale: float | Mapping[str, float]) -> Iterator[None]:
    """Play the adapter at another scale inside the block: one number for all, or one per module path."""
    layers = lora_layers(model)
    before = {name: layer.scaling[ADAPTER_NAME] for name, layer in layers.items()}
    for name, layer in layers.items():
        layer.scaling[ADAPTER_NAME] = scale if isinstance(scale, float | int) else scale[name]
    try:
        yield
    finally:
        for name, layer in layers.items():
            layer.scaling[ADAPTER_NAME] = before[name]


def _adapter_slots(model: AceStepTransformer) -> dict[str, tuple[Tensor, tuple[int, ...]]]:
    """Canonical key -> the live parameter and its shape in a file."""
    slots: dict[str, tuple[Tensor, tuple[int, ...]]] = {}
    for name, layer in lora_layers(model).items():
        base = layer.get_base_layer()
        weight_shape = checkpoint_shape(f"{name}.weight", (base.out_features, base.in_features), model.config)
        down, up = layer.down.weight, layer.up.weight
        down_shape, up_shape = pair_shapes(weight_shape, down.shape[0])
        slots[f"{name}.lora_A.weight"] = (down, down_shape)
        slots[f"{name}.lora_B.weight"] = (up, up_shape)
    return slots


def _check_targets(model: nn.Module, targets: Sequence[str]) -> None:
    """Each target must match at least one module, and only modules that can carry LoRA."""
    leaves = {name: module for name, module in model.named_modules() if name and not any(module.children())}
    for target in targets:
        matches = {name: leaf for name, leaf in leaves.items() if _is_target(name, [target])}
        if not matches:
            near = ", ".join(_near_targets(leaves, target))
            raise ConfigError(
                f"LoRA target '{target}' matches no module of the model",
                hint=f"Near names: {near}." if near else "A target is the last part of a module's name, such as to_q.",
            )
        for name, leaf in matches.items():
            _check_target(target, name, leaf)


def _check_target(target: str, name: str, leaf: nn.Module) -> None:
    if name.endswith("ff.depth_conv.conv"):
        raise ConfigError(
            f"LoRA target '{target}' matches {name}: LoRA on this depthwise convolution is not offered",
            hint="It would need a rank of its channel count and no player can load it. Use ff.inverted_conv.conv or"
            " ff.point_conv.conv.",
        )
    if isinstance(leaf, nn.Embedding):
        raise ConfigError(
            f"LoRA target '{target}' matches {name}: LoRA on the lyric embedding table is not offered",
            hint="ComfyUI ignores it. Target lyric_proj or the lyric encoder's linear_q, linear_k, linear_v instead.",
        )
    if not isinstance(leaf, nn.Linear):
        raise ConfigError(
            f"LoRA target '{target}' matches {name}, a {type(leaf).__name__}: only linear layers can carry LoRA",
            hint="Write more of the wanted modules' names, so that this one is left out.",
        )


def _near_targets(leaves: Mapping[str, nn.Module], target: str) -> list[str]:
    """Suffixes of LoRA-able modules that look like the target."""
    suffixes: dict[str, None] = {}
    for name, leaf in leaves.items():
        if isinstance(leaf, nn.Linear):
            parts = name.split(".")
            # "to_out.0" and "ff.point_conv.conv": a number or a bare "conv" says nothing on its own.
            start = 3 if parts[-1] == "conv" else 2 if parts[-1].isdigit() else 1
            suffixes[".".join(parts[-start:])] = None
    return difflib.get_close_matches(target, list(suffixes), n=4, cutoff=0.4)
