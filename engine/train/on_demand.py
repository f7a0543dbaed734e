"""Putting together what makes cache entries in the middle of a run, where a configuration asks for that."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from engine.batches.bucket import Entry
from engine.batches.recut import Recut
from engine.cache.on_demand import OnDemand
from engine.cache.policy import CachePolicy, cache_policy
from engine.contract.backends import Backends
from engine.train.announce import Run
from engine.train.features import adding_features
from engine.train.low_disk import LowDisk
from engine.train.prepare import Caches, Songs, encoder_loaders


@dataclass(frozen=True)
class Making:
    """What a reader needs beside the caches where entries are made during training.

    Attributes:
        on_demand: Makes them; None where everything was prepared.
        recut: Where a clip is cut at a visit.
        others: Songs of one length by data set and bucket.
    """

    on_demand: OnDemand | None
    recut: Recut
    others: dict[tuple[str, str], list[Entry]]


def making_of(run: Run, backends: Backends, caches: Caches, songs: Songs) -> Making:
    """The encoders of a run that makes entries when they are needed; they are loaded at the first that is missing."""
    policy = cache_policy(run.config, backends)
    modes = {backend.id: backend.audio.truncation_mode for backend in backends.training}
    idle = sorted(name for name in policy.cleared if modes[name] != "random" or name in policy.unwritten)
    if idle:
        run.reporter.warn(
            "no_effect",
            f"{', '.join(idle)}: vae_cache_clear_each_epoch has an effect only with audio.truncation_mode random on "
            "prepared songs; what is prepared is kept",
        )
    return Making(
        on_demand=_on_demand(run, policy, caches) if policy.needs_encoders else None,
        recut=Recut(
            modes,
            per_visit=policy.unwritten,
            per_epoch=policy.cleared,
            seed=run.config.seed,
        ),
        others=_by_length(songs),
    )


def _on_demand(run: Run, policy: CachePolicy, caches: Caches) -> OnDemand:
    # As a preparation would: what it was told to keep off the device stays off it.
    device = torch.device("cpu") if run.config.offload_during_startup else run.device
    load_codec, load_text_encoder = encoder_loaders(run.config, run.family, device)
    add_features = adding_features(run.config, caches, device=device)
    low_disk = LowDisk.of(run.config, warn=run.reporter.warn, should_stop=run.inbox.stop_requested)
    return OnDemand(
        audio=caches.audio if add_features is not None else caches.audio.plain,
        text=caches.text,
        policy=policy,
        load_codec=load_codec,
        load_text_encoder=load_text_encoder,
        on_problem=run.reporter.problem,
        add_features=add_features,
        before_write=lambda folder: low_disk.check_often(folder, doing="preparing songs"),
    )


def _by_length(songs: Songs) -> dict[tuple[str, str], list[Entry]]:
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entries in songs.training.values():
        for entry in entries:
            groups.setdefault((entry.song.backend_id, entry.bucket), []).append(entry)
    return groups
