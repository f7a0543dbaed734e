"""Gradient checkpointing: forget activations in the forward pass, compute them again in the backward pass.

Policies, and what a block keeps of a latent frame and of a condition token, in numbers of the compute format for each
channel of the model's width (a LoRA of rank 16 on the attentions under autocast, counted by saved-tensor hooks on a
block of the released sizes; `tests/unit/memory/test_recompute_sizes.py` counts again):

========= ===== ===== ==========================================================================================
policy    frame token what is computed again
========= ===== ===== ==========================================================================================
none      32.6  3.0   nothing
selective 19.1  3.0   norm and feed-forward of each block, a third of its products
full      1     0     everything in a block (or in a group of them) but its input
========= ===== ===== ==========================================================================================

Both recompute the lyric encoder's layers whole. Keeping the results of single operations instead (torch's own selective
checkpointing) sends every operation through Python, which takes longer than the recomputing that it saves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.memory.runner import Policy, recomputed, runner_of
from engine.model.calling import call
from engine.model.quantise import keep_wide_weights

if TYPE_CHECKING:
    from engine.contract.config import Config
    from engine.model.transformer import AceStepTransformer


def set_recompute(model: AceStepTransformer, every: int | None, *, policy: Policy = "full") -> None:
    """Recompute in the backward pass what a policy names; it can change between steps, gradients stay bit-equal.

    Args:
        model: The transformer; the setting holds until the next call.
        every: Blocks per group of the policy ``full``, at least 1: a larger group keeps fewer activations between
            groups but more while one is recomputed. None turns recomputing off, whatever the policy.
        policy: ``none``, ``selective`` or ``full``; see the table above.

    Raises:
        ValueError: ``every`` is less than 1.
    """
    if every is not None and every < 1:
        raise ValueError(f"every is {every}: a group has at least one block")
    if every is None:
        policy = "none"
    runner_of(model).policy = policy
    model.blocks_per_group = every if every is not None and policy == "full" else 1
    runner_of(model).blocks_per_group = model.blocks_per_group
    model.lyric_encoder.run_layer = call if policy == "none" else recomputed
    # One block's graph is alive at a time: quantised layers may keep their widened weights in it, which is quicker.
    keep_wide_weights(model, policy == "full" and model.blocks_per_group == 1)
    for block in model.transformer_blocks:
        block.run_feed_forward = recomputed if policy == "selective" else call


def set_recompute_as(model: AceStepTransformer, config: Config) -> None:
    """What ``gradient_checkpointing`` and the settings beside it ask for."""
    every = (config.gradient_checkpointing_interval or 1) if config.gradient_checkpointing else None
    set_recompute(model, every, policy=config.gradient_checkpointing_policy)
