"""AdamW with torchao's 8-bit states (spec config-formats.md 1.11, ``ao-adamw8bit``)."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer
from torchao.optim import AdamW8bit


class _EagerAdamW8bit(AdamW8bit):  # type: ignore[misc]
    """The same update without a compiler: slower, equal but for rounding."""

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        with torch.compiler.set_stance("force_eager"):
            return super().step(closure)


def make_adamw8bit(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
    """The optimizer; its update is compiled where a card, Triton and a C compiler are, else it runs as it is."""
    has_compiler = importlib.util.find_spec("triton") is not None and any(map(shutil.which, ("cc", "gcc", "clang")))
    kind = AdamW8bit if device.type == "cuda" and has_compiler else _EagerAdamW8bit
    made: Optimizer = kind(groups, **options)
    return made
