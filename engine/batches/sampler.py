"""The order of training: an endless stream of optimizer-step groups, a pure function of (seed, step).

Nothing here has state that a resumed run could lose: `GroupSampler.group(step)` computes any step directly, so seeking
is free and gives exactly the stream of an uninterrupted run.

Two levels, both exact in the long run. *Which bucket:* in epoch e a bucket gets ``floor((e + 1)·q) - floor(e·q)``
groups, q = its visits per epoch ÷ group size, in shuffled order: what fills no group is carried over, never dropped.
*Which songs:* each bucket walks through endless shuffled rounds of its songs, group after group across the rounds'
borders, and never takes a song twice in a group while another is free.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from engine.batches.bucket import Entry
from engine.contract.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Visit:
    """One song's turn.

    Attributes:
        entry: The song.
        position: Global sample position: with the run's seed it decides everything random about this visit.
        held_out_draw: Index of the fixed noise and timestep pair of a held-out visit; None in training.
    """

    entry: Entry
    position: int
    held_out_draw: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """What one optimizer step sees: micro-batches from one bucket of one backend, in order."""

    step: int
    backend_id: str
    bucket: str
    micro_batches: tuple[tuple[Visit, ...], ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """The songs of one backend and how often they are wanted.

    Attributes:
        backend_id: For messages and for the weights between backends.
        entries: One per song.
        batch_size: Micro-batch size: the backend's own, else the run's.
        repeats: Extra visits of each song per epoch.
        probability: Sampling weight; a pool of weight 0 or below is never chosen.
    """

    backend_id: str
    entries: tuple[Entry, ...]
    batch_size: int
    repeats: int = 0
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class _Bucket:
    backend_id: str
    label: str
    entries: tuple[Entry, ...]
    batch_size: int
    group_size: int
    groups_per_epoch: Fraction
    name: str


class GroupSampler:
    """Endless, deterministic groups over one or several pools."""

    def __init__(
        self,
        pools: Sequence[Pool],
        *,
        seed: int,
        accumulation: int = 1,
        backend_sampling: str = "auto-weighting",
        allow_oversubscription: bool = True,
    ) -> None:
        """Lay out the buckets.

        Args:
            pools: One per backend.
            seed: The run's seed.
            accumulation: Micro-batches of an optimizer step.
            backend_sampling: ``auto-weighting`` (a backend's share is probability × visits) or ``uniform``
                (probability alone).
            allow_oversubscription: Repeat songs in a bucket smaller than a group (only where ``repeats`` is unset).

        Raises:
            DataError: No song, or no pool with a positive probability.
            ConfigError: A bucket is smaller than a group and may not be repeated.
        """
        chosen = [pool for pool in pools if pool.entries and pool.probability > 0]
        if not chosen:
            raise DataError(
                "there is no song to train on",
                hint="Every song was left out, or every backend has probability 0: see the problems named above.",
            )
        self._seed = seed
        self._accumulation = accumulation
        self._buckets = [
            bucket
            for pool, share in zip(chosen, _visits_per_epoch(chosen, backend_sampling), strict=True)
            for bucket in _buckets(pool, share, accumulation, allow_oversubscription=allow_oversubscription)
        ]
        # Positions of a step start at a multiple of the largest group, so they are unique for any mix of batch sizes.
        self._stride = max(bucket.group_size for bucket in self._buckets)
        self._epoch_order: tuple[int, list[int]] | None = None
        self._spans: dict[int, tuple[int, list[int]]] = {}
        self._groups_per_epoch = sum((bucket.groups_per_epoch for bucket in self._buckets), start=Fraction())

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in which each song is visited ``repeats + 1`` times, on average; may be below 1."""
        return float(self._groups_per_epoch)

    def epoch_of(self, step: int) -> float:
        """Epochs done after ``step`` optimizer steps."""
        return step / self.steps_per_epoch

    def steps_for_epochs(self, num_epochs: float) -> int:
        """Optimizer steps of a run of so many epochs, at least 1."""
        return max(1, math.ceil(num_epochs * self.steps_per_epoch - 1e-9))

    @property
    def repeating(self) -> list[tuple[str, int, int]]:
        """Buckets with fewer songs than one step takes: name, songs, songs of a step."""
        return [
            (bucket.name, len(bucket.entries), bucket.group_size)
            for bucket in self._buckets
            if len(bucket.entries) < bucket.group_size
        ]

    @property
    def fingerprint(self) -> str:
        """Changes with songs, buckets, batch sizes and weights: a run resumed with another one sees another stream."""
        text = "\n".join(
            f"{bucket.name} {bucket.batch_size} {bucket.groups_per_epoch} {[entry.key for entry in bucket.entries]}"
            for bucket in self._buckets
        )
        return hashlib.sha256(f"{self._seed} {self._accumulation}\n{text}".encode()).hexdigest()[:16]

    def groups(self, first_step: int = 0) -> Iterator[Group]:
        """The endless stream from optimizer step ``first_step`` (counted from 0) on.

        A resumed run starts it at the number of steps it has done. (A position kept in here would run ahead of the
        training by whatever the loader has prefetched.)
        """
        return map(self.group, itertools.count(first_step))

    def group(self, step: int) -> Group:
        """The group of one step, whatever was asked before."""
        epoch = self._epoch_at(step)
        order = self._order(epoch)
        place = step - self._groups_before(epoch)
        chosen = order[place]
        index = self._done(chosen, epoch) + order[:place].count(chosen)
        bucket = self._buckets[chosen]
        entries = self._songs(chosen, index)
        visits = [
            Visit(entry=bucket.entries[entry], position=step * self._stride + place_in_group)
            for place_in_group, entry in enumerate(entries)
        ]
        size = bucket.batch_size
        micro_batches = tuple(tuple(visits[begin : begin + size]) for begin in range(0, len(visits), size))
        return Group(step=step, backend_id=bucket.backend_id, bucket=bucket.label, micro_batches=micro_batches)

    def _done(self, bucket: int, epoch: int) -> int:
        """Groups of a bucket in all epochs before ``epoch``."""
        return math.floor(self._buckets[bucket].groups_per_epoch * epoch)

    def _groups_before(self, epoch: int) -> int:
        return sum(self._done(bucket, epoch) for bucket in range(len(self._buckets)))

    def _epoch_at(self, step: int) -> int:
        """The epoch that holds a step: the last one that begins at or before it and is not empty."""
        # Each bucket lags its average by less than one group, so the epoch is at most a few beyond the average's.
        low = max(0, math.floor(step / self.steps_per_epoch) - 1)
        high = low + 1
        while self._groups_before(high) <= step:
            low, high = high, high + (high - low) * 2
        while high - low > 1:
            middle = (low + high) // 2
            if self._groups_before(middle) <= step:
                low = middle
            else:
                high = middle
        return low

    def _order(self, epoch: int) -> list[int]:
        """Bucket of each group of an epoch, shuffled."""
        if self._epoch_order is None or self._epoch_order[0] != epoch:
            order = [
                bucket
                for bucket in range(len(self._buckets))
                for _ in range(self._done(bucket, epoch + 1) - self._done(bucket, epoch))
            ]
            random.Random(f"{self._seed}/order/{epoch}").shuffle(order)
            self._epoch_order = (epoch, order)
        return self._epoch_order[1]

    def _songs(self, bucket: int, index: int) -> list[int]:
        """Songs of a bucket's ``index``-th group, as indices of its entries.

        Groups and rounds fall together again after lcm(songs, group size) visits; each such span is computed whole,
        from the seed and its number alone.
        """
        size, num_songs = self._buckets[bucket].group_size, len(self._buckets[bucket].entries)
        groups_per_span = math.lcm(num_songs, size) // size
        span, place = divmod(index, groups_per_span)
        cached = self._spans.get(bucket)
        if cached is None or cached[0] != span:
            key = f"{self._seed}/{self._buckets[bucket].name}/{span}"
            cached = (span, _span(num_songs, size, random.Random(key)))
            self._spans[bucket] = cached
        return cached[1][place * size : (place + 1) * size]


def _span(num_songs: int, group_size: int, generator: random.Random) -> list[int]:
    """Rounds of all songs, one after the other, until rounds and groups end together."""
    visits: list[int] = []
    while not visits or len(visits) % group_size:
        songs = list(range(num_songs))
        generator.shuffle(songs)
        begun = visits[len(visits) - len(visits) % group_size :]
        # A group that reaches over from the last round takes first the songs that it does not hold yet.
        missing = min(group_size - len(begun), num_songs) if begun else 0
        held = Counter(begun)
        head = sorted(songs, key=held.__getitem__)[:missing] if missing else []
        taken = set(head)
        visits += head + [song for song in songs if song not in taken]
    return visits


def _visits_per_epoch(pools: Sequence[Pool], backend_sampling: str) -> list[Fraction]:
    """Visits of each pool in an epoch. All probabilities 1: songs × (repeats + 1); else the same total, weighted."""
    visits = [Fraction(len(pool.entries) * (pool.repeats + 1)) for pool in pools]
    # Through its decimal form, so that 0.1 is a tenth and the shares stay small fractions.
    weights = [Fraction(repr(float(pool.probability))) for pool in pools]
    if backend_sampling == "auto-weighting":
        weights = [weight * visit for weight, visit in zip(weights, visits, strict=True)]
    return [sum(visits) * weight / sum(weights) for weight in weights]


def _buckets(pool: Pool, visits: Fraction, accumulation: int, *, allow_oversubscription: bool) -> list[_Bucket]:
    labels: dict[str, list[Entry]] = {}
    for entry in pool.entries:
        labels.setdefault(entry.bucket, []).append(entry)
    group_size = pool.batch_size * accumulation
    buckets = []
    for label, entries in labels.items():
        enough = len(entries) * (pool.repeats + 1) >= group_size
        if not enough and (pool.repeats or not allow_oversubscription):
            raise _too_small(pool, label, len(entries), accumulation)
        share = visits * len(entries) / len(pool.entries)
        buckets.append(
            _Bucket(
                backend_id=pool.backend_id,
                label=label,
                entries=tuple(entries),
                batch_size=pool.batch_size,
                group_size=group_size,
                groups_per_epoch=share / group_size,
                name=f"{pool.backend_id}/{label}",
            )
        )
    return buckets


def _too_small(pool: Pool, label: str, num_songs: int, accumulation: int) -> ConfigError:
    group_size = pool.batch_size * accumulation
    needed = -(-group_size // num_songs) - 1
    return ConfigError(
        f"backend {pool.backend_id}: the bucket {label} has {num_songs} songs, fewer than the {group_size} of one step "
        f"(train_batch_size {pool.batch_size} × gradient_accumulation_steps {accumulation})",
        hint=f"Set repeats of this backend to {needed} or more, or lower train_batch_size, or set "
        "allow_dataset_oversubscription true with repeats 0, or set audio.duration_interval auto.",
    )
