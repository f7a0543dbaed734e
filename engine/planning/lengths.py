"""Choosing the clip lengths of duration buckets (spec config-formats.md 2.2), for the plan and for the run alike."""

from __future__ import annotations

import math
from collections.abc import Sequence

SAMPLE_RATE = 48_000
"""Hz of the audio that is trained on; every file is brought to it."""

MAX_CLIP_S = 240.0
"""The model was trained on at most this (spec ace-step-v1.md 9.1)."""

MIN_CLIP_S = 0.1
"""Below this a clip fills no latent frame (92.88 ms)."""

USED_SHARE = 0.95
"""The share of the seconds that automatic lengths aim at."""

MAX_LENGTHS = 8
"""Each length costs a set of kernels or graphs; more of them buy next to nothing."""

TOLERABLE_SHARE = 0.8
"""Below this share of used seconds, buckets smaller than a batch are the lesser evil."""


def choose_lengths(durations: Sequence[int], *, batch_size: int, used_share: float) -> list[int]:
    """Choose at most eight lengths and give each song one, no longer than the song.

    Sorted songs are cut into runs; a run's length is that of its shortest song. Of all such partitions with at least
    a full batch of songs in each run, the one with the fewest lengths that uses ``used_share`` of the samples is
    taken, else the one that uses most. When even that wastes more than a fifth (a few songs far shorter than the
    rest), runs of half a batch are allowed, then of a quarter, and so on.

    Args:
        durations: Samples at 48 kHz of each song, each at least 0.1 s.
        batch_size: Songs that each length should have.
        used_share: Share of all samples that should lie in a clip.

    Returns:
        Samples at 48 kHz per song, in the order given.
    """
    if not durations:
        return []
    order = sorted(range(len(durations)), key=lambda index: durations[index])
    lengths = [_round_down(durations[index]) for index in order]
    total = sum(durations)
    smallest_run = min(batch_size, len(durations))
    used, runs = _partition(lengths, smallest_run, enough=used_share * total)
    while used < TOLERABLE_SHARE * total and smallest_run > 1:
        smallest_run = max(1, smallest_run // 2)
        used, runs = _partition(lengths, smallest_run, enough=used_share * total)
    chosen = [0] * len(durations)
    for begin, end in runs:
        for index in order[begin:end]:
            chosen[index] = lengths[begin]
    return chosen


def interval_length(num_samples: int, interval_s: float) -> int | None:
    """Samples of a fixed interval's bucket: the largest multiple that fits; None when shorter than one interval."""
    count = math.floor(num_samples / (interval_s * SAMPLE_RATE) + 1e-9)
    # An interval need not be a whole number of samples: rounding up must not reach beyond the song.
    while count > 0 and round(count * interval_s * SAMPLE_RATE) > num_samples:
        count -= 1
    return round(count * interval_s * SAMPLE_RATE) if count else None


def _round_down(samples: int) -> int:
    """To a tenth of a second (a hundredth below ten seconds), so that labels can be read."""
    step = SAMPLE_RATE // 10 if samples >= 10 * SAMPLE_RATE else SAMPLE_RATE // 100
    return samples // step * step


def _partition(lengths: Sequence[int], smallest_run: int, *, enough: float) -> tuple[int, list[tuple[int, int]]]:
    """Cut ascending ``lengths`` into runs: fewest that use ``enough``, else those that use most.

    Dynamic programming over the number of runs: ``best_k(j) = max_i best_{k-1}(i) + (j - i) * lengths[i]``.

    Returns:
        Samples used, and the runs as (begin, end).
    """
    size = len(lengths)
    best: list[float] = [0.0] + [-math.inf] * size
    parents: list[list[int]] = []
    top_used, top_count = -1.0, 0
    for count in range(1, min(MAX_LENGTHS, size // smallest_run) + 1):
        best, parent = _extend(best, lengths, smallest_run)
        parents.append(parent)
        if best[size] > top_used:
            top_used, top_count = best[size], count
        if best[size] >= enough:
            break
    runs: list[tuple[int, int]] = []
    end = size
    for parent in reversed(parents[:top_count]):
        runs.append((parent[end], end))
        end = parent[end]
    return int(top_used), runs[::-1]


def _extend(best: Sequence[float], lengths: Sequence[int], smallest_run: int) -> tuple[list[float], list[int]]:
    """One more run: the upper envelope of lines ``best[i] + (j - i) * lengths[i]`` read at rising j.

    Slopes rise with i and j rises too, so each line enters and leaves the envelope once: linear, where trying every
    pair would take minutes for twenty thousand songs.
    """
    size = len(lengths)
    extended, parent = [-math.inf] * (size + 1), [0] * (size + 1)
    envelope: list[int] = []
    front = 0

    def value(i: int, j: int) -> float:
        return best[i] + (j - i) * lengths[i]

    def overtakes_at(older: int, newer: int) -> float:
        """The j from which ``newer`` is at least as good as ``older``."""
        if lengths[newer] == lengths[older]:
            return -math.inf if value(newer, 0) >= value(older, 0) else math.inf
        return (value(older, 0) - value(newer, 0)) / (lengths[newer] - lengths[older])

    for j in range(smallest_run, size + 1):
        i = j - smallest_run
        if best[i] > -math.inf:
            while len(envelope) - front >= 2 and overtakes_at(envelope[-2], envelope[-1]) >= overtakes_at(
                envelope[-1], i
            ):
                envelope.pop()
            envelope.append(i)
        while len(envelope) - front >= 2 and value(envelope[front + 1], j) >= value(envelope[front], j):
            front += 1
        if len(envelope) > front:
            parent[j] = envelope[front]
            extended[j] = value(envelope[front], j)
    return extended, parent
