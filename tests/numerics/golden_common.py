"""Reading the golden vectors: one folder, whichever it is; nothing about its sizes is known here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(os.environ.get("ACESTEP_GOLDEN_DIR") or Path(__file__).parent / "golden")
"""The folder of vectors under test; ``ACESTEP_GOLDEN_DIR`` points at another of the same shape."""


def load(name: str) -> dict[str, Tensor]:
    """All tensors of ``<name>.safetensors``."""
    return load_file(GOLDEN / f"{name}.safetensors")


def load_json(name: str) -> Any:
    """The content of ``<name>.json``."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def assert_near(actual: Tensor, expected: Tensor, *, atol: float = 1e-4, rtol: float = 1e-4, what: str = "") -> None:
    """Compare shape and values; the message names ``what`` and the largest difference."""
    torch.testing.assert_close(
        actual.detach().float(),
        expected.float(),
        atol=atol,
        rtol=rtol,
        check_device=False,
        msg=lambda text: f"{what}: {text}",
    )
