"""Schedulers beyond the golden vectors: what a solver must do with a velocity that is right."""

import pytest
import torch

from engine.objective.timesteps import sigma_table
from engine.sampling.schedulers import SCHEDULERS, HeunScheduler, SchedulerType, sampling_sigmas, sigma_range

SHAPE = (1, 8, 16, 5)


def noise(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", list(SCHEDULERS))
@pytest.mark.parametrize("num_steps", [1, 2, 13])
def test_a_model_that_knows_the_data_arrives_there(kind: SchedulerType, num_steps: int) -> None:
    x_0, x_t = noise(0), noise(1)
    scheduler = SCHEDULERS[kind](num_steps)
    for index in range(len(scheduler.timesteps)):
        velocity = (x_t - x_0) / scheduler.sigmas[index]
        x_t = scheduler.step(velocity, index, x_t, noise=noise(2 + index))
    assert torch.allclose(x_t, x_0, atol=1e-5)


@pytest.mark.parametrize("kind", list(SCHEDULERS))
def test_tables_fall_from_one_to_zero(kind: SchedulerType) -> None:
    scheduler = SCHEDULERS[kind](60)
    assert scheduler.sigmas[0] == 1
    assert scheduler.sigmas[-1] == 0
    assert scheduler.sigmas[-2] == pytest.approx(0.008929, abs=1e-6)
    assert (scheduler.sigmas.diff() <= 0).all()
    assert torch.equal(scheduler.timesteps, scheduler.sigmas[:-1] * 1000)
    assert len(scheduler.timesteps) == (119 if kind == "heun" else 60)


def test_the_range_is_that_of_the_training_table() -> None:
    table = sigma_table(3.0)
    assert sigma_range() == (float(table[0]), float(table[-1]))


def test_a_lower_top_starts_lower() -> None:
    assert sampling_sigmas(10, sigma_max=0.5)[0] < sampling_sigmas(10)[0]


def test_omega_stretches_around_the_mean() -> None:
    x_t, velocity = noise(0), noise(1) + 3
    plain = SCHEDULERS["euler"](10).step(velocity, 0, x_t) - x_t
    stretched = SCHEDULERS["euler"](10, omega=10.0).step(velocity, 0, x_t) - x_t
    assert stretched.mean() == pytest.approx(float(plain.mean()), abs=1e-6)
    assert float(stretched.std() / plain.std()) == pytest.approx(1.0462, abs=1e-4)


def test_heun_is_exact_where_the_velocity_is_linear_in_sigma() -> None:
    scheduler = HeunScheduler(4)
    x_t = torch.zeros(1, 1, 1, 1)
    for index in range(len(scheduler.timesteps)):
        x_t = scheduler.step(scheduler.sigmas[index].reshape(1, 1, 1, 1), index, x_t)
    # The integral of sigma from 1 to the last noise level, then one step of first order.
    last = float(scheduler.sigmas[-2])
    assert float(x_t) == pytest.approx((last**2 - 1) / 2 - last**2, abs=1e-6)


def test_pingpong_refuses_to_run_dry() -> None:
    with pytest.raises(ValueError, match="noise"):
        SCHEDULERS["pingpong"](4).step(noise(0), 0, noise(1))
