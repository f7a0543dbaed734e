"""The resampler beyond the golden vectors: what it does to a tone, lengths, odd rates."""

import math

import pytest
import torch

from engine.model import resample as resample_module
from engine.model.resample import resample
from engine.model.sinc import kernels


def tone(rate: int, *, seconds: float = 0.25, hz: float = 440.0) -> torch.Tensor:
    return torch.sin(2 * math.pi * hz * torch.arange(int(rate * seconds), dtype=torch.float64) / rate).float()


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 32_000, 44_056, 44_100, 47_999, 88_200, 96_000, 192_000])
def test_a_tone_stays_the_same_tone(rate: int) -> None:
    resampled = resample(tone(rate), rate, 48_000)
    expected = tone(48_000, seconds=len(resampled) / 48_000)
    # The filter sees silence beyond the ends; the middle has nothing to do with them.
    inner = slice(2_000, 9_000)
    assert (resampled[inner] - expected[inner]).abs().max() < 3e-3


@pytest.mark.parametrize("num_samples", [1, 7, 146, 147, 148, 1000])
@pytest.mark.parametrize("rates", [(44_100, 48_000), (48_000, 44_100), (48_000, 16_000)])
def test_length_is_rounded_up(num_samples: int, rates: tuple[int, int]) -> None:
    resampled = resample(torch.zeros(2, 3, num_samples), *rates)
    assert resampled.shape == (2, 3, math.ceil(num_samples * rates[1] / rates[0]))


def test_equal_rates_change_nothing() -> None:
    audio = torch.randn(2, 100)
    assert resample(audio, 44_100, 44_100) is audio


def test_channels_do_not_mix() -> None:
    audio = torch.stack((tone(44_100), torch.zeros(11_025)))
    both = resample(audio, 44_100, 48_000)
    assert torch.equal(both[1], torch.zeros_like(both[1]))
    assert torch.allclose(both[0], resample(audio[0], 44_100, 48_000), atol=1e-6)


def test_rates_without_a_common_divisor_need_little_memory() -> None:
    num_values = sum(kernel.taps.size for kernel in kernels(47_999, 48_000))
    # One kernel over all phases and all taps would have 2.3 thousand million.
    assert num_values < 5_000_000


def test_filters_are_made_once_per_pair_of_rates() -> None:
    resample(torch.zeros(10), 37_800, 48_000)
    made = kernels.cache_info().misses
    resample(torch.zeros(20), 37_800, 48_000)
    assert kernels.cache_info().misses == made


@pytest.mark.parametrize("rates", [(44_100, 48_000), (48_000, 44_100), (48_000, 16_000), (22_050, 44_100)])
def test_a_device_filters_as_the_processor_does(rates: tuple[int, int]) -> None:
    audio = torch.randn(2, 5_000, generator=torch.Generator().manual_seed(0))
    there = resample_module._convolved(audio, *rates)
    torch.testing.assert_close(there, resample(audio, *rates), atol=1e-6, rtol=0)


def test_rounding_to_tf32_is_not_heard() -> None:
    """Ten binary digits behind the first, as a card with TF32 rounds what it multiplies."""

    def tf32(x: torch.Tensor) -> torch.Tensor:
        return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)

    conv1d = torch.nn.functional.conv1d

    def rounded(x: torch.Tensor, weight: torch.Tensor, **more: int) -> torch.Tensor:
        return conv1d(tf32(x.contiguous()), tf32(weight.contiguous()), **more)

    audio = torch.randn(2, 5_000, generator=torch.Generator().manual_seed(0))
    exact = resample(audio, 44_100, 48_000)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.nn.functional, "conv1d", rounded)
        there = resample_module._convolved(audio, 44_100, 48_000)
    assert (there - exact).norm() < 1e-5 * exact.norm()
    plain = conv1d(tf32(audio[:, None, :50]), tf32(audio[:1, None, 100:150])) - conv1d(
        audio[:, None, :50], audio[:1, None, 100:150]
    )
    assert plain.abs().max() > 1e-5, "the rounding that is stood in for"
