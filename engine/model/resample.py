"""Sample-rate conversion: windowed-sinc interpolation with a Hann window (spec 6.2).

The formula is the one that torchaudio documents for its default resampler, so that latents match the original's. It
stands here because torchaudio's last release does not import beside current builds of torch.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch.nn import functional as F

from engine.model.sinc import half_width, kernels, resampled


def resample(audio: torch.Tensor, from_rate: int, to_rate: int) -> torch.Tensor:
    """Convert audio to another sample rate.

    Args:
        audio: Float32 ``(…, n)``.
        from_rate: Hz of `audio`.
        to_rate: Hz wanted.

    Returns:
        Float32 ``(…, ceil(n·to_rate/from_rate))``; `audio` itself when the rates are equal.
    """
    if from_rate == to_rate:
        return audio
    flat = audio.reshape(-1, audio.shape[-1])
    if audio.device.type == "cpu":
        # As the processes that decode do it: equal to the last bit, and faster than a convolution.
        result = torch.from_numpy(resampled(flat.detach().numpy(), from_rate, to_rate))
    else:
        result = _convolved(flat, from_rate, to_rate)
    return result.reshape(*audio.shape[:-1], -1)


def _convolved(audio: torch.Tensor, from_rate: int, to_rate: int) -> torch.Tensor:
    """The same on a device: every block of num_in samples gives num_out, each of them a filter at stride num_in."""
    divisor = math.gcd(from_rate, to_rate)
    num_in, num_out = from_rate // divisor, to_rate // divisor
    length = audio.shape[-1]
    num_blocks = -(-length // num_in)
    width = half_width(num_in, num_out)
    signal = F.pad(audio[:, None], (width, num_blocks * num_in - length + width + num_in))
    parts = _parts(signal)
    # Whatever the caller computes in: half precision would be heard here.
    with torch.autocast(signal.device.type, enabled=False):
        phases = []
        for first, filters in _filters(num_in, num_out):
            products = [
                F.conv1d(part[..., first:], by, stride=num_in)[..., :num_blocks]
                for by in _parts(filters.to(signal.device))
                for part in parts
            ]
            phases.append(torch.stack(products).sum(dim=0))
    blocks = torch.cat(phases, dim=1).transpose(1, 2)
    return blocks.reshape(len(audio), num_blocks * num_out)[:, : -(-length * num_out // num_in)]


def _parts(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 as the sum of two numbers of few digits.

    A CUDA card may round what it multiplies to TF32, as the process's settings say, which must not be switched here:
    other threads compute. Products of these parts survive that to 2^-20 of the signal.
    """
    coarse = x.to(torch.bfloat16).float()
    return coarse, x - coarse


@lru_cache(maxsize=16)
def _filters(num_in: int, num_out: int) -> tuple[tuple[int, torch.Tensor], ...]:
    """`kernels` as the weights of convolutions: (first padded input sample, float32 ``(phases, 1, taps)``)."""
    return tuple((kernel.first, torch.from_numpy(kernel.taps.T.copy())[:, None]) for kernel in kernels(num_in, num_out))
