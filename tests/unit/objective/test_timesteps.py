import pytest
import torch

from engine.objective.timesteps import draw_index, index_of_normal, sigma_table, timesteps_of


def test_shift_three_sends_one_half_to_three_quarters() -> None:
    assert float(sigma_table(3.0)[500]) == 0.75


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 6.0])
def test_table_descends_from_one_without_repeats(shift: float) -> None:
    sigmas = sigma_table(shift)
    assert sigmas.dtype is torch.float32 and sigmas.shape == (1000,)
    assert float(sigmas[0]) == 1.0 and float(sigmas[-1]) > 0
    assert bool((sigmas.diff() < 0).all())
    assert float(timesteps_of(sigmas)[0]) == 1000.0


def test_large_draws_mean_little_noise() -> None:
    index = index_of_normal(torch.tensor([-50.0, 0.0, 50.0]))
    assert index.tolist() == [0, 500, 999]


def test_mean_and_std_move_the_draws() -> None:
    def draws(mean: float, std: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.tensor([draw_index(generator, mean, std) for _ in range(300)], dtype=torch.float32)

    centre = draws(0.0, 1.0)
    assert draws(1.5, 1.0).mean() > centre.mean() + 100
    assert draws(0.0, 0.1).std() < centre.std() / 4
    assert 430 < centre.median() < 570
