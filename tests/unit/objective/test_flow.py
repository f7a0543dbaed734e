import pytest
import torch
from torch import Tensor

from engine.objective.flow import denoised, flow_loss, interpolate


def batch(*, frames: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 8, 16, frames, generator=generator), torch.randn(3, 8, 16, frames, generator=generator)


def test_the_true_velocity_gives_back_the_data() -> None:
    x_0, noise = batch()
    sigma = torch.tensor([1.0, 0.5, 0.003])
    x_t = interpolate(x_0, noise, sigma)
    torch.testing.assert_close(x_t[0], noise[0])
    torch.testing.assert_close(denoised(x_t, noise - x_0, sigma), x_0, atol=1e-6, rtol=1e-5)


def test_both_padding_forms_are_equal_without_padding() -> None:
    x_0, x_0_hat = batch()
    ones = torch.ones(3, 12)
    valid = flow_loss(x_0_hat, x_0, ones, padding="valid")
    torch.testing.assert_close(valid, flow_loss(x_0_hat, x_0, ones, padding="upstream"), rtol=1e-6, atol=0)
    torch.testing.assert_close(valid, flow_loss(x_0_hat, x_0, None), rtol=1e-6, atol=0)


def test_valid_form_is_the_loss_of_the_sample_alone() -> None:
    x_0, x_0_hat = batch()
    mask = torch.ones(3, 12)
    mask[1, 7:] = 0
    padded = flow_loss(x_0_hat, x_0, mask)
    alone = flow_loss(x_0_hat[1:2, ..., :7], x_0[1:2, ..., :7], None)
    torch.testing.assert_close(padded[1:2], alone, rtol=1e-6, atol=0)
    changed = x_0_hat.clone()
    changed[1, ..., 7:] += 100
    assert torch.equal(flow_loss(changed, x_0, mask), padded)


def test_upstream_form_counts_short_samples_twice_less() -> None:
    x_0, x_0_hat = batch()
    mask = torch.ones(3, 12)
    mask[1, 6:] = 0
    ratio = flow_loss(x_0_hat, x_0, mask, padding="upstream") / flow_loss(x_0_hat, x_0, mask)
    torch.testing.assert_close(ratio, torch.tensor([1.0, 0.25, 1.0]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_estimate_shows_in_its_own_sample_only(bad: float) -> None:
    x_0, x_0_hat = batch()
    x_0_hat[2, 3, 4, 5] = bad
    assert torch.isfinite(flow_loss(x_0_hat, x_0, torch.ones(3, 12))).tolist() == [True, True, False]


def test_half_precision_estimates_are_compared_in_float32() -> None:
    x_0, x_0_hat = batch()
    assert flow_loss(x_0_hat.bfloat16(), x_0, None).dtype is torch.float32
