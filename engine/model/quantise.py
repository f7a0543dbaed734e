"""A frozen linear layer whose weight is stored with fewer digits and widened only for the product (spec 1.10).

Weights alone are stored so: inputs, products and whatever is trained keep their dtype. Widening comes before the
product, never after it: scaling the result instead is many times slower (design: measured.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from engine.contract.errors import ModelError

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
_LARGEST = {8: 127, 4: 15}


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How a model is to be stored.

    Attributes:
        bits: 8 or 4 a weight.
        via: The device that does the arithmetic; None = where the model goes.
        kept: Names of modules that stay as they are, with all inside them.
    """

    bits: Bits
    via: torch.device | None = None
    kept: tuple[str, ...] = ()


class Codes(NamedTuple):
    """A quantised matrix (out, in).

    Attributes:
        codes: 8 bits: (out, in) int8. 4 bits: (out, groups, 32) uint8, columns 0-31 of a group of 64 in the low halves
            of the bytes, 32-63 in the high ones; the last group is filled up with zeros.
        scale: 8 bits: (out, 1) float32. 4 bits: (out, groups, 1) bfloat16.
        offset: 4 bits: (out, groups, 1) bfloat16, what code 0 stands for; None at 8 bits, where it is zero.
    """

    codes: Tensor
    scale: Tensor
    offset: Tensor | None


def quantise(weight: Tensor, bits: Bits, *, name: str = "a weight") -> Codes:
    """Round a matrix (out, in) of any float dtype to ``bits``; no value moves by more than half its scale.

    8 bits: symmetric, one scale a row (its largest magnitude is 127). 4 bits: from the smallest to the largest value of
    a group of 64, zero always among them. Values so small that a scale would vanish become zero.

    Raises:
        ModelError: A value of the weight called ``name`` is not finite.
    """
    weight = weight.detach().float()
    if not weight.isfinite().all():
        raise ModelError(f"{name} holds values that are not finite", hint="Download or copy the model again.")
    if bits == 8:
        scale = _not_zero(_divided(weight.abs().amax(dim=1, keepdim=True), _LARGEST[8]))
        return Codes((weight / scale).round_().to(torch.int8), scale, None)
    groups = F.pad(weight, (0, -weight.shape[1] % GROUP_COLUMNS)).unflatten(1, (-1, GROUP_COLUMNS))
    # Zero lies within every group's range, so that rounding the offset to bfloat16 costs little of a step.
    low = groups.amin(dim=2, keepdim=True).clamp_(max=0)
    high = groups.amax(dim=2, keepdim=True).clamp_(min=0)
    scale = _not_zero(_divided(high - low, _LARGEST[4]).bfloat16().float())
    offset = low.bfloat16()
    codes = ((groups - offset.float()) / scale).round_().clamp_(0, _LARGEST[4]).to(torch.uint8)
    first, second = codes.chunk(2, dim=2)
    return Codes(first | second << 4, scale.bfloat16(), offset)


def _divided(values: Tensor, number: int) -> Tensor:
    """``values / number`` rounded once: given a Python number, CUDA multiplies by its rounded reciprocal instead."""
    return values / values.new_tensor(number)


def _not_zero(scale: Tensor) -> Tensor:
    """A scale to divide by: 1 where all values are zero."""
    return torch.where(scale > 0, scale, 1.0)


def dequantise(stored: Codes, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The matrix (out, in) again, computed in float32 and rounded once to ``dtype``."""
    codes, scale, offset = stored
    if offset is None:
        return _scaled(codes, scale, None, dtype)
    rows, columns = shape
    weight = torch.empty(*codes.shape[:2], GROUP_COLUMNS, dtype=dtype, device=codes.device)
    first, second = weight.chunk(2, dim=2)
    scale, offset = scale.float(), offset.float()
    _scaled(codes & 15, scale, offset, dtype, into=first)
    _scaled(codes >> 4, scale, offset, dtype, into=second)
    return weight.view(rows, -1)[:, :columns]


def _scaled(
    codes: Tensor, scale: Tensor, offset: Tensor | None, dtype: torch.dtype, *, into: Tensor | None = None
) -> Tensor:
    """``codes * scale + offset``; one pass over the memory where the device converts inside a kernel."""
    into = torch.empty(codes.shape, dtype=dtype, device=codes.device) if into is None else into
    if codes.device.type == "mps":  # its kernels do not all narrow what they write
        product = codes.float() * scale
        return into.copy_(product if offset is None else product + offset)
    if offset is None:
        return torch.mul(codes, scale, out=into)
    return torch.addcmul(offset, codes, scale, out=into)


class _Product(torch.autograd.Function):
    """``x W^T + b`` with W quantised: the graph keeps the codes, and W is widened anew for the gradient of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, shape: tuple[int, int], *stored: Any) -> Tensor:
        ctx.save_for_backward(*stored)
        ctx.shape = shape
        return F.linear(x, dequantise(Codes(*stored), shape, x.dtype), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        for_x = for_bias = None
        if ctx.needs_input_grad[0]:
            for_x = gradient @ dequantise(Codes(*ctx.saved_tensors), ctx.shape, gradient.dtype)
        if ctx.needs_input_grad[1]:
            for_bias = gradient.flatten(0, -2).sum(dim=0)
        return for_x, for_bias, None, None, None, None


class QuantisedLinear(nn.Linear):
    """A linear layer with a weight of 8 or 4 bits, which cannot be trained; its bias is an ordinary parameter.

    It is an `nn.Linear`, so that LoRA puts an adapter beside it as beside any other.

    Args:
        linear: The layer whose place it takes, on any device (meta too); its bias is taken over, its weight by `store`.
        how: Bits, and where they are computed.
        name: What an error calls the weight.
    """

    codes: Tensor
    scale: Tensor
    offset: Tensor | None

    def __init__(self, linear: nn.Linear, how: Quantisation, *, name: str) -> None:
        nn.Module.__init__(self)  # that of nn.Linear would allocate the weight
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.how, self.name = how, name
        self.bias = linear.bias
        self.weight_dtype = linear.weight.dtype
        for part in Codes._fields:
            self.register_buffer(part, None)
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
        for part, tensor in stored._asdict().items():
            setattr(self, part, None if tensor is None else tensor.to(device))
        self.weight_dtype = dtype

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight that the layer multiplies with, (out, in): widened anew at each call, changes to it are lost."""
        return dequantise(self._stored, self._shape, self.weight_dtype)

    @property
    def _stored(self) -> Codes:
        return Codes(self.codes, self.scale, self.offset)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.out_features, self.in_features

    def forward(self, x: Tensor) -> Tensor:
        """(.., in) to (.., out), in the dtype of ``x`` or, under autocast, in autocast's."""
        kind = x.device.type
        # Autocast knows F.linear, not the function around it: it would not cast what is saved for the backward pass.
        if torch.is_autocast_enabled(kind):
            x = x.to(torch.get_autocast_dtype(kind))
        bias = None if self.bias is None else self.bias.to(x.dtype)
        result: Tensor = _Product.apply(x, bias, self._shape, *self._stored)
        return result

    def extra_repr(self) -> str:
        """The sizes, and how the weight is stored."""
        return f"{super().extra_repr()}, bits={self.how.bits}"


def quantisation_of(config: Config) -> Quantisation | None:
    """How a configuration stores the frozen model; None = as it is."""
    kept = LYRIC_MODULES if config.lyrics_embedder_train else ()
    return _quantisation(config.base_model_precision, config.quantize_via, kept)


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


def quantise_layers(model: nn.Module, how: Quantisation, *, parts: tuple[str, ...]) -> None:
    """Quantise the linear layers of a loaded model whose names begin with one of ``parts``, one after the other.

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
        if name.startswith(parts) and not is_kept:
            linear = model.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            layer = QuantisedLinear(linear, how, name=f"{name}.weight")
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, layer)
            yield linear, layer


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
