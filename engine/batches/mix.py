"""The order of songs over a fixed set of data sets: which bucket is next, and which of its songs.

Two levels, both exact in the long run. *Which bucket:* in epoch e a bucket gets ``floor((e + 1)·q) - floor(e·q)``
groups, q = its visits per epoch ÷ group size, in shuffled order: what fills no group is carried over, never dropped.
*Which songs:* each bucket walks through endless shuffled rounds of its songs, group after group across the rounds'
borders, and never takes a song twice in a group while another is free. A song that stands for several rows of its data
set (`Song.num_copies`) is in a round so many times, spread over it.
"""

from __future__ import annotations

import functools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from engine.batches.bucket import Entry
from engine.contract.backends import Window
from engine.contract.errors import ConfigError

# Turns of a song in a round, on average: where the copies of songs have no common divisor.
_MAX_TURNS = 32


@dataclass(frozen=True, slots=True)
class Pool:
    """The songs of one backend and how often they are wanted.

    Attributes:
        backend_id: For messages and for the weights between backends.
        entries: One per song.
        batch_size: Micro-batch size: the backend's own, else the run's.
        repeats: Extra visits of each song per epoch.
        probability: Sampling weight; a pool of weight 0 or below is never chosen.
        window: The steps and epochs in which it is used.
    """

    backend_id: str
    entries: tuple[Entry, ...]
    batch_size: int
    repeats: int = 0
    probability: float = 1.0
    window: Window = field(default_factory=Window)

    @property
    def num_visits(self) -> int:
        """Visits that an epoch has of it."""
        return sum(entry.song.num_copies for entry in self.entries) * (self.repeats + 1)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Songs of one length and one backend.

    Attributes:
        slots: One round: indices of `entries`, each as often as its song counts beside the others.
    """

    backend_id: str
    label: str
    entries: tuple[Entry, ...]
    batch_size: int
    group_size: int
    groups_per_epoch: Fraction
    name: str
    slots: tuple[int, ...]

    def description(self) -> str:
        """What the order of songs depends on, in a line."""
        keys = [entry.key for entry in self.entries]
        copies = "" if len(self.slots) == len(keys) else f" {self.slots}"
        return f"{self.name} {self.batch_size} {self.groups_per_epoch} {keys}{copies}"


@dataclass
class Mix:
    """The order over some pools that are all in use; a pure function of its seed and the step.

    Attributes:
        buckets: Of all pools.
        seed: Names the order.
    """

    buckets: Sequence[Bucket]
    seed: str
    _epoch_order: tuple[int, list[int]] | None = None
    _spans: dict[int, tuple[int, list[int]]] = field(default_factory=dict)

    @functools.cached_property
    def groups_per_epoch(self) -> Fraction:
        """Steps in which each song is visited as often as it counts, on average; may be below 1."""
        return sum((bucket.groups_per_epoch for bucket in self.buckets), start=Fraction())

    def pick(self, step: int) -> tuple[Bucket, list[int]]:
        """The bucket of a step and the indices of its entries, whatever was asked before."""
        epoch = self._epoch_at(step)
        order = self._order(epoch)
        place = step - self._groups_before(epoch)
        chosen = order[place]
        index = self._done(chosen, epoch) + order[:place].count(chosen)
        return self.buckets[chosen], self._songs(chosen, index)

    def _done(self, bucket: int, epoch: int) -> int:
        """Groups of a bucket in all epochs before ``epoch``."""
        return math.floor(self.buckets[bucket].groups_per_epoch * epoch)

    def _groups_before(self, epoch: int) -> int:
        return sum(self._done(bucket, epoch) for bucket in range(len(self.buckets)))

    def _epoch_at(self, step: int) -> int:
        """The epoch that holds a step: the last one that begins at or before it and is not empty."""
        # Each bucket lags its average by less than one group, so the epoch is at most a few beyond the average's.
        low = max(0, math.floor(step / self.groups_per_epoch) - 1)
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
                for bucket in range(len(self.buckets))
                for _ in range(self._done(bucket, epoch + 1) - self._done(bucket, epoch))
            ]
            random.Random(f"{self.seed}/order/{epoch}").shuffle(order)
            self._epoch_order = (epoch, order)
        return self._epoch_order[1]

    def _songs(self, bucket: int, index: int) -> list[int]:
        """Songs of a bucket's ``index``-th group, as indices of its entries.

        Groups and rounds fall together again after lcm(visits of a round, group size) visits; each such span is
        computed whole, from the seed and its number alone.
        """
        size, slots = self.buckets[bucket].group_size, self.buckets[bucket].slots
        groups_per_span = math.lcm(len(slots), size) // size
        span, place = divmod(index, groups_per_span)
        cached = self._spans.get(bucket)
        if cached is None or cached[0] != span:
            key = f"{self.seed}/{self.buckets[bucket].name}/{span}"
            is_even = len(slots) == len(self.buckets[bucket].entries)
            make = _even_span if is_even else _uneven_span
            cached = (span, make(slots, size, random.Random(key)))
            self._spans[bucket] = cached
        return cached[1][place * size : (place + 1) * size]


def _even_span(slots: Sequence[int], group_size: int, generator: random.Random) -> list[int]:
    """Rounds of all songs, one after the other, until rounds and groups end together."""
    visits: list[int] = []
    while not visits or len(visits) % group_size:
        songs = list(slots)
        generator.shuffle(songs)
        begun = visits[len(visits) - len(visits) % group_size :]
        # A group that reaches over from the last round takes first the songs that it does not hold yet.
        missing = min(group_size - len(begun), len(songs)) if begun else 0
        held = Counter(begun)
        head = sorted(songs, key=held.__getitem__)[:missing] if missing else []
        taken = set(head)
        visits += head + [song for song in songs if song not in taken]
    return visits


def _uneven_span(slots: Sequence[int], group_size: int, generator: random.Random) -> list[int]:
    """The same where some songs stand in a round several times: they lie spread over it, and apart within a group."""
    visits: list[int] = []
    copies = Counter(slots)
    # Only songs with many copies can run out of groups to be in, so only these are looked after.
    frequent = [song for song, _ in copies.most_common(2 * group_size)]
    while not visits or len(visits) % group_size:
        begin = {song: generator.random() for song in copies}
        places = [((turn + begin[song]) / count, song) for song, count in copies.items() for turn in range(count)]
        # The next one is the last of the list: taking from its end costs nothing.
        waiting = [song for _, song in sorted(places, reverse=True)]
        left = Counter(waiting)
        while waiting:
            held = visits[len(visits) - len(visits) % group_size :]
            song = waiting.pop(_next_place(waiting, left, held, frequent, group_size))
            left[song] -= 1
            visits.append(song)
    return visits


def _next_place(
    waiting: Sequence[int], left: Counter[int], held: Sequence[int], frequent: Sequence[int], group_size: int
) -> int:
    """Where the next song waits that the group does not hold yet; one that every group to come needs goes first."""
    groups_left = -(-(len(waiting) + len(held)) // group_size)
    needed = [song for song in frequent if left[song] >= groups_left and song not in held]
    backwards = range(len(waiting) - 1, -1, -1)
    wanted = (place for place in backwards if (waiting[place] in needed if needed else waiting[place] not in held))
    return next(wanted, len(waiting) - 1)


def make_mix(
    pools: Sequence[Pool], *, seed: str, accumulation: int, backend_sampling: str, allow_oversubscription: bool
) -> Mix:
    """Lay out the buckets of some pools.

    Raises:
        ConfigError: A bucket is smaller than a group and may not be repeated.
    """
    shares = zip(pools, _visits_per_epoch(pools, backend_sampling), strict=True)
    buckets = [
        bucket
        for pool, share in shares
        for bucket in _buckets(pool, share, accumulation, allow_oversubscription=allow_oversubscription)
    ]
    return Mix(buckets, seed)


def _visits_per_epoch(pools: Sequence[Pool], backend_sampling: str) -> list[Fraction]:
    """Visits of each pool in an epoch. All probabilities 1: songs × (repeats + 1); else the same total, weighted."""
    visits = [Fraction(pool.num_visits) for pool in pools]
    # Through its decimal form, so that 0.1 is a tenth and the shares stay small fractions.
    weights = [Fraction(repr(float(pool.probability))) for pool in pools]
    if backend_sampling == "auto-weighting":
        weights = [weight * visit for weight, visit in zip(weights, visits, strict=True)]
    return [sum(visits) * weight / sum(weights) for weight in weights]


def _buckets(pool: Pool, visits: Fraction, accumulation: int, *, allow_oversubscription: bool) -> list[Bucket]:
    labels: dict[str, list[Entry]] = {}
    for entry in pool.entries:
        labels.setdefault(entry.bucket, []).append(entry)
    group_size = pool.batch_size * accumulation
    buckets = []
    for label, entries in labels.items():
        copies = [entry.song.num_copies for entry in entries]
        enough = sum(copies) * (pool.repeats + 1) >= group_size
        if not enough and (pool.repeats or not allow_oversubscription):
            raise _too_small(pool, label, len(entries), accumulation)
        share = visits * sum(copies) * (pool.repeats + 1) / pool.num_visits
        turns = _turns(copies)
        buckets.append(
            Bucket(
                backend_id=pool.backend_id,
                label=label,
                entries=tuple(entries),
                batch_size=pool.batch_size,
                group_size=group_size,
                groups_per_epoch=share / group_size,
                name=f"{pool.backend_id}/{label}",
                slots=tuple(index for index, count in enumerate(turns) for _ in range(count)),
            )
        )
    return buckets


def _turns(copies: Sequence[int]) -> list[int]:
    """How often each song is in a round: as its copies are to each other, so 2000 each are one each.

    Rounds stay short: what differs by less than a few per cent is taken for equal where there would be too many turns.
    """
    common = math.gcd(*copies)
    turns = [count // common for count in copies]
    most = _MAX_TURNS * len(copies)
    if sum(turns) <= most:
        return turns
    return [max(1, round(count * most / sum(turns))) for count in turns]


def _too_small(pool: Pool, label: str, num_songs: int, accumulation: int) -> ConfigError:
    group_size = pool.batch_size * accumulation
    needed = -(-group_size // num_songs) - 1
    return ConfigError(
        f"backend {pool.backend_id}: the bucket {label} has {num_songs} songs, fewer than the {group_size} of one step "
        f"(train_batch_size {pool.batch_size} × gradient_accumulation_steps {accumulation})",
        hint=f"Set repeats of this backend to {needed} or more, or lower train_batch_size, or set "
        "allow_dataset_oversubscription true with repeats 0, or set audio.duration_interval auto.",
    )
