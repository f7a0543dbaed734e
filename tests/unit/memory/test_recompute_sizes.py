"""What a block of the released sizes keeps for the backward pass, as `engine.memory.recompute` states it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from engine.memory.runner import recomputed
from engine.model.attention import BlockContext, RotaryTable, key_mask_of
from engine.model.block import Block
from engine.model.card import real_config
from engine.model.lora_layer import LoraLayer, put_in_place

CONFIG = real_config()
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


@pytest.fixture(scope="module")
def block() -> Block:
    """Frozen, in bfloat16, a LoRA of rank 16 on both attentions."""
    with torch.device("meta"):
        block = Block(CONFIG).bfloat16().requires_grad_(False)
    block.to_empty(device="cpu")
    for parameter in block.parameters():
        nn.init.constant_(parameter, 1e-3)
    for name in (f"{part}.{leaf}" for part in ("attn", "cross_attn") for leaf in PROJECTIONS):
        linear = block.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        down, up = torch.full((16, linear.in_features), 1e-3), torch.zeros(linear.out_features, 16)
        put_in_place(block, name, LoraLayer(linear, rank=16, scale=1.0, dropout=0.0, down=down, up=up))
    return block


def kept_bytes(block: Block, num_frames: int, num_tokens: int) -> int:
    """Bytes of all that autograd keeps in one call, weights and position tables aside."""
    dim = CONFIG.inner_dim
    rotary = RotaryTable(CONFIG.attention_head_dim, CONFIG.rope_theta)
    frames, tokens = (rotary.rows(num, torch.device("cpu")) for num in (num_frames, num_tokens))
    context = BlockContext(
        modulation=torch.ones(1, 6, dim, dtype=torch.bfloat16),
        tokens=torch.ones(1, num_tokens, dim, dtype=torch.bfloat16),
        key_mask=key_mask_of(torch.ones(1, num_tokens)),
        frames=frames,
        token_positions=tokens,
        frame_mask=None,
    )
    aside = {one.untyped_storage().data_ptr() for one in (*block.parameters(), *frames, *tokens)}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in aside:
            kept[storage.data_ptr()] = tensor
        return tensor

    hidden = torch.ones(1, num_frames, dim, dtype=torch.bfloat16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        block(hidden, context)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize(("policy", "by_frame", "by_token"), [("none", 32.6, 3.0), ("selective", 19.1, 3.0)])
def test_numbers_kept_a_frame_and_a_token(block: Block, policy: str, by_frame: float, by_token: float) -> None:
    if policy == "selective":
        block.run_feed_forward = recomputed
    number = 2 * CONFIG.inner_dim
    base, longer, wordier = (kept_bytes(block, *size) for size in ((16, 16), (32, 16), (16, 32)))
    assert (longer - base) / 16 / number == pytest.approx(by_frame, abs=0.1)
    assert (wordier - base) / 16 / number == pytest.approx(by_token, abs=0.1)
