"""A frozen linear layer whose weight is stored with fewer digits and widened only for the product (spec 1.10).

Weights alone are stored so: inputs, products and whatever is trained keep their dtype. Widening comes before the
product, never after it: scaling the result instead is many times slower (design: measured.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.contract.errors import ModelError
from engine.contract.paths import quantised_models

if TYPE_CHECKING:
    from engine.contract.config import Config

Bits = Literal[8, 4]

GROUP_COLUMNS = 64
"""Neighbouring columns of a row that share scale and offset at 4 bits."""

LYRIC_MODULES = ("lyric_embs", "lyric_encoder", "lyric_proj")
"""What ``lyrics_embedder_train`` trains: never quantised then (spec 1.10)."""

_BITS: dict[str, Bits] = {"int8-quanto": 8, "int4-quanto": 4}
# Most of the weights. The rest is small (a fortieth), steers every block (t_block) or is trained (projectors).
_QUANTISED_PARTS = ("transformer_blocks.", "lyric_encoder.encoders.")
# Of a LoRA layer: what is trained beside a weight (`engine.model.lora_layer`).
_ADAPTER_PARTS = ("lora_A", "lora_B")
_LARGEST = {8: 127, 4: 15}
_PIECE = 2**20
"""Numbers that are rounded at once."""
_SMALLEST_SCALE = 2.0**-120
"""A scale of 4 bits below it counts as none: a sixteenth of it would leave bfloat16's ordinary range."""


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How a model is to be stored.

    Attributes:
        bits: 8 or 4 a weight.
        via: The device that does the arithmetic; None = where the model goes.
        kept: Names of modules that stay as they are, with all inside them.
        copies: Folder of copies that are kept for the next start (`engine.model.quantised_copy`); None = none are.
    """

    bits: Bits
    via: torch.device | None = None
    kept: tuple[str, ...] = ()
    copies: Path | None = field(default=None, compare=False)


class Codes(NamedTuple):
    """A quantised matrix (out, in).

    At 4 bits the groups of a row, filled up with zeros to an even number, are stored in pairs: group g of the row's
    first half in the low halves of 64 bytes, group g of its second half in the high ones. One operation then parts
    them, into codes and codes times 16, and one gives the weight: the second half's scales are kept sixteen times
    smaller, which loses nothing.

    Attributes:
        codes: 8 bits: (out, in) int8. 4 bits: (out, 1, pairs, 64) uint8.
        scale: 8 bits: (out, 1) float32. 4 bits: (out, 2, pairs, 1) bfloat16.
        offset: 4 bits: (out, 2, pairs, 1) bfloat16, what code 0 stands for; None at 8 bits, where it is zero.
        halves: 4 bits: (2, 1, 1) uint8, the bits of the two halves of a byte; None at 8 bits.
    """

    codes: Tensor
    scale: Tensor
    offset: Tensor | None = None
    halves: Tensor | None = None

    @property
    def steps(self) -> Tensor:
        """What one code is apart from the next: (out, 1), at 4 bits (out, groups); float32."""
        if self.offset is None:
            return self.scale
        return torch.cat((self.scale[:, 0].float(), self.scale[:, 1].float() * 16), dim=1).squeeze(2)


def quantise(weight: Tensor, bits: Bits, *, name: str = "a weight") -> Codes:
    """Round a matrix (out, in) of any float dtype to ``bits``; no value moves by more than half its scale.

    8 bits: symmetric, one scale a row (its largest magnitude is 127). 4 bits: from the smallest to the largest value of
    a group of 64, zero always among them. Values so small that a scale would vanish become zero.

    Raises:
        ModelError: A value of the weight called ``name`` is not finite.
    """
    # In pieces: the arithmetic in float32 takes many times what is stored.
    pieces = weight.detach().split(max(1, _PIECE // weight.shape[1]))
    stored = [_quantised(piece, bits, name) for piece in pieces]
    if len(stored) == 1:
        return stored[0]
    parts = {part: torch.cat([getattr(one, part) for one in stored]) for part, _ in _parts_of(stored[0])}
    return stored[0]._replace(**parts)


def _quantised(weight: Tensor, bits: Bits, name: str) -> Codes:
    """Some rows of `quantise`."""
    weight = weight.float()
    if not weight.isfinite().all():
        raise ModelError(f"{name} holds values that are not finite", hint="Download or copy the model again.")
    if bits == 8:
        scale = _divided(weight.abs().amax(dim=1, keepdim=True), _LARGEST[8])
        scale = torch.where(scale > 0, scale, 1.0)
        return Codes((weight / scale).round_().to(torch.int8), scale)
    # (out, 2, pairs, 64); an even number of groups, because two share their bytes.
    columns = F.pad(weight, (0, -weight.shape[1] % (2 * GROUP_COLUMNS)))
    groups = columns.unflatten(1, (2, -1, GROUP_COLUMNS))
    # Zero lies within every group's range, so that rounding the offset to bfloat16 costs little of a step.
    low = groups.amin(dim=3, keepdim=True).clamp_(max=0)
    high = groups.amax(dim=3, keepdim=True).clamp_(min=0)
    scale = _divided(high - low, _LARGEST[4]).bfloat16().float()
    scale = torch.where(scale > _SMALLEST_SCALE, scale, 1.0)
    offset = low.bfloat16()
    codes = ((groups - offset.float()) / scale).round_().clamp_(0, _LARGEST[4]).to(torch.uint8)
    scale[:, 1] /= 16
    return Codes(codes[:, :1] | codes[:, 1:] << 4, scale.bfloat16(), offset, _halves(weight.device))


def _parts_of(stored: Codes) -> Iterator[tuple[str, Tensor]]:
    """What is worth keeping of it, by name."""
    parts = {"codes": stored.codes, "scale": stored.scale, "offset": stored.offset}
    return ((name, tensor) for name, tensor in parts.items() if tensor is not None)


def _halves(device: torch.device) -> Tensor:
    return torch.tensor([[[0x0F]], [[0xF0]]], dtype=torch.uint8, device=device)


def _divided(values: Tensor, number: int) -> Tensor:
    """``values / number`` rounded once: given a Python number, CUDA multiplies by its rounded reciprocal instead."""
    return values / values.new_tensor(number)


def dequantise(stored: Codes, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The matrix (out, in) again, computed in float32 and rounded once to ``dtype``.

    One kernel at 8 bits, two at 4 bits to bfloat16: a step of small batches waits for launches, not for memory.
    """
    codes, scale, offset, halves = stored
    if offset is None:
        if not _narrows(codes.device):
            return (codes.float() * scale).to(dtype)
        return torch.mul(codes, scale, out=torch.empty_like(codes, dtype=dtype))
    assert halves is not None
    parted = codes & halves
    if not _narrows(codes.device) or dtype is not torch.bfloat16:
        wide = torch.addcmul(offset.float(), parted.float(), scale.float()).to(dtype)
    else:
        # The kernels compute bfloat16 in float32; codes are exact in it.
        wide = torch.addcmul(offset, parted, scale)
    rows, columns = shape
    wide = wide.view(rows, -1)
    return wide if wide.shape[1] == columns else wide[:, :columns]


def _narrows(device: torch.device) -> bool:
    """Whether kernels write a narrower format than they compute in; those of MPS do not all."""
    return device.type != "mps"


class _Product(torch.autograd.Function):
    """``x W^T + b`` with W quantised: the graph keeps no weight, W is widened anew for the gradient of x.

    The layer is asked for its codes when they are needed, so that they may have been elsewhere in between.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, layer: QuantisedLinear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.widened(x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        for_bias = gradient.flatten(0, -2).sum(dim=0) if ctx.needs_input_grad[1] else None
        return gradient @ ctx.layer.widened(gradient.dtype), for_bias, None


class QuantisedLinear(nn.Linear):
    """A linear layer with a weight of 8 or 4 bits, which cannot be trained; its bias is an ordinary parameter.

    It is an `nn.Linear`, so that LoRA puts an adapter beside it as beside any other.

    Args:
        linear: The layer whose place it takes, on any device (meta too); its bias is taken over, its weight by `store`.
        how: Bits, and where they are computed.
        name: What an error calls the weight.

    Attributes:
        keeps_wide: Let the graph keep the widened weight for the backward pass: quicker, and no more than a block's
            weights while gradient checkpointing runs block after block (`keep_wide_weights`).
    """

    codes: Tensor
    scale: Tensor
    offset: Tensor | None
    halves: Tensor | None

    def __init__(self, linear: nn.Linear, how: Quantisation, *, name: str) -> None:
        nn.Module.__init__(self)  # that of nn.Linear would allocate the weight
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.how, self.name = how, name
        self.register_parameter("bias", linear.bias)
        self.weight_dtype = linear.weight.dtype
        self.keeps_wide = False
        for part in Codes._fields:
            # What parts bytes is the same for all: no part of a state.
            self.register_buffer(part, None, persistent=part != "halves")
        self.training = linear.training

    def store(self, weight: Tensor, *, device: torch.device, dtype: torch.dtype) -> None:
        """Quantise a weight (out, in) and keep the result on ``device``.

        Args:
            weight: Any float dtype.
            device: Where the layer computes.
            dtype: That of `weight` from now on.

        Raises:
            ModelError: A value is not finite.
        """
        stored = quantise(weight.to(self.how.via or device), self.how.bits, name=self.name)
        self.take(stored, device=device, dtype=dtype)

    def take(self, stored: Codes, *, device: torch.device, dtype: torch.dtype) -> None:
        """Keep what `quantise` made of a weight; arguments as for `store`.

        Raises:
            ValueError: It is of another shape or other bits.
        """
        found = {name: (tuple(one.shape), one.dtype) for name, one in _parts_of(stored)}
        if found != self.stored_kinds:
            raise ValueError(f"{self.name} would have {found}, not {self.stored_kinds}")
        for part, tensor in _parts_of(stored):
            setattr(self, part, tensor.to(device))
        self.halves = None if self.offset is None else _halves(device)
        self.weight_dtype = dtype

    @property
    def stored_kinds(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shapes and dtypes of what is stored, by the names in `Codes`."""
        rows, columns = self.out_features, self.in_features
        if self.how.bits == 8:
            return {"codes": ((rows, columns), torch.int8), "scale": ((rows, 1), torch.float32)}
        pairs = -(-columns // (2 * GROUP_COLUMNS))
        a_group = ((rows, 2, pairs, 1), torch.bfloat16)
        return {"codes": ((rows, 1, pairs, GROUP_COLUMNS), torch.uint8), "scale": a_group, "offset": a_group}

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight that the layer multiplies with, (out, in): widened anew at each call, changes to it are lost."""
        return self.widened(self.weight_dtype)

    def widened(self, dtype: torch.dtype) -> Tensor:
        """The weight, (out, in), in ``dtype``."""
        # Not by attribute: nn.Module looks those up in three places, hundreds of times a step.
        stored = Codes(**self._buffers)
        return dequantise(stored, (self.out_features, self.in_features), dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(.., in) to (.., out), in the dtype of ``x`` or, under autocast, in autocast's."""
        kind = x.device.type
        # Autocast knows F.linear, not what the weight is widened to.
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        bias = self._parameters["bias"]
        if bias is not None and bias.dtype is not x.dtype:
            bias = bias.to(x.dtype)
        # Compiled, the widening becomes a part of the product's neighbours, and the compiler decides what is kept.
        if self.keeps_wide or not x.requires_grad or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return F.linear(x, self.widened(x.dtype), bias)
        result: Tensor = _Product.apply(x, bias, self)
        return result

    def extra_repr(self) -> str:
        """The sizes, and how the weight is stored."""
        return f"{super().extra_repr()}, bits={self.how.bits}"


def quantisation_of(config: Config) -> Quantisation | None:
    """How a configuration stores the frozen model; None = as it is."""
    kept = LYRIC_MODULES if config.lyrics_embedder_train else ()
    how = _quantisation(config.base_model_precision, config.quantize_via, kept)
    if how is None or not config.keep_quantised_model:
        return how
    return replace(how, copies=quantised_models(config))


def text_quantisation_of(config: Config) -> Quantisation | None:
    """The same for the text encoder."""
    return _quantisation(config.text_encoder_1_precision, config.quantize_via, ())


def _quantisation(precision: str, via: str, kept: tuple[str, ...]) -> Quantisation | None:
    bits = _BITS.get(precision)
    return None if bits is None else Quantisation(bits, torch.device("cpu") if via == "cpu" else None, kept)


def put_quantised_layers(model: nn.Module, how: Quantisation) -> None:
    """Make a transformer ready to be filled: its large linear layers take their weights by `QuantisedLinear.store`."""
    for _ in _replaced(model, how, parts=_QUANTISED_PARTS):
        pass


def quantise_layers(model: nn.Module, how: Quantisation, *, parts: tuple[str, ...] = _QUANTISED_PARTS) -> None:
    """Quantise the linear layers of a loaded model whose names begin with one of ``parts``, one after the other.

    An adapter's own layers stay as they are.

    Raises:
        ModelError: A weight is not finite.
    """
    for linear, layer in _replaced(model, how, parts=parts):
        layer.store(linear.weight, device=linear.weight.device, dtype=linear.weight.dtype)


def _replaced(
    model: nn.Module, how: Quantisation, *, parts: tuple[str, ...]
) -> Iterator[tuple[nn.Linear, QuantisedLinear]]:
    """Replace layer after layer; what stood there and what stands there now, still empty."""
    for name in [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]:
        is_kept = any(name == one or name.startswith(f"{one}.") for one in how.kept)
        is_kept = is_kept or any(part in _ADAPTER_PARTS for part in name.split("."))
        if name.startswith(parts) and not is_kept:
            linear = model.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            layer = QuantisedLinear(linear, how, name=f"{name}.weight")
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, layer)
            yield linear, layer


def keep_wide_weights(model: nn.Module, is_kept: bool) -> None:
    """Whether graphs may keep widened weights: right where only one block's graph is alive at a time."""
    for module in model.modules():
        if isinstance(module, QuantisedLinear):
            module.keeps_wide = is_kept


def quantised_blocks(model: nn.Module) -> dict[str, dict[str, QuantisedLinear]]:
    """The quantised layers by the block they belong to (``transformer_blocks.3``) and by name, in the model's order."""
    blocks: dict[str, dict[str, QuantisedLinear]] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, QuantisedLinear):
            parts = name.split(".")
            number = next((place for place, part in enumerate(parts) if part.isdigit()), len(parts))
            blocks.setdefault(".".join(parts[: number + 1]), {})[name] = layer
    return blocks


def codes_bytes(layer: QuantisedLinear) -> int:
    """Bytes of what is stored of a layer's weight."""
    return sum(prod(shape) * dtype.itemsize for shape, dtype in layer.stored_kinds.values())


def device_of(layer: nn.Module) -> torch.device:
    """Where a linear layer computes; asking a quantised one for its weight would widen it."""
    tensor = layer.codes if isinstance(layer, QuantisedLinear) else layer.weight
    assert isinstance(tensor, Tensor)
    return tensor.device


def num_weights(model: nn.Module) -> int:
    """Numbers in a model: its parameters, and the weights that are stored with fewer digits."""
    stored = [module for module in model.modules() if isinstance(module, QuantisedLinear)]
    widened = sum(module.in_features * module.out_features for module in stored)
    return widened + sum(parameter.numel() for parameter in model.parameters())
