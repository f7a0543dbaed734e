"""Guidance beyond the golden vectors: the properties that give each kind its name."""

import pytest
import torch

from engine.sampling.guidance import Momentum, apg, cfg, cfg_star, decayed_scale, double_condition, guided_steps


def prediction(seed: int, *, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize(
    ("num_steps", "interval", "expected"),
    [(60, 0.5, range(15, 45)), (6, 0.5, range(1, 4)), (10, 1.0, range(10)), (10, 0.0, range(5, 5)), (1, 1.0, range(1))],
)
def test_the_middle_of_a_run_is_guided(num_steps: int, interval: float, expected: range) -> None:
    assert guided_steps(num_steps, interval) == expected


def test_the_scale_falls_over_the_guided_steps() -> None:
    steps = range(10, 15)
    scales = [decayed_scale(15.0, index, steps, decay=1.0, minimum=3.0) for index in steps]
    assert scales == pytest.approx([15, 12, 9, 6, 3])
    assert decayed_scale(15.0, 12, steps, decay=0.0, minimum=3.0) == 15.0
    assert decayed_scale(15.0, 10, range(10, 11), decay=1.0, minimum=3.0) == 15.0


def test_apg_moves_only_across_the_conditional_prediction() -> None:
    cond, uncond = prediction(0), prediction(1)
    moved = apg(cond, uncond, 15.0) - cond
    assert (moved * cond).sum(dim=(-2, -1)).abs().max() < 1e-4
    assert moved.abs().max() > 0.1


def test_apg_limits_the_difference_per_channel() -> None:
    cond, uncond = prediction(0), prediction(1, scale=100.0)
    unlimited = apg(cond, uncond, 2.0, norm_threshold=0) - cond
    limited = apg(cond, uncond, 2.0, norm_threshold=2.5) - cond
    assert torch.linalg.vector_norm(limited, dim=(-2, -1)).max() <= 2.5 + 1e-4
    assert torch.linalg.vector_norm(unlimited, dim=(-2, -1)).min() > 100


def test_apg_without_a_difference_is_the_prediction() -> None:
    cond = prediction(0)
    assert torch.equal(apg(cond, cond.clone(), 15.0), cond)


def test_momentum_is_a_running_sum() -> None:
    momentum = Momentum(-0.5)
    first, second = prediction(0), prediction(1)
    assert torch.equal(momentum.update(first), first)
    assert torch.allclose(momentum.update(second), second - 0.5 * first)


def test_scale_one_is_no_guidance() -> None:
    cond, uncond = prediction(0), prediction(1)
    assert torch.allclose(apg(cond, uncond, 1.0), cond)
    assert torch.allclose(cfg(cond, uncond, 1.0), cond, atol=1e-6)
    assert torch.allclose(cfg_star(cond, uncond, 1.0, index=5), cond, atol=1e-6)
    assert torch.allclose(double_condition(cond, uncond, prediction(2), text_scale=1.0, lyric_scale=1.0), cond)


def test_cfg_star_starts_with_nothing_and_ignores_the_size_of_uncond() -> None:
    cond, uncond = prediction(0), prediction(1)
    assert not cfg_star(cond, uncond, 5.0, index=0).any()
    assert not cfg_star(cond, uncond, 5.0, index=1).any()
    guided = cfg_star(cond, uncond, 5.0, index=2)
    assert guided.any()
    assert torch.allclose(guided, cfg_star(cond, 7 * uncond, 5.0, index=2), atol=1e-5)
