from __future__ import annotations

import gc

import pytest
import torch

from engine.contract.errors import ConfigError
from engine.memory.offload import STAYING_INPUTS, InputOffload, offload_inputs
from engine.memory.recompute import set_recompute
from engine.memory.runner import runner_of
from engine.model.transformer import AceStepTransformer
from tests.unit.memory.means import CPU, NUM_BLOCKS, assert_same_step, lora_model, sample, step


def offloading(*, every: int = 1) -> AceStepTransformer:
    model = lora_model()
    set_recompute(model, every)
    offload_inputs(model, True, CPU)
    return model


def offload_of(model: AceStepTransformer) -> InputOffload:
    found = runner_of(model).offload
    assert found is not None
    return found


@pytest.mark.parametrize("every", [1, 2, NUM_BLOCKS])
def test_loss_and_gradients_stay_bit_equal(every: int) -> None:
    assert_same_step(offloading(every=every), lora_model())


def test_sampling_takes_no_part() -> None:
    model = offloading()
    assert torch.equal(sample(model), sample(lora_model()))
    assert offload_of(model).num_free_buffers == 0


def test_only_the_newest_inputs_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model = offloading()
    kept, here = [], []
    keep = InputOffload.keep

    def watched(self: InputOffload, hidden: torch.Tensor, *, is_first: bool) -> object:
        kept.append(keep(self, hidden, is_first=is_first))
        here.append(sum(one.is_here for one in kept))
        return kept[-1]

    monkeypatch.setattr(InputOffload, "keep", watched)
    step(model)
    assert len(kept) == NUM_BLOCKS and max(here) == STAYING_INPUTS
    assert not any(one.is_here for one in kept)


def test_main_memory_is_used_again() -> None:
    model = offloading()
    step(model)
    gc.collect()
    assert offload_of(model).num_free_buffers == NUM_BLOCKS
    buffers = {buffer.data_ptr() for buffer in offload_of(model)._buffers}
    step(model)
    gc.collect()
    assert {buffer.data_ptr() for buffer in offload_of(model)._buffers} == buffers


def test_two_graphs_at_once_do_not_share_memory() -> None:
    model, plain = offloading(), lora_model()
    for one in (model, plain):
        one.eval()
    x = torch.randn(1, 4, model.config.inner_dim, generator=torch.Generator().manual_seed(1))
    results = []
    for one in (model, plain):
        inputs = [x.clone().requires_grad_(), (2 * x).requires_grad_()]
        outputs = [run_blocks(one, value) for value in inputs]
        for output in outputs:  # the first graph's inputs are read after the second's were kept
            output.square().sum().backward()
        results.append([value.grad for value in inputs])
    assert all(torch.equal(found, exact) for found, exact in zip(*results, strict=True))


def run_blocks(model: AceStepTransformer, hidden: torch.Tensor) -> torch.Tensor:
    """Each block as a group, doing something simple whose gradient needs its input."""
    for index in range(3):
        indices = range(index, index + 1)
        hidden = model.run_group(lambda x, *_: (x * x).tanh(), hidden, None, indices, frozenset())
    return hidden


def test_a_pass_that_fails_leaves_nothing_wrong() -> None:
    model, plain = offloading(), lora_model()

    def fail(*_: object) -> None:
        raise MemoryError

    handle = model.transformer_blocks[3].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError):
        step(model)
    handle.remove()
    assert_same_step(model, plain)


def test_it_goes_off_again() -> None:
    model = offloading()
    offload_inputs(model, False, CPU)
    assert runner_of(model).offload is None
    assert_same_step(model, lora_model())


def test_an_apple_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="Apple GPU"):
        offload_inputs(lora_model(), True, torch.device("mps"))
