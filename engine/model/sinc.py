"""Windowed-sinc resampling of sound in main memory, in numpy alone: worker processes that only decode import no torch.

The filters are those that torchaudio documents for its default resampler (spec 6.2); `engine.model.resample` applies
the same ones on a device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LOWPASS_FILTER_WIDTH = 6
"""Zero crossings of the sinc on either side of an output sample."""

ROLLOFF = 0.99
"""Cut-off as a share of the lower Nyquist frequency."""

# Output phases filtered per product. One product for all would spend most of its work on taps that are zero, and rates
# with no common divisor (47,999 to 48,000 Hz) would need a kernel of gigabytes.
_PHASES_PER_KERNEL = 32

# Multiplications in one product. OpenBLAS gives so few to one thread: the sum is then the same to the last bit whatever
# the number of its threads, and a process that has one core gives the samples of one that has many.
_PRODUCT = 1 << 18


@dataclass(frozen=True, slots=True)
class Kernel:
    """The filters of some neighbouring output phases.

    Attributes:
        first: Where they begin in a block's padded input.
        phases: Which output samples of a block they give, ``start`` up to ``stop``.
        taps: (taps, phases) float32.
    """

    first: int
    phases: tuple[int, int]
    taps: Samples


def resampled(audio: Samples, from_rate: int, to_rate: int) -> Samples:
    """Convert sound to another sample rate.

    Every output sample is one of ``to_rate/gcd`` phases: block b of the output is a product of the samples around block
    b of the input with all phases' filters. A row of that product is a window on the signal, so nothing is copied.

    Args:
        audio: Float32 (channels, n).
        from_rate: Hz of ``audio``.
        to_rate: Hz wanted.

    Returns:
        Float32 (channels, ceil(n·to_rate/from_rate)); ``audio`` itself when the rates are equal.
    """
    if from_rate == to_rate:
        return audio
    divisor = math.gcd(from_rate, to_rate)
    num_in, num_out = from_rate // divisor, to_rate // divisor
    length = audio.shape[-1]
    num_blocks = -(-length // num_in)
    width = half_width(num_in, num_out)
    blocks = np.empty((len(audio), num_blocks, num_out), dtype=np.float32)
    for samples, out in zip(audio, blocks, strict=True):
        signal = np.pad(samples, (width, num_blocks * num_in - length + width + num_in))
        for kernel in kernels(num_in, num_out):
            _filter(signal[kernel.first :], kernel, out, stride=num_in)
    return blocks.reshape(len(audio), -1)[:, : -(-length * num_out // num_in)]


def _filter(signal: Samples, kernel: Kernel, out: Samples, *, stride: int) -> None:
    """Write the kernel's phases of every block to ``out`` (blocks, phases of all kernels)."""
    num_taps = len(kernel.taps)
    windows = np.lib.stride_tricks.sliding_window_view(signal, num_taps)[::stride]
    columns = slice(*kernel.phases)
    at_once = max(1, _PRODUCT // kernel.taps.size)
    for begin in range(0, len(out), at_once):
        rows = slice(begin, min(begin + at_once, len(out)))
        window = windows[rows]
        # BLAS reads rows that lie further apart than they are long; rows that overlap more have to be laid out.
        np.matmul(window if num_taps <= stride else np.ascontiguousarray(window), kernel.taps, out=out[rows, columns])


def half_width(num_in: int, num_out: int) -> int:
    """Input samples that the filter reaches on either side."""
    return math.ceil(LOWPASS_FILTER_WIDTH * num_in / (min(num_in, num_out) * ROLLOFF))


@lru_cache(maxsize=16)
def kernels(num_in: int, num_out: int) -> tuple[Kernel, ...]:
    """Filters of all output phases, in groups.

    Phase ``i`` lies at input time ``i·num_in/num_out``. Evaluated in float64, then cast; only phase times are float32,
    as in the original, which keeps our filters bit-equal to its own.
    """
    width = half_width(num_in, num_out)
    cutoff = min(num_in, num_out) * ROLLOFF
    groups = []
    for start in range(0, num_out, _PHASES_PER_KERNEL):
        stop = min(start + _PHASES_PER_KERNEL, num_out)
        first = start * num_in // num_out - width
        last = (stop - 1) * num_in // num_out + width + 1
        times = np.arange(first, last + 1, dtype=np.float64) / num_in
        phase_times = (np.arange(start, stop, dtype=np.float32) / np.float32(num_out))[:, None]
        t = np.clip((times - phase_times) * cutoff, -LOWPASS_FILTER_WIDTH, LOWPASS_FILTER_WIDTH)
        hann = np.cos(t * (math.pi / LOWPASS_FILTER_WIDTH / 2)) ** 2
        filters = np.sinc(t) * hann * (cutoff / num_in)
        groups.append(Kernel(first + width, (start, stop), np.ascontiguousarray(filters.T, dtype=np.float32)))
    return tuple(groups)
