"""Models in training and one step of them, for tests that what saves memory changes nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.memory.runner import runner_of
from engine.model.adapters import LoraSpec, add_lora
from engine.model.quantise import Bits, Quantisation, quantise_layers
from engine.model.transformer import AceStepTransformer
from tests.unit.model.small import SMALL, small_inputs, small_latent, small_transformer

CPU = torch.device("cpu")
NUM_BLOCKS = 7


def lora_model(*, bits: Bits | None = None, dtype: torch.dtype = torch.float32) -> AceStepTransformer:
    """Seven frozen blocks with an adapter that acts and has dropout, in training; the same at every call."""
    model = small_transformer(SMALL.__class__(**{**fields_of(SMALL), "num_layers": NUM_BLOCKS}))
    model.to(dtype)
    if bits is not None:
        quantise_layers(model, Quantisation(bits), parts=("transformer_blocks.",))
    add_lora(model, LoraSpec(rank=2, alpha=2, dropout=0.3, target_modules=("to_q", "to_v", "point_conv.conv")), seed=3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.constant_(parameter, 0.05)
    return model.train()


def fields_of(config: object) -> dict[str, object]:
    """The fields of a dataclass, its parts as they are."""
    return {name: getattr(config, name) for name in config.__dataclass_fields__}  # type: ignore[attr-defined]


def step(model: AceStepTransformer) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of one step from a fixed generator state, under autocast where the model is bfloat16."""
    torch.manual_seed(7)
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=model.dtype is torch.bfloat16):
        conditions = model.encode_conditions(small_inputs())
        result = model(small_latent(), torch.tensor([700.0, 90.0]), conditions, with_ssl=True)
    loss = result.velocity.float().square().mean()
    for hidden in result.ssl_hidden:
        loss = loss + hidden.float().square().mean()
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def sample(model: AceStepTransformer) -> Tensor:
    """Two forward passes without gradients, as in a clip."""
    model.eval()
    with torch.no_grad():
        conditions = model.encode_conditions(small_inputs())
        x = small_latent()
        for t in (900.0, 400.0):
            x = x - 0.5 * model(x, torch.tensor([t, t]), conditions).velocity
    model.train()
    return x


def assert_same_step(model: AceStepTransformer, plain: AceStepTransformer) -> None:
    """Two steps each, for what one leaves behind: losses and gradients are equal bit for bit."""
    for _ in range(2):
        (loss, gradients), (exact_loss, exact) = step(model), step(plain)
        assert torch.equal(loss, exact_loss)
        assert gradients.keys() == exact.keys() and exact
        assert all(torch.equal(gradients[name], exact[name]) for name in exact)


__all__ = ["CPU", "NUM_BLOCKS", "assert_same_step", "lora_model", "runner_of", "sample", "step"]
