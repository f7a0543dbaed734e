"""Random cuts that really vary (spec config-formats.md 5.5): per visit where nothing is kept, per epoch where entries
are made anew in each (``vae_cache_clear_each_epoch``). Elsewhere a random cut is frozen into its cache entry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch

from engine.batches.bucket import Clip, song_key
from engine.batches.sampler import Visit
from engine.dataset.report import WHOLE_SONG_SHARE
from engine.model.card import SAMPLE_RATE
from engine.objective.randomness import sample_generator
from engine.planning.cuts import stable_fraction


class Recut:
    """Moves the clip of a visit to where it is cut this time.

    Args:
        modes: ``truncation_mode`` of each data set, by its id.
        per_visit: Data sets of which nothing is written.
        per_epoch: Data sets whose entries are made anew in each epoch.
        seed: The run's seed.
    """

    def __init__(
        self, modes: Mapping[str, str], *, per_visit: Collection[str], per_epoch: Collection[str], seed: int
    ) -> None:
        random = {identity for identity, mode in modes.items() if mode == "random"}
        self._per_visit = random & set(per_visit)
        self._per_epoch = random & set(per_epoch) - self._per_visit
        self._seed = seed

    def __call__(self, visit: Visit, clip: Clip) -> Clip:
        """The clip as this visit cuts it; the same for the same seed and position (or epoch)."""
        spare = clip.song.num_samples * SAMPLE_RATE // clip.song.sample_rate - clip.num_samples
        if clip.num_pieces > 1 or spare <= 0 or visit.held_out_draw is not None:
            return clip
        if clip.song.backend_id in self._per_visit:
            generator = sample_generator(self._seed, visit.position, "cut")
            return self._moved(clip, int(torch.randint(spare + 1, (), generator=generator)), spare)
        # The first epoch keeps the frozen cut: its entry was prepared, and other runs share it.
        if clip.song.backend_id in self._per_epoch and visit.epoch > 0:
            return self.in_epoch(clip, visit.epoch)
        return clip

    def outdated(self, visit: Visit, clip: Clip) -> Clip | None:
        """The cut whose entry no visit needs any more, once this one is reached: that of two epochs ago.

        (That of the last epoch may still be wanted by a visit that another thread is reading.)
        """
        if clip.song.backend_id not in self._per_epoch or visit.held_out_draw is not None or visit.epoch < 3:
            return None
        return self.in_epoch(clip, visit.epoch - 2)

    def in_epoch(self, clip: Clip, epoch: int) -> Clip:
        """The clip as it is cut in an epoch after the first."""
        spare = clip.song.num_samples * SAMPLE_RATE // clip.song.sample_rate - clip.num_samples
        if clip.num_pieces > 1 or spare <= 0:
            return clip
        return self._moved(
            clip, int(stable_fraction(f"{self._seed}/{epoch}/{song_key(clip.song)}") * (spare + 1)), spare
        )

    @staticmethod
    def _moved(clip: Clip, start: int, spare: int) -> Clip:
        is_whole = start == 0 and clip.num_samples >= WHOLE_SONG_SHARE * (clip.num_samples + spare)
        return replace(clip, start_s=start / SAMPLE_RATE, whole=is_whole)
