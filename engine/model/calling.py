"""How a model is called: with or without training's ways, its repeated layers directly or through `engine.memory`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

Runner = Callable[..., Any]
"""``runner(function, *arguments)`` returns what ``function(*arguments)`` does."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function`` with nothing in between."""
    return function(*arguments)


@contextlib.contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """No gradients and no dropout inside the block; the mode before comes back."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
