"""The order of training: an endless stream of optimizer-step groups, a pure function of (seed, step).

Nothing here has state that a resumed run could lose: `GroupSampler.group(step)` computes any step directly, so seeking
is free and gives exactly the stream of an uninterrupted run. Data sets that begin later or end earlier
(``start_step`` …) divide the training into stretches; within one the same data sets are in use throughout, and
`engine.batches.mix` says in which order.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from engine.batches.bucket import Entry
from engine.batches.mix import Bucket, Mix, Pool, make_mix
from engine.contract.errors import ConfigError, DataError

__all__ = ["Group", "GroupSampler", "Pool", "Visit"]


@dataclass(frozen=True, slots=True)
class Visit:
    """One song's turn.

    Attributes:
        entry: The song.
        position: Global sample position: with the run's seed it decides everything random about this visit.
        held_out_draw: Index of the fixed noise and timestep pair of a held-out visit; None in training.
        step: The optimizer step that it belongs to, counted from 0.
        epoch: Passes over the data that were done before that step.
    """

    entry: Entry
    position: int
    held_out_draw: int | None = None
    step: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """What one optimizer step sees: micro-batches from one bucket of one backend, in order."""

    step: int
    backend_id: str
    bucket: str
    micro_batches: tuple[tuple[Visit, ...], ...]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Steps in which the same data sets are in use: from ``first_step`` on, ``epochs`` passes were done before it."""

    first_step: int
    epochs: Fraction
    mix: Mix

    def epochs_at(self, step: int) -> Fraction:
        return self.epochs + Fraction(step - self.first_step) / self.mix.groups_per_epoch


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
            DataError: No song, no pool with a positive probability, or none in use at the start.
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
        self._backend_sampling = backend_sampling
        self._allow_oversubscription = allow_oversubscription
        # From here on no data set is in use; None = always one is.
        self.ends_at: int | None = None
        self._stretches = self._lay_out(chosen)
        self._first_steps = [stretch.first_step for stretch in self._stretches]
        # Positions of a step start at a multiple of the largest group, so they are unique for any mix of batch sizes.
        self._stride = max(bucket.group_size for stretch in self._stretches for bucket in stretch.mix.buckets)

    def _lay_out(self, pools: Sequence[Pool]) -> list[_Stretch]:
        """The stretches of the training, from each step at which a data set comes or goes."""
        stretches: list[_Stretch] = []
        step, epochs = 0, Fraction()
        while True:
            active = [pool for pool in pools if pool.window.holds(step, epochs)]
            if not active:
                if not stretches:
                    raise DataError(
                        "no data set with songs is in use at the start",
                        hint="Every song of the data sets that are in use then was left out: see the problems above.",
                    )
                self.ends_at = step
                return stretches
            # The first stretch has the order that it has without any others.
            seed = str(self._seed) if not stretches else f"{self._seed}/from {step}"
            mix = make_mix(
                active,
                seed=seed,
                accumulation=self._accumulation,
                backend_sampling=self._backend_sampling,
                allow_oversubscription=self._allow_oversubscription,
            )
            stretches.append(_Stretch(step, epochs, mix))
            changes = [
                change
                for pool in pools
                for change in pool.window.changes(step, epochs, steps_per_epoch=mix.groups_per_epoch)
            ]
            if not changes:
                return stretches
            epochs = stretches[-1].epochs_at(min(changes))
            step = min(changes)

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in which each song is visited as often as it counts, on average; may be below 1.

        As it is at the start, where data sets come and go.
        """
        return float(self._stretches[0].mix.groups_per_epoch)

    def epoch_of(self, step: int) -> float:
        """Epochs done after ``step`` optimizer steps."""
        return float(self._stretch_at(step).epochs_at(step))

    def steps_for_epochs(self, num_epochs: float) -> int:
        """Optimizer steps of a run of so many epochs, at least 1."""
        stretch = [one for one in self._stretches if one.epochs <= num_epochs][-1]
        rest = float((Fraction(num_epochs) - stretch.epochs) * stretch.mix.groups_per_epoch)
        return max(1, stretch.first_step + math.ceil(rest - 1e-9))

    def check_length(self, num_steps: int) -> None:
        """Make sure that there is a data set to train on in each of so many steps.

        Raises:
            ConfigError: There is none from some step on.
        """
        if self.ends_at is not None and self.ends_at < num_steps:
            raise ConfigError(
                f"after step {self.ends_at:,} of {num_steps:,} no data set is in use any more",
                hint=f"Set max_train_steps to {self.ends_at}, or take end_step or end_epoch from one of the data sets.",
            )

    @property
    def repeating(self) -> list[tuple[str, int, int]]:
        """Buckets with fewer songs than one step takes: name, songs, songs of a step."""
        buckets = {bucket.name: bucket for stretch in self._stretches for bucket in stretch.mix.buckets}
        return [
            (bucket.name, len(bucket.entries), bucket.group_size)
            for bucket in buckets.values()
            if len(bucket.entries) < bucket.group_size
        ]

    @property
    def fingerprint(self) -> str:
        """Changes with songs, buckets, batch sizes, weights and windows: another one means another stream."""
        text = "\n".join(
            bucket.description() if not stretch.first_step else f"{stretch.first_step} {bucket.description()}"
            for stretch in self._stretches
            for bucket in stretch.mix.buckets
        )
        return hashlib.sha256(f"{self._seed} {self._accumulation}\n{text}".encode()).hexdigest()[:16]

    def groups(self, first_step: int = 0) -> Iterator[Group]:
        """The endless stream from optimizer step ``first_step`` (counted from 0) on.

        A resumed run starts it at the number of steps it has done. (A position kept in here would run ahead of the
        training by whatever the loader has prefetched.) It goes on beyond `ends_at` with what was in use last: the
        loader reads ahead, and what it reads there is never trained on.
        """
        return map(self.group, itertools.count(first_step))

    def group(self, step: int) -> Group:
        """The group of one step, whatever was asked before."""
        stretch = self._stretch_at(step)
        bucket, entries = stretch.mix.pick(step - stretch.first_step)
        epoch = math.floor(stretch.epochs_at(step))
        visits = [
            Visit(entry=bucket.entries[entry], position=step * self._stride + place, step=step, epoch=epoch)
            for place, entry in enumerate(entries)
        ]
        return self._group(step, bucket, visits)

    @property
    def num_lengths(self) -> int:
        """Different lengths of pieces, in frames, that a batch is padded to at most."""
        buckets = [bucket for stretch in self._stretches for bucket in stretch.mix.buckets]
        return len({max(clip.num_frames for entry in bucket.entries for clip in entry.clips) for bucket in buckets})

    def longest(self, step: int) -> Group:
        """A step's worth of the songs that take most memory: of all buckets, that with most sound in a micro-batch."""
        buckets = [bucket for stretch in self._stretches for bucket in stretch.mix.buckets]
        bucket = max(buckets, key=lambda bucket: bucket.batch_size * bucket.entries[0].clips[0].num_frames)
        visits = [
            Visit(entry=bucket.entries[place % len(bucket.entries)], position=step * self._stride + place, step=step)
            for place in range(bucket.group_size)
        ]
        return self._group(step, bucket, visits)

    def _group(self, step: int, bucket: Bucket, visits: Sequence[Visit]) -> Group:
        size = bucket.batch_size
        micro_batches = tuple(tuple(visits[begin : begin + size]) for begin in range(0, len(visits), size))
        return Group(step=step, backend_id=bucket.backend_id, bucket=bucket.label, micro_batches=micro_batches)

    def _stretch_at(self, step: int) -> _Stretch:
        return self._stretches[bisect.bisect_right(self._first_steps, step) - 1]
