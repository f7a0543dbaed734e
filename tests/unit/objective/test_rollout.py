"""The model's own way: equal to a hand-written loop, batched, without a trace in what training draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from engine.model.adapters import LoraSpec
from engine.model.transformer import AceStepTransformer
from engine.objective.loss import compute_loss
from engine.objective.randomness import sample_generator
from engine.objective.reflexflow import ReflexFlow
from engine.objective.rollout import PURPOSE, draw_walk, roll_out
from engine.objective.timesteps import sigma_table
from engine.planning.rollout_plan import RolloutPlan
from tests.unit.export.small import small_config, small_sample, trained_model
from tests.unit.objective.test_loss import one_sample

INDICES = (40, 400, 700, 990)
WALKS = (3, 0, 5, 1)


def dropping_model() -> AceStepTransformer:
    """In training mode, with a dropout that would show."""
    return trained_model(LoraSpec(rank=2, alpha=2, dropout=0.5)).train()


def arguments(*, frames: int = 9) -> dict[str, object]:
    sample = small_sample(small_config(), batch_size=len(INDICES), frames=frames)
    generator = torch.Generator().manual_seed(2)
    return {
        "x_0": sample.x_t,
        "noise": torch.randn(sample.x_t.shape, generator=generator),
        "timestep_index": torch.tensor(INDICES),
        "sigmas": sigma_table(3.0),
        "inputs": sample.inputs,
        "frame_mask": None,
    }


@torch.no_grad()
def walked_by_hand(model: AceStepTransformer, values: dict[str, object], i: int, walk: int) -> Tensor:
    """Section 7, point 4, for one sample alone, written for reading."""
    one = one_sample(values, i)
    table, index = sigma_table(3.0).tolist(), INDICES[i]
    model.eval()
    conditions = model.encode_conditions(one["inputs"])  # type: ignore[arg-type]
    x = table[index - walk] * one["noise"] + (1 - table[index - walk]) * one["x_0"]  # type: ignore[operator]
    for m in range(index - walk, index):
        v = model(x, torch.tensor([1000 * table[m]]), conditions).velocity
        x = x + (table[m + 1] - table[m]) * v
    model.train()
    return x


@contextmanager
def counted_calls(model: AceStepTransformer) -> Iterator[list[int]]:
    """Batch size of each forward pass inside the block."""
    sizes: list[int] = []
    handle = model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    try:
        yield sizes
    finally:
        handle.remove()


def test_each_sample_stands_where_a_hand_written_loop_leads() -> None:
    model, values = dropping_model(), arguments()
    rolled = roll_out(model, walks=WALKS, **values)  # type: ignore[arg-type]
    for i, walk in enumerate(WALKS):
        torch.testing.assert_close(rolled.x_t[i : i + 1], walked_by_hand(model, values, i, walk), rtol=1e-4, atol=1e-5)
    assert rolled.is_walked.tolist() == [1, 0, 1, 1]
    assert not rolled.x_t.requires_grad
    # The way leads somewhere else than the undisturbed point, else nothing would be shown.
    plain = rolled_nowhere(values)
    assert (rolled.x_t[2] - plain[2]).abs().max() > 0.01


def rolled_nowhere(values: dict[str, object]) -> Tensor:
    sigma = sigma_table(3.0)[torch.tensor(INDICES)].reshape(-1, 1, 1, 1)
    return sigma * values["noise"] + (1 - sigma) * values["x_0"]  # type: ignore[no-any-return, operator]


def test_samples_that_are_not_chosen_stand_bit_for_bit_where_they_always_do() -> None:
    values = arguments()
    rolled = roll_out(dropping_model(), walks=WALKS, **values)  # type: ignore[arg-type]
    assert torch.equal(rolled.x_t[1], rolled_nowhere(values)[1])


@pytest.mark.parametrize("reflexflow", [None, ReflexFlow()])
def test_forward_passes_are_shared_and_counted(reflexflow: ReflexFlow | None) -> None:
    model = dropping_model()
    with counted_calls(model) as sizes:
        rolled = roll_out(model, walks=WALKS, reflexflow=reflexflow, **arguments())  # type: ignore[arg-type]
    # Five steps: who still walks shares one pass; then both predictions of ReflexFlow for all three.
    assert sizes == [3, 2, 2, 1, 1] + [3, 3] * (reflexflow is not None)
    assert rolled.num_forwards == len(sizes)


def test_dropout_neither_acts_nor_draws_and_the_mode_comes_back() -> None:
    model, values = dropping_model(), arguments()
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first = roll_out(model, walks=WALKS, reflexflow=ReflexFlow(), **values)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(module.training for module in model.modules())
    second = roll_out(model, walks=WALKS, reflexflow=ReflexFlow(), **values)  # type: ignore[arg-type]
    assert torch.equal(first.x_t, second.x_t)


def test_padding_stays_silent_on_the_way() -> None:
    values = arguments()
    mask = torch.ones(len(INDICES), 9)
    mask[2, 6:] = 0
    for name in ("x_0", "noise"):
        values[name] = values[name] * mask[:, None, None, :]  # type: ignore[operator]
    rolled = roll_out(dropping_model(), walks=WALKS, **(values | {"frame_mask": mask}))  # type: ignore[arg-type]
    assert rolled.x_t[2, ..., 6:].abs().max() == 0 and rolled.x_t[2, ..., :6].abs().min() > 0


def test_the_loss_is_that_of_the_point_the_way_led_to() -> None:
    model, values = dropping_model().eval(), arguments()
    rolled = roll_out(model, walks=WALKS, **values)  # type: ignore[arg-type]
    terms = compute_loss(model, rolled=rolled, **values)  # type: ignore[arg-type]
    sigma = sigma_table(3.0)[torch.tensor(INDICES)]
    with torch.no_grad():
        velocity = model(rolled.x_t, 1000 * sigma, model.encode_conditions(values["inputs"])).velocity
    error = rolled.x_t - sigma.reshape(-1, 1, 1, 1) * velocity - values["x_0"]
    torch.testing.assert_close(terms.per_sample, error.square().mean(dim=(1, 2, 3)))
    plain = compute_loss(model, **values)  # type: ignore[arg-type]
    assert torch.equal(terms.per_sample[1], plain.per_sample[1]) and not torch.equal(terms.total, plain.total)


def test_gradients_flow_under_autocast_although_weights_were_cast_without() -> None:
    """Autocast keeps what it casts: a shared context would hand the training weights without a gradient."""
    model, values = dropping_model(), arguments()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rolled = roll_out(model, walks=WALKS, reflexflow=ReflexFlow(), **values)  # type: ignore[arg-type]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compute_loss(model, rolled=rolled, **values).total.backward()  # type: ignore[arg-type]
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all(parameter.grad is not None for parameter in trained.values())
    assert any(parameter.grad.abs().max() > 0 for parameter in trained.values() if parameter.grad is not None)


def test_draws_hang_on_the_position_alone_and_keep_to_the_table() -> None:
    plan = RolloutPlan(max_steps=100, probability=0.5)

    def walk(position: int, *, step: int = 0, index: int = 999, plan: RolloutPlan = plan) -> int:
        return draw_walk(sample_generator(0, position, PURPOSE), plan, step=step, timestep_index=index)

    walks = [walk(position) for position in range(4000)]
    assert walks == [walk(position) for position in range(4000)]
    assert sum(walk > 0 for walk in walks) / 4000 == pytest.approx(0.5 * 100 / 101, abs=0.025)
    assert max(walks) == 100
    assert [walk(position, index=7) for position in range(4000)] == [min(length, 7) for length in walks]
    # A ramp chooses more and more of the same samples, each always with its own length.
    ramp = RolloutPlan(max_steps=100, prob_start=0.0, prob_end=1.0, ramp_steps=10)
    lengths: dict[int, set[int]] = {}
    for step in (0, 3, 5, 10):
        for position in range(200):
            lengths.setdefault(position, set()).add(walk(position, step=step, plan=ramp))
    assert Counter(len(seen - {0}) for seen in lengths.values()).keys() <= {0, 1}
    assert all(walk(position, step=0, plan=ramp) == 0 for position in range(200))
