"""What a run does about musical features: which models it takes, what it fetches, what it says when there are none.

Two published models hear each song once; the features they give are foretold by projectors inside the transformer,
which pulls what it learns towards musical sense (spec ace-step-v1.md 4, config-formats.md 1.5). Both models are for
non-commercial use only, so they are fetched only after somebody agreed (`ssl_accept_non_commercial`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.batches.bucket import Clip
from engine.cache.ssl_build import FeaturePass
from engine.cache.ssl_features import stored_name
from engine.cache.store import AudioEntry
from engine.contract.byte_size import size_words
from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.feature_models import (
    CONFIG_FILE,
    CONSENT_KEY,
    FEATURE_MODELS_BY_NAME,
    FETCH_COMMAND,
    LICENCE_SENTENCE,
    MERT,
    MHUBERT,
    WEIGHTS,
    FeatureModel,
    labels,
    wants_features,
)
from engine.contract.files import read_json, write_json
from engine.contract.paths import cache_root
from engine.fetch.task import Order, download
from engine.hardware.feature_models import feature_model_status
from engine.model.ssl_checkpoint import feature_fingerprint, read_feature_config
from engine.model.ssl_encoder import FeatureEncoders, FeatureSource, load_feature_encoders

if TYPE_CHECKING:
    from engine.cache.policy import CachePolicy
    from engine.train.announce import Run
    from engine.train.prepare import Caches, Reporter, Songs

_VERSION = 1
"""Raise when the same models would give other features."""

_RECORD = "features.json"


@dataclass(frozen=True)
class FeaturePlan:
    """What a run does about musical features.

    Attributes:
        weight: Weight of their loss; 0 = they are not wanted.
        names: Of the features, as they are stored.
        sources: Where the models stand; empty = none can be computed.
        ssl_id: Identifies what features are made with; empty = nothing is known of it.
        reason: Why none can be computed; empty when they can, or are not wanted.
    """

    weight: float = 0.0
    names: tuple[str, ...] = ()
    sources: tuple[FeatureSource, ...] = ()
    ssl_id: str = ""
    reason: str = ""


NO_FEATURES = FeaturePlan()
"""Musical features are not wanted."""


class _CannotHaveError(Exception):
    """Why there are no features, as the end of a sentence."""


def plan_features(run: Run) -> FeaturePlan:
    """Find the models, or fetch them where somebody agreed; says whose licence then counts.

    Raises:
        ModelError: ``ssl_models`` is ``required`` and they cannot be had, or a folder that was named is no such model.
        StopRequested: Asked to stop while they were fetched.
        DiskError: The disk is too small for them.
    """
    config, widths = run.config, run.family.ssl_widths
    names = tuple(map(stored_name, widths))
    if not wants_features(config.to_dict()) or not names:
        return NO_FEATURES
    weight = float(config.ace_step_ssl_loss_weight)
    try:
        sources = _sources(run, dict(zip(names, widths.values(), strict=True)))
        ssl_id = _identify(sources)
    except _CannotHaveError as error:
        if config.ssl_models == "required":
            raise ModelError(f"ssl_models is required, but {error}", hint=_HOW_TO_HAVE) from error
        return FeaturePlan(weight, names, ssl_id=_remembered(config), reason=str(error))
    _remember(config, ssl_id)
    run.reporter.warn("non_commercial", f"this run hears musical features: {LICENCE_SENTENCE}")
    return FeaturePlan(weight, names, sources, ssl_id)


_HOW_TO_HAVE = (
    f"Fetch them with: {FETCH_COMMAND}   or name their folders with {MERT.path_key} and {MHUBERT.path_key}. "
    f"{LICENCE_SENTENCE}."
)


def _sources(run: Run, widths: Mapping[str, int]) -> tuple[FeatureSource, ...]:
    """Where the models of these names stand, their configurations checked; fetched first where that was agreed to.

    Raises:
        _CannotHaveError: One is not here and may not or cannot be fetched, or does not fit.
        ModelError: A folder that was named is no such model.
    """
    unknown = [name for name in widths if name not in FEATURE_MODELS_BY_NAME]
    if unknown:
        raise _CannotHaveError(f"the model foretells features that nothing here gives: {', '.join(unknown)}")
    folders = {name: _folder(run, FEATURE_MODELS_BY_NAME[name]) for name in widths}
    absent = [FEATURE_MODELS_BY_NAME[name] for name, folder in folders.items() if folder is None]
    if absent:
        _fetch(run, absent)
        folders = {name: _folder(run, FEATURE_MODELS_BY_NAME[name]) for name in widths}
    sources = []
    for name, folder in folders.items():
        model = FEATURE_MODELS_BY_NAME[name]
        if folder is None:
            raise _CannotHaveError(f"{model.label} was fetched and is not whole")
        try:
            read_feature_config(folder, model, width=widths[name])
        except ModelError as error:
            if run.config[model.path_key]:
                raise
            raise _CannotHaveError(error.message) from error
        sources.append(FeatureSource(model, folder, widths[name]))
    return tuple(sources)


def _folder(run: Run, model: FeatureModel) -> Path | None:
    """Where a model stands; None when it is not in the hub client's cache.

    Raises:
        ModelError: The folder that its setting names does not hold it.
    """
    path = run.config[model.path_key]
    status = feature_model_status(model, path or None)
    if status.is_whole:
        return status.path
    if path:
        problem = status.problem or status.parts[0].problem or "it holds neither config.json nor weights"
        raise ModelError(
            f"{model.path_key} = {path}: this is no whole {model.label}: {problem}",
            hint=f"It holds {CONFIG_FILE} and one of {', '.join(WEIGHTS)}, as {model.hub_id} does.",
        )
    return None


def _fetch(run: Run, absent: Sequence[FeatureModel]) -> None:
    """Fetch models from the hub.

    Raises:
        _CannotHaveError: Nobody agreed to their licences, or the hub cannot be reached.
        DiskError, StopRequested: As `download`.
    """
    names = labels([model.name for model in absent])
    if not run.config[CONSENT_KEY]:
        verb = "is" if len(absent) == 1 else "are"
        raise _CannotHaveError(
            f"{names} {verb} not on this computer, and nobody agreed to fetch what is not free to use"
        )
    size = size_words(sum(model.download_bytes for model in absent))
    run.reporter.warn("fetching_features", f"{names} ({size}) are fetched now, as {CONSENT_KEY} says")
    for model in absent:
        try:
            download(Order(model.hub_id, accept_non_commercial=True), run.emitter, run.inbox)
        except ModelError as error:
            raise _CannotHaveError(error.message) from error


def _identify(sources: Sequence[FeatureSource]) -> str:
    """A name for everything that features depend on beside the song."""
    try:
        parts = [feature_fingerprint(source.folder) for source in sources]
    except ModelError as error:
        raise _CannotHaveError(error.message) from error
    return hashlib.sha256(" ".join([str(_VERSION), *parts]).encode()).hexdigest()


def _remember(config: Config, ssl_id: str) -> None:
    """Keep what the features of this cache are made with: they can be used after the models are gone."""
    path = cache_root(config) / _RECORD
    if _remembered(config) != ssl_id:
        write_json(path, {"ssl_id": ssl_id}, action="writing to the cache")


def _remembered(config: Config) -> str:
    try:
        return str(read_json(cache_root(config) / _RECORD)["ssl_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def load_encoders(config: Config, plan: FeaturePlan, *, device: torch.device) -> FeatureEncoders:
    """The models of a plan, on a device.

    Raises:
        ModelError: One is damaged.
        DiskError: The safetensors form of a ``.bin`` cannot be written.
    """
    return load_feature_encoders(plan.sources, converted=cache_root(config) / "models", device=device)


def feature_pass(config: Config, caches: Caches, *, device: torch.device, reporter: Reporter) -> FeaturePass | None:
    """The pass that makes what is missing; None where no features can be made."""
    plan = caches.features
    if not plan.sources:
        return None
    return FeaturePass(
        plain=caches.audio,
        featured=caches.featured,
        loaders={
            source.model.name: partial(load_encoders, config, replace(plan, sources=(source,)), device=device)
            for source in plan.sources
        },
        on_problem=reporter.problem,
        on_lost=None if config.ssl_models == "required" else lambda reason: reporter.warn("no_ssl_models", reason),
    )


def seconds_without_features(caches: Caches, clips: Sequence[Clip], policy: CachePolicy) -> float:
    """Seconds of the clips whose features a run will still write."""
    if not caches.features.sources:
        return 0.0
    wanted = [clip for clip in clips if clip.song.backend_id not in policy.unwritten]
    return sum(clip.length_s for clip in wanted if not caches.featured.is_whole(clip))


def adding_features(
    config: Config, caches: Caches, *, device: torch.device, keeps_models: bool = True
) -> Callable[[AudioEntry, Tensor], AudioEntry] | None:
    """What gives an entry made in the middle of training its features; None where the caches read have none.

    The models are loaded at the first such entry, and stay in memory where ``keeps_models`` says so.
    """
    plan = caches.features
    if not plan.sources or not caches.audio.ssl_names:
        return None
    kept: list[FeatureEncoders] = []

    def add(entry: AudioEntry, audio: Tensor) -> AudioEntry:
        encoders = kept[0] if kept else load_encoders(config, plan, device=device)
        if keeps_models and not kept:
            kept.append(encoders)
        features = encoders.encode(audio)
        is_finite = all(bool(torch.isfinite(tensor).all()) for tensor in features.values())
        return replace(entry, ssl=features if is_finite else {})

    return add


def with_ssl_features(run: Run, caches: Caches, songs: Songs, policy: CachePolicy) -> tuple[Caches, float]:
    """The caches to read from and the SSL weight to train with.

    The weight counts for the songs whose cached entry holds features; what is lost is said once.

    Raises:
        ModelError: ``ssl_models`` is ``required``, and no song has features.
    """
    plan = caches.features
    if plan.weight == 0:
        return caches, 0.0
    clips = [clip for entry in songs.entries for clip in entry.clips]
    # What is made when it is needed gets its features then.
    later = policy.ondemand if plan.sources else frozenset()
    num_featured = sum(clip.song.backend_id in later or caches.featured.is_whole(clip) for clip in clips)
    if num_featured == len(clips):
        return caches.with_ssl(), plan.weight
    lost = (
        f"no {labels(plan.names)} features" if not num_featured else f"features of {num_featured} of {len(clips)} clips"
    )
    if not num_featured and run.config.ssl_models == "required":
        raise ModelError(
            f"ssl_models is required, but the cache holds {lost}", hint="Each song's reason is named above."
        )
    how = f"; {plan.reason}. Get them with: {FETCH_COMMAND}" if plan.reason else ""
    run.reporter.warn(
        "no_ssl_features",
        f"{'the other clips train' if num_featured else 'trains'} without the SSL loss (ace_step_ssl_loss_weight): the "
        f"cache holds {lost}; the style may be learned a little less closely{how}",
    )
    return (caches.with_ssl(), plan.weight) if num_featured else (caches, 0.0)
