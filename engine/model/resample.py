"""Sample-rate conversion: windowed-sinc interpolation with a Hann window (spec 6.2).

The formula is the one that torchaudio documents for its default resampler, so that latents match the original's. It
stands here because torchaudio's last release does not import beside current builds of torch.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch.nn import functional as F

LOWPASS_FILTER_WIDTH = 6
"""Zero crossings of the sinc on either side of an output sample."""

ROLLOFF = 0.99
"""Cut-off as a share of the lower Nyquist frequency."""

# Output phases filtered per convolution. One convolution for all would spend most of its work on taps that are zero,
# and rates with no common divisor (47,999 to 48,000 Hz) would need a kernel of gigabytes.
_PHASES_PER_KERNEL = 32


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
    divisor = math.gcd(from_rate, to_rate)
    num_in, num_out = from_rate // divisor, to_rate // divisor
    length = audio.shape[-1]
    num_blocks = -(-length // num_in)
    width = _half_width(num_in, num_out)
    # Every block of num_in samples gives num_out samples: output phase i of block b is a filter at stride num_in.
    signal = F.pad(audio.reshape(-1, 1, length), (width, num_blocks * num_in - length + width + num_in))
    # Whatever the caller computes in: half precision would be heard here.
    with torch.autocast(signal.device.type, enabled=False):
        phases = [
            F.conv1d(signal[..., first:], kernel.to(signal.device), stride=num_in)[..., :num_blocks]
            for first, kernel in _kernels(num_in, num_out)
        ]
    blocks = torch.cat(phases, dim=1)
    resampled = blocks.transpose(1, 2).reshape(*audio.shape[:-1], num_blocks * num_out)
    return resampled[..., : -(-length * num_out // num_in)]


def _half_width(num_in: int, num_out: int) -> int:
    """Input samples that the filter reaches on either side."""
    return math.ceil(LOWPASS_FILTER_WIDTH * num_in / (min(num_in, num_out) * ROLLOFF))


@lru_cache(maxsize=16)
def _kernels(num_in: int, num_out: int) -> tuple[tuple[int, torch.Tensor], ...]:
    """Filters of all output phases in groups: (first padded input sample, float32 kernel ``(phases, 1, taps)``).

    Phase ``i`` lies at input time ``i·num_in/num_out``. Evaluated in float64, then cast; only phase times are float32,
    as in the original, which keeps our samples bit-equal to its own.
    """
    width = _half_width(num_in, num_out)
    cutoff = min(num_in, num_out) * ROLLOFF
    groups = []
    for start in range(0, num_out, _PHASES_PER_KERNEL):
        stop = min(start + _PHASES_PER_KERNEL, num_out)
        first = start * num_in // num_out - width
        last = (stop - 1) * num_in // num_out + width + 1
        taps = torch.arange(first, last + 1, dtype=torch.float64) / num_in
        phase_times = torch.arange(start, stop)[:, None] / num_out
        t = ((taps - phase_times) * cutoff).clamp(-LOWPASS_FILTER_WIDTH, LOWPASS_FILTER_WIDTH)
        hann = torch.cos(t * (math.pi / LOWPASS_FILTER_WIDTH / 2)) ** 2
        kernel = torch.sinc(t) * hann * (cutoff / num_in)
        groups.append((first + width, kernel.to(torch.float32)[:, None]))
    return tuple(groups)
