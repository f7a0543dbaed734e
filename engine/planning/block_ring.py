"""Block swap's arithmetic, for the plan and for the run alike: which blocks wait, and how many buffers serve them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

HOST_LEFT_FREE_BYTES = 1 << 30
"""Of main memory, for everything else than what waits there for the device."""

_SINGLE_BUFFER_BELOW = 10  # blocks: two buffers would be more than a fifth of them


def swapped_blocks(num_swapped: int, num_blocks: int) -> tuple[int, ...]:
    """Which of a model's blocks wait in main memory: spread evenly, so that copies have most computing to hide behind.

    More than all but one are never swapped; the order is that of the blocks.
    """
    count = max(0, min(num_swapped, num_blocks - 1))
    return tuple((2 * place + 1) * num_blocks // (2 * count) for place in range(count))


def num_ring_blocks(swapped: Sequence[int], *, group: int = 1) -> int:
    """Buffers on the device for so many swapped blocks, in blocks.

    Two of each group: one computes, one arrives. Below ten blocks one is enough where unswapped ones stand between:
    with two the saving would be less than four fifths.

    Args:
        swapped: Their places in the model, in order.
        group: Blocks that are recomputed together (``gradient_checkpointing_interval``).
    """
    groups = [index // group for index in swapped]
    largest = max((groups.count(index) for index in set(groups)), default=0)
    has_neighbours = any(after - before == 1 for before, after in pairwise(groups))
    if largest <= 1 and len(swapped) < _SINGLE_BUFFER_BELOW and not has_neighbours:
        return largest
    return min(2 * largest, len(swapped))
