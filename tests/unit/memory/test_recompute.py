import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.memory.recompute import set_recompute
from engine.model.transformer import AceStepTransformer
from tests.unit.model.small import small_inputs, small_latent, small_transformer


def train_mode_model() -> AceStepTransformer:
    """In training, with dropout inside every block as an adapter has it, beside that of the lyric encoder."""
    model = small_transformer().train()
    for block in model.transformer_blocks:
        block.attn.to_q.register_forward_hook(lambda _module, _args, output: F.dropout(output, 0.3))
    return model


def step(model: AceStepTransformer) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of one step from a fixed generator state."""
    torch.manual_seed(7)
    result = model(small_latent(), torch.tensor([700.0, 90.0]), model.encode_conditions(small_inputs()), with_ssl=True)
    loss = result.velocity.square().mean()
    for projector, hidden in zip(model.projectors, result.ssl_hidden, strict=True):
        loss = loss + projector(hidden).square().mean()
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_gradients_are_bit_equal_with_dropout(every: int) -> None:
    plain_loss, plain = step(train_mode_model())
    model = train_mode_model()
    set_recompute(model, every)
    loss, gradients = step(model)
    assert torch.equal(loss, plain_loss)
    assert gradients.keys() == plain.keys()
    assert all(torch.equal(gradients[name], plain[name]) for name in plain)


def calls(model: AceStepTransformer, module: nn.Module) -> int:
    """How often a module runs in one training step."""
    count = []
    handle = module.register_forward_pre_hook(lambda *_: count.append(1))
    step(model)
    handle.remove()
    return len(count)


def test_blocks_and_lyric_layers_run_again_in_the_backward_pass() -> None:
    model = train_mode_model()
    watched = (model.transformer_blocks[0], model.lyric_encoder.encoders[1])
    assert [calls(model, module) for module in watched] == [1, 1]
    set_recompute(model, 2)
    assert [calls(model, module) for module in watched] == [2, 2]
    set_recompute(model, None)
    assert [calls(model, module) for module in watched] == [1, 1]


def num_kept_inside_blocks(model: AceStepTransformer) -> int:
    """Activations of the feed-forward's width that autograd keeps between forward and backward pass."""
    width = 2 * model.config.feed_forward_dim
    kept = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.ndim == 3 and tensor.shape[-1] == width:
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(small_latent(), torch.tensor([700.0, 90.0]), model.encode_conditions(small_inputs()))
    return len(kept)


def test_a_part_is_recomputed_with_the_same_gradients() -> None:
    plain_loss, plain = step(train_mode_model())
    model = train_mode_model()
    set_recompute(model, 1, policy="selective")
    watched = (model.transformer_blocks[0].ff, model.transformer_blocks[0].attn, model.lyric_encoder.encoders[1])
    assert [calls(model, module) for module in watched] == [2, 1, 2]
    model.zero_grad(set_to_none=True)
    loss, gradients = step(model)
    assert torch.equal(loss, plain_loss)
    assert gradients.keys() == plain.keys()
    assert all(torch.equal(gradients[name], plain[name]) for name in plain)
    assert num_kept_inside_blocks(model) == 0
    set_recompute(model, 2, policy="none")
    assert [calls(model, module) for module in watched] == [1, 1, 1]


def test_nothing_inside_a_block_is_kept() -> None:
    model = train_mode_model()
    assert num_kept_inside_blocks(model) >= 2 * len(model.transformer_blocks)
    set_recompute(model, 1)
    assert num_kept_inside_blocks(model) == 0


def test_without_gradients_nothing_changes() -> None:
    model = small_transformer()
    with torch.no_grad():
        conditions = model.encode_conditions(small_inputs())
        plain = model(small_latent(), torch.ones(2), conditions).velocity
        set_recompute(model, 2)
        assert torch.equal(model(small_latent(), torch.ones(2), conditions).velocity, plain)


def test_a_group_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="every is 0"):
        set_recompute(small_transformer(), 0)
