"""The stream of batches of a run, and the fixed batches that its held-out loss is measured on."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from engine.batches.collate import Batch, collate
from engine.batches.held_out import held_out_groups
from engine.batches.loader import StepBatches, load_batches
from engine.batches.reader import SampleReader
from engine.batches.sampler import Group, GroupSampler, Pool
from engine.cache.on_demand import UnusableClipError
from engine.contract.backends import Backends, LocalBackend
from engine.contract.config import Config
from engine.train.prepare import Songs


class Stream(Protocol):
    """Groups of micro-batches, one a step, from a given step on."""

    def groups(self, from_step: int) -> Generator[Sequence[Batch], None, None]:
        """Endless; closing the iterator ends its threads."""

    def longest(self, step: int) -> Sequence[Batch]:
        """A step's micro-batches of the longest songs that come from a step on."""

    def epoch_of(self, step: int) -> float:
        """Passes over the data done at a step."""

    def position(self, step: int) -> dict[str, Any]:
        """State by backend id at a step, for the checkpoint."""


@dataclass
class SampleStream:
    """The endless stream of batches of a run, from any step on.

    Attributes:
        condition_multiple: Captions and lyrics of a batch are padded to a multiple of so many tokens.
    """

    sampler: GroupSampler
    reader: SampleReader
    backends: Sequence[LocalBackend]
    num_workers: int
    prefetch: int
    pin: bool
    condition_multiple: int = 1

    def groups(self, from_step: int) -> Generator[Sequence[Batch], None, None]:
        """Micro-batches of each step; closing the generator ends the loader's threads."""
        with contextlib.closing(self._loaded(self.sampler.groups(from_step), num_workers=self.num_workers)) as batches:
            for _, micro_batches in batches:
                yield micro_batches

    def longest(self, step: int) -> Sequence[Batch]:
        """A step's micro-batches of the songs that take most memory, drawn as for ``step``."""
        with contextlib.closing(self._loaded([self.sampler.longest(step)], num_workers=0)) as batches:
            return next(batches)[1]

    def _loaded(self, groups: Iterable[Group], *, num_workers: int) -> Generator[StepBatches, None, None]:
        return load_batches(
            groups,
            self.reader,
            num_workers=num_workers,
            prefetch=self.prefetch,
            pin=self.pin,
            condition_multiple=self.condition_multiple,
        )

    def epoch_of(self, step: int) -> float:
        """Passes over the data done at a step."""
        return self.sampler.epoch_of(step)

    def position(self, step: int) -> dict[str, Any]:
        """The stream at a step, by backend id: a pure function of seed and step, so step and fingerprint are all."""
        state = {"next_step": step, "fingerprint": self.sampler.fingerprint, "epoch": self.sampler.epoch_of(step)}
        return {backend.id: state for backend in self.backends}


def group_sampler(songs: Songs, backends: Backends, config: Config) -> GroupSampler:
    """The order of the training songs.

    Raises:
        DataError: No song is left to train on.
        ConfigError: A bucket is too small and may not be repeated, or from some step on no data set is in use.
    """
    pools = [
        Pool(
            backend_id=backend.id,
            entries=songs.training[backend.id],
            batch_size=backend.train_batch_size or config.train_batch_size,
            repeats=backend.repeats,
            probability=backend.probability,
            window=backend.window,
        )
        for backend in backends.training
    ]
    sampler = GroupSampler(
        pools,
        seed=config.seed,
        accumulation=config.gradient_accumulation_steps,
        backend_sampling=config.data_backend_sampling,
        allow_oversubscription=config.allow_dataset_oversubscription,
    )
    sampler.check_length(config.max_train_steps or sampler.steps_for_epochs(config.num_train_epochs))
    return sampler


def sample_stream(
    songs: Songs, backends: Backends, reader: SampleReader, *, config: Config, device: torch.device
) -> SampleStream:
    """The stream over the training songs.

    Raises:
        DataError, ConfigError: As `group_sampler`.
    """
    return SampleStream(
        sampler=group_sampler(songs, backends, config),
        reader=reader,
        backends=backends.training,
        num_workers=config.dataloader_num_workers,
        prefetch=config.dataloader_prefetch_qlen if config.dataloader_prefetch else 2,
        pin=device.type == "cuda",
    )


def held_out_batches(songs: Songs, reader: SampleReader, *, num_draws: int, batch_size: int) -> list[Batch]:
    """The fixed batches of the held-out loss; a song found unusable only now is named and left out."""
    batches = []
    for group in held_out_groups(songs.held_out, num_draws=num_draws, batch_size=batch_size):
        with contextlib.suppress(UnusableClipError):
            batches += [
                collate([reader(visit) for visit in visits], bucket=group.bucket) for visits in group.micro_batches
            ]
    return batches
