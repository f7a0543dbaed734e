"""Gradient checkpointing: forget the activations inside a group of blocks, compute them again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from engine.model.calling import call
from engine.model.transformer import AceStepTransformer


def set_recompute(model: AceStepTransformer, every: int | None) -> None:
    """Recompute whole blocks in the backward pass, ``every`` blocks at a time, and each layer of the lyric encoder.

    A larger group keeps fewer activations between groups but more while one is recomputed. Gradients stay bit-equal:
    the state of the random generators is put back before a group runs again, so dropout draws the same.

    Args:
        model: The transformer; the setting holds until the next call.
        every: Blocks per group, at least 1; None turns recomputing off.

    Raises:
        ValueError: ``every`` is less than 1.
    """
    if every is not None and every < 1:
        raise ValueError(f"every is {every}: a group has at least one block")
    model.blocks_per_group = every or 1
    model.run_group = model.lyric_encoder.run_layer = call if every is None else _recompute


def _recompute(function: Callable[..., Any], *arguments: Any) -> Any:
    if not torch.is_grad_enabled():
        return function(*arguments)
    return checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=True)
