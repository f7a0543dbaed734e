"""The memory settings of a configuration on a live model, as the ladder sets them between two steps."""

from __future__ import annotations

from typing import Any

import torch

from engine.contract.config import Config
from engine.memory.recompute import set_recompute
from engine.model.transformer import AceStepTransformer


def set_memory_means(model: AceStepTransformer, config: Config, device: torch.device) -> int:
    """Recompute policy, activation offload and block swap, whatever was set before.

    Returns:
        Bytes of the frozen weights that wait in main memory.
    """
    num_blocks = int(config.musubi_blocks_to_swap)
    swap, offload = (getattr(model.run_group, name, None) for name in ("swap", "offload"))
    if swap is not None and not num_blocks:
        _swap(model, 0, device)  # before the policy that it wants is taken away
    every = (config.gradient_checkpointing_interval or 1) if config.gradient_checkpointing else None
    set_recompute(model, every, **_policy(config))
    is_offloading = bool(config.get("activation_offload"))
    if is_offloading or offload is not None:
        from engine.memory.offload import offload_inputs

        offload_inputs(model, is_offloading, device)
    if num_blocks:
        _swap(model, num_blocks, device)
    return swapped_bytes(model, num_blocks)


def _policy(config: Config) -> dict[str, Any]:
    policy = config.get("gradient_checkpointing_policy", "full")
    return {} if policy == "full" else {"policy": policy}


def _swap(model: AceStepTransformer, num_blocks: int, device: torch.device) -> None:
    from engine.memory.block_swap import swap_blocks

    swap_blocks(model, num_blocks, device)


def swapped_bytes(model: AceStepTransformer, num_blocks: int) -> int:
    """Bytes of the frozen weights of so many of the model's blocks; they are all of one size."""
    block = model.transformer_blocks[0]
    frozen = [one for one in block.parameters() if not one.requires_grad] + list(block.buffers())
    return num_blocks * sum(tensor.numel() * tensor.element_size() for tensor in frozen)
