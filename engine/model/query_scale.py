"""Scaling the outputs of chosen linear layers for a while: the temperature trick that ERG is made of (spec 11.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def scaled_outputs(modules: Iterable[nn.Module], scale: float | Tensor) -> Iterator[None]:
    """Multiply what each module returns (bias included) by `scale` inside the block.

    Args:
        modules: Linear layers.
        scale: One for all samples, or (B, 1, 1).
    """

    def multiply(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return (output * scale).to(output.dtype)

    handles = [module.register_forward_hook(multiply) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
