from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from engine.contract.config import Config
from engine.contract.errors import ConfigError, OutOfMemoryError
from engine.hardware.host import HostReading
from engine.memory import copies
from engine.memory.block_swap import BlockSwap, is_swapping, swap_blocks
from engine.memory.copies import HostMemory, require_room_for_blocks
from engine.memory.offload import offload_inputs
from engine.memory.recompute import set_recompute
from engine.memory.runner import runner_of
from engine.model.adapters import adapter_state
from engine.model.quantise import Bits, Quantisation, quantise_layers
from engine.model.transformer import AceStepTransformer
from engine.planning.block_ring import num_ring_blocks, swapped_blocks
from engine.planning.facts import DataFacts
from engine.planning.sizes import published_sizes
from engine.planning.vram import estimate_memory
from tests.unit.memory.means import CPU, NUM_BLOCKS, assert_same_step, lora_model, sample, step
from tests.unit.model.small import small_transformer

ALL_BUT_ONE = NUM_BLOCKS - 1


def swapping(num_blocks: int, *, every: int = 1, **how: object) -> AceStepTransformer:
    model = lora_model(**how)  # type: ignore[arg-type]
    set_recompute(model, every)
    swap_blocks(model, num_blocks, CPU)
    return model


def spoil_ring(model: AceStepTransformer) -> None:
    """Whoever reads a buffer that nothing was sent to since gets numbers that are not finite."""
    swap = runner_of(model).swap
    assert swap is not None
    for buffer in swap._ring:
        buffer.fill_(0xFF)
    swap._holds = [None] * len(swap._ring)


@pytest.mark.parametrize(("num", "all_blocks"), [(1, 24), (5, 24), (9, 24), (12, 24), (20, 24), (23, 24), (3, 4)])
def test_blocks_are_spread_evenly(num: int, all_blocks: int) -> None:
    indices = swapped_blocks(num, all_blocks)
    gaps = {after - before for before, after in itertools.pairwise(indices)}
    assert len(set(indices)) == num and indices[0] >= 0 and indices[-1] < all_blocks
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_one_block_always_stays() -> None:
    assert swapped_blocks(24, 24) == swapped_blocks(23, 24)
    assert swapped_blocks(0, 24) == ()


@pytest.mark.parametrize("num", range(5, 24))
def test_four_fifths_of_what_waits_are_saved(num: int) -> None:
    ring = num_ring_blocks(swapped_blocks(num, 24))
    assert (num - ring) / num >= 0.8


@pytest.mark.parametrize("num_blocks", [1, 2, 3, 5, ALL_BUT_ONE])
def test_loss_and_gradients_stay_bit_equal(num_blocks: int) -> None:
    assert_same_step(swapping(num_blocks), lora_model())


@pytest.mark.parametrize("every", [2, 3, NUM_BLOCKS])
def test_groups_of_blocks_come_together(every: int) -> None:
    assert_same_step(swapping(ALL_BUT_ONE, every=every), lora_model())


@pytest.mark.parametrize("bits", [8, 4, None])
def test_quantised_layers_and_bfloat16_stay_bit_equal(bits: Bits | None) -> None:
    assert_same_step(swapping(4, bits=bits, dtype=torch.bfloat16), lora_model(bits=bits, dtype=torch.bfloat16))


def test_sampling_between_steps_stays_bit_equal() -> None:
    model, plain = swapping(4), lora_model()
    for _ in range(2):
        assert torch.equal(sample(model), sample(plain))
        assert_same_step(model, plain)


def test_it_goes_with_activation_offload() -> None:
    model = swapping(4)
    offload_inputs(model, True, CPU)
    assert_same_step(model, lora_model())


def test_a_pass_that_fails_leaves_nothing_wrong() -> None:
    model, plain = swapping(4), lora_model()

    def fail(*_: object) -> None:
        raise MemoryError

    handle = model.transformer_blocks[3].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError):
        step(model)
    handle.remove()
    assert_same_step(model, plain)


def test_the_state_reads_right_at_any_time() -> None:
    model, plain = swapping(5), lora_model()
    for _ in range(2):
        found, exact = model.state_dict(), plain.state_dict()
        assert found.keys() == exact.keys()
        assert all(torch.equal(found[name], exact[name]) for name in exact)
        step(model)
        spoil_ring(model)  # what is read next comes from main memory, or was sent for again
        sample(model)
    assert all(torch.equal(value, adapter_state(plain)[name]) for name, value in adapter_state(model).items())


def test_parameters_stay_the_same_objects() -> None:
    model = lora_model()
    set_recompute(model, 1)
    before = dict(model.named_parameters())
    swap_blocks(model, 4, CPU)
    step(model)
    swap_blocks(model, 0, CPU)
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())


def test_it_changes_between_steps() -> None:
    model, plain = swapping(2), lora_model()
    for num_blocks in (5, 1, 0, ALL_BUT_ONE):
        swap_blocks(model, num_blocks, CPU)
        assert is_swapping(model) == (num_blocks > 0)
        assert_same_step(model, plain)


def test_a_swapped_model_can_be_quantised() -> None:
    model, plain = swapping(4), lora_model()
    for one in (model, plain):
        quantise_layers(one, Quantisation(8), parts=("transformer_blocks.",))
    swap_blocks(model, 4, CPU)
    assert_same_step(model, plain)


def test_trained_weights_do_not_wait() -> None:
    model = lora_model()
    trained = {name: p.data_ptr() for name, p in model.named_parameters() if p.requires_grad}
    set_recompute(model, 1)
    swap_blocks(model, ALL_BUT_ONE, CPU)
    assert {name: p.data_ptr() for name, p in model.named_parameters() if p.requires_grad} == trained


def test_what_waits_and_what_takes_turns_is_counted() -> None:
    swap = runner_of(swapping(4)).swap
    assert isinstance(swap, BlockSwap)
    block = small_transformer().transformer_blocks[0]
    weights = sum(p.numel() * p.element_size() for p in block.parameters())
    assert 4 * weights <= swap.host_bytes < 4 * weights * 1.2
    assert swap.ring_bytes * 4 == swap.host_bytes  # no two of four in seven are neighbours


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("num_blocks", range(1, NUM_BLOCKS + 1))
def test_the_plan_counts_the_blocks_that_wait_and_the_ring_as_the_run_has_them(num_blocks: int, every: int) -> None:
    swap = runner_of(swapping(num_blocks, every=every)).swap
    assert isinstance(swap, BlockSwap)
    block = swap.host_bytes // len(swap.indices)
    sizes = dataclasses.replace(published_sizes(), num_blocks=NUM_BLOCKS)
    memory = [
        estimate_memory(
            Config.from_dict({"musubi_blocks_to_swap": num, "gradient_checkpointing_interval": every}),
            data=DataFacts((60.0,), (60.0,), num_captions=1),
            sizes=sizes,
            kind="cuda",
        )
        for num in (0, num_blocks)
    ]
    planned = sizes.num_block * 2
    assert memory[1].host_bytes == swap.host_bytes // block * planned
    assert memory[0].weights_bytes - memory[1].weights_bytes == (swap.host_bytes - swap.ring_bytes) // block * planned


@pytest.mark.parametrize("policy", ["none", "selective"])
def test_without_whole_recomputing_a_step_is_refused(policy: str) -> None:
    model = swapping(2)
    set_recompute(model, 1, policy=policy)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=f"policy full, not {policy}"):
        step(model)
    sample(model)


def test_a_ring_too_small_for_a_larger_group_is_noticed() -> None:
    model = swapping(3)
    set_recompute(model, NUM_BLOCKS)
    with pytest.raises(RuntimeError, match="swap anew"):
        step(model)


def test_trained_blocks_are_refused() -> None:
    model = small_transformer()
    with pytest.raises(ConfigError, match="needs frozen blocks"):
        swap_blocks(model, 1, CPU)


def test_an_apple_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="Apple GPU"):
        swap_blocks(lora_model(), 1, torch.device("mps"))


def test_main_memory_without_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "read_host", lambda: HostReading(free_bytes=3 << 30))
    require_room_for_blocks(2 << 30, 20)
    with pytest.raises(OutOfMemoryError, match=r"the 20 blocks need 4\.0 GiB .* 3\.0 GiB are free") as error:
        require_room_for_blocks(4 << 30, 20)
    assert "musubi_blocks_to_swap to 10 or less (now 20)" in error.value.hint


class NoLocks:
    """A CUDA runtime that grants so many locks."""

    def __init__(self, granted: int) -> None:
        self.granted, self.locked = granted, set[int]()

    def cudaHostRegister(self, address: int, _size: int, _flags: int) -> int:
        self.granted -= 1
        if self.granted >= 0:
            self.locked.add(address)
        return 0 if self.granted >= 0 else 2

    def cudaHostUnregister(self, address: int) -> int:
        self.locked.discard(address)
        return 0


def test_memory_that_cannot_be_locked_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, said = NoLocks(1), list[str]()
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    monkeypatch.setattr(copies, "_forget_failure", lambda _device: None)
    memory = HostMemory(torch.device("cuda"), warn=lambda code, _message: said.append(code))
    buffers = [memory.empty(1000) for _ in range(3)]
    assert said == ["unpinned_memory"] and all(buffer.numel() == 1000 for buffer in buffers)
    assert runtime.locked == {buffers[0].data_ptr()}
    buffers.clear()
    assert runtime.locked == set()
