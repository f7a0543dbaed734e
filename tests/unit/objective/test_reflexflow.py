"""ReflexFlow: point 5 of section 7, against the formula written out with plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from engine.contract.fields import SETTINGS
from engine.objective.reflexflow import (
    ReflexFlow,
    direction_loss,
    exposure_weight,
    reflexflow_loss,
    reflexflow_of,
)
from engine.objective.rollout import RolledOut

FRAMES, VALID = 3, (3, 2)


def tensors(num: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(2, 1, 2, FRAMES, generator=generator) for _ in range(num)]


def by_hand(parts: Sequence[Tensor], num_valid: int, strengths: ReflexFlow) -> float:
    """One sample with plain numbers: only what is sound exists at all. The parts are c, b, v, x, x_0 and x_0_hat."""
    values = [[float(tensor[0, row, frame]) for tensor in parts] for row in range(2) for frame in range(num_valid)]
    apart = max(sum(abs(ci - bi) for ci, bi, *_ in values), 1e-6)
    weighted = sum(
        (1 + strengths.alpha * (ci - bi) / apart) * (hat - clean) ** 2 for ci, bi, _, _, clean, hat in values
    ) / len(values)
    length_v = math.sqrt(sum(vi**2 for _, _, vi, *_ in values))
    length_d = math.sqrt(sum((xi - clean) ** 2 for _, _, _, xi, clean, _ in values))
    direction = sum((vi / length_v - (xi - clean) / length_d) ** 2 for _, _, vi, xi, clean, _ in values)
    return strengths.beta2 * weighted + strengths.beta1 * direction


@pytest.mark.parametrize("strengths", [ReflexFlow(), ReflexFlow(alpha=3.0, beta1=0.5, beta2=2.0), ReflexFlow(beta1=0)])
def test_loss_of_each_sample_is_the_formula(strengths: ReflexFlow) -> None:
    c, b, v, x, x_0, x_0_hat = tensors(6)
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    weight = exposure_weight(c, b, mask, alpha=strengths.alpha)
    rolled = RolledOut(x_t=x, is_walked=torch.ones(2), weight=weight, reflexflow=strengths, num_forwards=0)
    loss = reflexflow_loss(v, x_0_hat, x_0=x_0, frame_mask=mask, rolled=rolled)
    expected = [by_hand([part[i] for part in (c, b, v, x, x_0, x_0_hat)], VALID[i], strengths) for i in range(2)]
    assert loss.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_sample_that_was_not_rolled_out_has_its_plain_loss_whatever_its_neighbour_does() -> None:
    _, _, v, x, x_0, x_0_hat = tensors(6)
    rolled = RolledOut(
        x_t=x,
        is_walked=torch.tensor([1.0, 0.0]),
        weight=torch.ones_like(x),
        reflexflow=ReflexFlow(beta2=7.0),
        num_forwards=0,
    )
    loss = reflexflow_loss(v, x_0_hat, x_0=x_0, frame_mask=None, rolled=rolled)
    assert torch.equal(loss[1], (x_0_hat[1] - x_0[1]).square().mean())


def test_two_equal_predictions_weigh_nothing() -> None:
    (c,) = tensors(1)
    assert torch.equal(exposure_weight(c, c, None, alpha=5.0), torch.ones_like(c))


def test_direction_goes_from_nothing_to_four() -> None:
    x_0, way = tensors(2)
    torch.testing.assert_close(direction_loss(3 * way, x_0 + way, x_0, None), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(direction_loss(-way, x_0 + way, x_0, None), torch.full((2,), 4.0))
    still = torch.zeros_like(way).requires_grad_()
    loss = direction_loss(still, x_0, x_0, None)
    loss.sum().backward()
    assert still.grad is not None and torch.isfinite(loss).all() and torch.isfinite(still.grad).all()


def test_the_configuration_gives_the_strengths() -> None:
    values = {setting.key: setting.default for setting in SETTINGS}
    assert reflexflow_of(values) is None
    on = values | {"scheduled_sampling_max_step_offset": 4, "scheduled_sampling_probability": 0.5}
    assert reflexflow_of(on) == ReflexFlow(alpha=1.0, beta1=10.0, beta2=1.0)
    assert reflexflow_of(on | {"scheduled_sampling_reflexflow": False}) is None
