"""A linear layer with a LoRA beside it, ``y = W x + b + scale * B A dropout(x)`` (Hu et al. 2021; ace-step-v1.md 10).

Names of parameters are those that PEFT gives (``base_layer``, ``lora_A.<adapter>``), and so is the arithmetic: tests
hold the one to the other bit for bit. PEFT itself is not used here because importing it costs every start of a run more
than importing torch (it brings in all of transformers and torch's compiler).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.model.keyed_dropout import KeyedDropout

ADAPTER_NAME = "lora_adapter"


class LoraLayer(KeyedDropout):
    """Takes a linear layer's place; B starts at zero, so the output does not change.

    Args:
        base_layer: The layer, also a quantised one; it is not touched.
        rank: Inner width of the pair.
        scale: What the product is multiplied with.
        dropout: On the adapter's input while training, 0 ... 1.
        down: A, (rank, in) float32.
        up: B, (out, rank) float32.
        of_distances: The input is one for all samples (`KeyedDropout`).
    """

    def __init__(
        self,
        base_layer: nn.Linear,
        *,
        rank: int,
        scale: float,
        dropout: float,
        down: Tensor,
        up: Tensor,
        of_distances: bool = False,
    ) -> None:
        super().__init__(dropout, base_layer.in_features, of_distances=of_distances)
        self.in_features, self.out_features = base_layer.in_features, base_layer.out_features
        self.base_layer = base_layer
        self.r = {ADAPTER_NAME: rank}
        self.scaling = {ADAPTER_NAME: scale}
        self.lora_A = nn.ModuleDict({ADAPTER_NAME: _linear(down)})
        self.lora_B = nn.ModuleDict({ADAPTER_NAME: _linear(up)})
        self._is_enabled = True

    @property
    def down(self) -> nn.Linear:
        """A, (rank, in)."""
        layer = self.lora_A[ADAPTER_NAME]
        assert isinstance(layer, nn.Linear)
        return layer

    @property
    def up(self) -> nn.Linear:
        """B, (out, rank)."""
        layer = self.lora_B[ADAPTER_NAME]
        assert isinstance(layer, nn.Linear)
        return layer

    @property
    def weight(self) -> Tensor:
        """The base layer's weight, (out, in)."""
        return self.base_layer.weight

    @property
    def bias(self) -> Tensor | None:
        """The base layer's bias, (out,)."""
        return self.base_layer.bias

    def get_base_layer(self) -> nn.Linear:
        """The layer whose place this one takes."""
        return self.base_layer

    def enable_adapters(self, enabled: bool) -> None:
        """Whether the adapter takes part."""
        self._is_enabled = enabled

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in the base layer's dtype."""
        result: Tensor = self.base_layer(x)
        if not self._is_enabled:
            return result
        # Straight to the products, past the modules around A and B: a step makes hundreds of these calls and waits for
        # Python. What is left out (a cast and back under autocast, a product with 1) changes no bit of the result.
        modules = self._modules
        down, up = (modules[part]._modules[ADAPTER_NAME]._parameters["weight"] for part in ("lora_A", "lora_B"))
        if self.probability > 0 and self.training:
            x = self.dropped(x.to(down.dtype))
        elif not torch.is_autocast_enabled(x.device.type):
            x = x.to(down.dtype)
        inner, scale = F.linear(x, down), self.scaling[ADAPTER_NAME]
        delta = F.linear(inner, up)
        if scale != 1:
            delta = delta * scale
        return (result + delta).to(result.dtype)


def _linear(weight: Tensor) -> nn.Linear:
    """A linear layer without bias around a weight (out, in); nothing is drawn for it."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device=torch.device("meta"))
    layer.weight = nn.Parameter(weight)
    return layer


def put_in_place(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Set ``layer`` where the model has the module ``name``."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
