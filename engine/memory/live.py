"""The memory settings of a configuration, put into effect on a model; again between two steps when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from engine.memory.block_swap import is_swapping, swap_blocks
from engine.memory.copies import Warn, silent
from engine.memory.offload import offload_inputs
from engine.memory.recompute import set_recompute_as
from engine.memory.runner import runner_of

if TYPE_CHECKING:
    from engine.contract.config import Config
    from engine.model.transformer import AceStepTransformer


def set_memory_means(model: AceStepTransformer, config: Config, device: torch.device, *, warn: Warn = silent) -> None:
    """Recompute policy, activation offload and block swap as a configuration asks, whatever was set before.

    Args:
        model: The transformer, with its adapter if it gets one.
        config: The settings.
        device: Where the model computes.
        warn: Told what is not as one may expect: ``unpinned_memory``, ``blocks_to_swap``, ``memory_means``.

    Raises:
        ConfigError: A means cannot work on this model or device.
        OutOfMemoryError: Main memory has no room for the blocks; those that waited there before still do.
    """
    num_blocks, num_all = int(config.musubi_blocks_to_swap), len(model.transformer_blocks)
    if num_blocks >= num_all:
        warn(
            "blocks_to_swap",
            f"musubi_blocks_to_swap is {num_blocks}, the model has {num_all} blocks: one stays, {num_all - 1} wait",
        )
    if device.type == "cpu" and (num_blocks or config.activation_offload):
        warn(
            "memory_means",
            "musubi_blocks_to_swap and activation_offload save memory of a card: on the processor they only cost time",
        )
    set_recompute_as(model, config)
    is_offloading = bool(config.activation_offload) and runner_of(model).policy == "full"
    if is_offloading != (runner_of(model).offload is not None):
        offload_inputs(model, is_offloading, device, warn=warn)
    if num_blocks or is_swapping(model):
        swap_blocks(model, num_blocks, device, warn=warn)
