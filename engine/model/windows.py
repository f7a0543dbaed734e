"""Running a local (convolutional) function over a long sequence in windows, with the same result and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch


def in_windows(
    function: Callable[[torch.Tensor], torch.Tensor],
    sequence: torch.Tensor,
    *,
    window: int,
    context: int,
    up: int = 1,
    down: int = 1,
) -> torch.Tensor:
    """Apply a function of finite reach along the last axis window by window.

    Every window is given `context` more positions on both sides, which are dropped from its result; where the sequence
    really ends nothing is added, so the function's own padding acts there exactly as in one call.

    Args:
        function: Maps ``(…, n)`` to ``(…, n·up/down)``; no output may depend on inputs further away than `context`.
        sequence: ``(…, n)``; n is a multiple of `down`.
        window: Positions kept per call, a multiple of `down`.
        context: Extra positions on each side, a multiple of `down`.
        up: Length factor of the function.
        down: Length divisor of the function.

    Returns:
        ``(…, n·up/down)``, equal to ``function(sequence)`` up to rounding.
    """
    length = sequence.shape[-1]
    if length <= window + context:
        return function(sequence)
    parts = []
    for start, end, left, right in spans(length, window=window, context=context):
        result = function(sequence[..., left:right])
        parts.append(result[..., (start - left) * up // down : (end - left) * up // down])
    return torch.cat(parts, dim=-1)


def spans(length: int, *, window: int, context: int) -> Iterator[tuple[int, int, int, int]]:
    """Windows that cover ``length`` positions: where each begins and ends, and where what it looks at does."""
    for start in range(0, length, window):
        end = min(start + window, length)
        yield start, end, max(0, start - context), min(length, end + context)
