"""From a configuration to samples: scan, buckets, held-out songs, cache; `stream` makes batches of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from engine.batches.bucket import Entry, plan_clips
from engine.batches.held_out import split_held_out
from engine.batches.reader import Draws, SampleReader
from engine.cache.audio_latents import AudioLatents
from engine.cache.build import CacheIndex, build_cache
from engine.cache.policy import CachePolicy
from engine.cache.repair import Repair
from engine.cache.store import CacheStore
from engine.cache.text_states import TextStates
from engine.contract.backends import Backends, LocalBackend
from engine.contract.config import Config
from engine.contract.errors import StopRequested
from engine.contract.events import CacheProgress, FileProblem, RunWarning, ScanProgress
from engine.contract.paths import cache_root, demo_folder, expanded
from engine.dataset.report import Problem, ScanReport, Song
from engine.dataset.scan import scan_backends
from engine.demo.songs import write_demo_songs
from engine.fetch.dataset import fetch_dataset
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.family import ModelFamily
from engine.model.quantise import text_quantisation_of
from engine.planning.rollout_plan import rollout_plan
from engine.telemetry.emitter import Emitter
from engine.train.device import DTYPES, release_memory, text_format
from engine.train.features import NO_FEATURES, FeaturePlan, adding_features, feature_pass
from engine.train.inbox import Inbox
from engine.train.low_disk import LowDisk

if TYPE_CHECKING:
    from engine.model.autoencoder import MusicCodec
    from engine.model.text_encoder import TextEncoder
    from engine.train.on_demand import Making

DEMO_SONGS = "demo:songs"
EMPTY_CAPTION = ""

WRITE_BEHIND = 4
"""Batches that a CUDA card may be ahead of the disk. A processor has nothing to do meanwhile but the same work."""


@dataclass(frozen=True)
class Songs:
    """What a scan gave, in buckets.

    Attributes:
        report: Of all backends.
        training: Entries by backend id.
        held_out: Entries never trained on.
    """

    report: ScanReport
    training: dict[str, tuple[Entry, ...]]
    held_out: tuple[Entry, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them: what is cached."""
        return (*(entry for entries in self.training.values() for entry in entries), *self.held_out)

    def keeping(self, index: CacheIndex) -> Songs:
        """The same without what could not be cached."""
        kept = {entry.key: entry for entry in index.entries}

        def filtered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
            return tuple(kept[entry.key] for entry in entries if entry.key in kept)

        training = {backend_id: filtered(entries) for backend_id, entries in self.training.items()}
        return Songs(report=self.report, training=training, held_out=filtered(self.held_out))


@dataclass
class Reporter:
    """Turns what scan, buckets, cache and loader say into events, each file's problem once."""

    emitter: Emitter
    _told: set[tuple[str, str]] = field(default_factory=set)

    def problem(self, problem: Problem) -> None:
        """One file's problem."""
        if (problem.file, problem.code) not in self._told:
            self.scanned(problem)

    def scanned(self, problem: Problem) -> None:
        """One file's problem as the scan finds it; each is said: another folder may hold a file of the same name."""
        self._told.add((problem.file, problem.code))
        self.emitter.emit(
            FileProblem(severity=problem.severity, file=problem.file, code=problem.code, reason=problem.reason)
        )

    def warn(self, code: str, message: str) -> None:
        """Something that concerns no single file."""
        self.emitter.emit(RunWarning(code=code, message=message))


def scan_songs(config: Config, backends: Backends, *, reporter: Reporter, inbox: Inbox) -> Songs:
    """Scan every backend, set songs aside for the held-out loss, cut the rest into buckets.

    Raises:
        ConfigError, DataError: As `scan_backends`.
        StopRequested: Asked to stop.
    """

    def progress(done: int, total: int) -> None:
        reporter.emitter.emit(ScanProgress(done=done, total=total))
        if inbox.stop_requested():
            raise StopRequested("stopped while scanning; nothing had to be saved")

    report = scan_backends(
        [
            (backend, data_folder(backend, config, emitter=reporter.emitter, inbox=inbox))
            for backend in backends.training
        ],
        exclude_files=config.exclude_files or (),
        instrumental_files=config.instrumental_files or (),
        on_progress=progress,
        on_problem=reporter.scanned,
    )
    share = held_out_share(config, len(report.songs))
    training_songs, held_out_songs = split_held_out(report.songs, share, config.seed)
    training: dict[str, tuple[Entry, ...]] = {}
    held_out: list[Entry] = []
    for backend in backends.training:
        batch_size = (backend.train_batch_size or config.train_batch_size) * config.gradient_accumulation_steps
        plan = plan_clips(_of(backend, training_songs), backend.audio, batch_size)
        # Held-out songs never meet the others in a batch, so each keeps the length that suits it best.
        aside = plan_clips(_of(backend, held_out_songs), backend.audio, 1)
        for problem in (*plan.problems, *aside.problems):
            reporter.problem(problem)
        for notice in plan.notices:
            reporter.emitter.emit(notice)
        training[backend.id] = plan.entries
        held_out.extend(aside.entries)
    return Songs(report=report, training=training, held_out=tuple(held_out))


def _of(backend: LocalBackend, songs: Sequence[Song]) -> list[Song]:
    return [song for song in songs if song.backend_id == backend.id]


def data_folder(backend: LocalBackend, config: Config, *, emitter: Emitter, inbox: Inbox) -> Path:
    """The backend's folder; ``demo:songs`` is written once under the cache, a hub data set is downloaded once.

    Raises:
        DataError, DiskError, StopRequested: As `fetch_dataset`.
    """
    if backend.instance_data_dir == DEMO_SONGS:
        return write_demo_songs(demo_folder(config) / "songs")
    if backend.rows is not None:
        return backend.rows.folder or fetch_dataset(
            backend.rows.name, backend.rows.revision, emitter=emitter, inbox=inbox
        )
    return expanded(backend.instance_data_dir)


def held_out_share(config: Config, num_songs: int) -> float:
    """``validation_split``; when it is not set, 5 % from 20 songs on, else nothing (config-formats.md 1.13)."""
    if config.validation_split is not None:
        return float(config.validation_split)
    return 0.05 if num_songs >= 20 else 0.0


@dataclass(frozen=True)
class Caches:
    """The two caches of a run."""

    audio: AudioLatents
    text: TextStates
    featured: AudioLatents
    features: FeaturePlan = NO_FEATURES

    def with_ssl(self) -> Caches:
        """The same, reading the audio entries with self-supervised features wherever there are such."""
        return replace(self, audio=self.featured)


def open_caches(config: Config, backends: Backends, family: ModelFamily, features: FeaturePlan = NO_FEATURES) -> Caches:
    """The caches of a configuration: shared by all runs, keyed by content and encoder."""
    root = cache_root(config)
    own = {backend.id: Path(backend.cache_dir_vae) for backend in backends.training if backend.cache_dir_vae}
    store = CacheStore(
        audio_folder=Path(config.cache_dir_vae) if config.cache_dir_vae else root / "audio",
        text_folder=backends.text_cache_dir or root / "text" / "ace_step",
        audio_folders=own,
    )
    follows = config.vae_cache_scan_behaviour == "sync"
    audio_id = family.audio_encoder_id(dtype=config.vae_dtype)
    text_id = family.text_encoder_id(dtype=text_format(config), max_length=config.tokenizer_max_length)
    audio = AudioLatents(store, encoder_id=audio_id, follows_entries=follows)
    return Caches(
        audio=audio,
        text=TextStates(store, encoder_id=text_id),
        featured=AudioLatents(
            store,
            encoder_id=audio_id,
            ssl_names=features.names,
            ssl_id=features.ssl_id,
            fallback=audio,
            follows_entries=follows,
        ),
        features=features,
    )


def place_captions(songs: Songs, backends: Backends, caches: Caches, config: Config) -> None:
    """Keep the captions of data sets with a ``text_embeds`` entry of their own where that one says."""
    usual = cache_root(config) / "text" / "ace_step"
    for backend in backends.training:
        folder = backend.text_embeds.cache_dir or usual
        if folder != caches.text.folder:
            entries = [entry for entry in songs.entries if entry.song.backend_id == backend.id]
            caches.text.place((caption for entry in entries for caption in entry.song.captions), folder)


def encoder_loaders(
    config: Config, family: ModelFamily, device: torch.device
) -> tuple[Callable[[], MusicCodec], Callable[[], TextEncoder]]:
    """What loads the two encoders as a configuration wants them: the codec, the text encoder."""

    def load_text_encoder() -> TextEncoder:
        return family.load_text_encoder(
            dtype=DTYPES[config.mixed_precision],
            device=device,
            max_length=config.tokenizer_max_length,
            quantisation=text_quantisation_of(config),
        )

    def load_codec() -> MusicCodec:
        return family.load_codec(dtype=DTYPES[config.vae_dtype], device=device, parts=("encoder",))

    return load_codec, load_text_encoder


def all_captions(songs: Songs, extra_captions: Sequence[str]) -> list[str]:
    """Every caption of a run: the empty one, those of the test clips, those of the songs."""
    captions = [caption for entry in songs.entries for caption in entry.song.captions]
    return [EMPTY_CAPTION, *extra_captions, *captions]


def fill_caches(
    songs: Songs,
    extra_captions: Sequence[str],
    caches: Caches,
    *,
    config: Config,
    policy: CachePolicy,
    family: ModelFamily,
    device: torch.device,
    reporter: Reporter,
    inbox: Inbox,
) -> CacheIndex:
    """Encode what is not cached yet and is not left for later, each encoder in memory only while it is needed."""
    encodes_on = torch.device("cpu") if config.offload_during_startup else device
    load_codec, load_text_encoder = encoder_loaders(config, family, encodes_on)
    look_at_disk = _disk_watch(songs, caches, config=config, reporter=reporter, inbox=inbox)

    def on_progress(event: CacheProgress) -> None:
        reporter.emitter.emit(event)
        look_at_disk(event)

    later = [entry for entry in songs.entries if entry.song.backend_id in policy.ondemand]
    index = build_cache(
        [entry for entry in songs.entries if entry.song.backend_id not in policy.ondemand],
        [
            text
            for text in all_captions(songs, extra_captions)
            if caches.text.path(text).parent not in policy.text_ondemand
        ],
        audio=caches.audio,
        text=caches.text,
        load_codec=load_codec,
        load_text_encoder=load_text_encoder,
        on_progress=on_progress,
        on_problem=reporter.problem,
        should_stop=inbox.stop_requested,
        vae_batch_size=config.vae_batch_size,
        text_encoder_batch_size=config.text_encoder_batch_size,
        max_workers=config.max_workers,
        features=feature_pass(config, caches, device=device, reporter=reporter),
        write_behind=WRITE_BEHIND if encodes_on.type == "cuda" else 0,
    )
    release_memory(device)
    return replace(index, entries=(*index.entries, *later))


def _disk_watch(
    songs: Songs, caches: Caches, *, config: Config, reporter: Reporter, inbox: Inbox
) -> Callable[[CacheProgress], None]:
    """What looks at the caches' disks while there is something to write: ``disk_low_threshold``."""
    low_disk = LowDisk.of(config, warn=reporter.warn, should_stop=inbox.stop_requested)
    first_of_each = {entry.song.backend_id: entry for entry in reversed(songs.entries) if entry.clips}
    folders = {*caches.text.folders, *(caches.audio.path(entry.clips[0]).parent for entry in first_of_each.values())}

    def look(event: CacheProgress) -> None:
        for folder in folders if event.done < event.total else ():
            low_disk.check_often(folder, doing="preparing songs")

    return look


def sample_reader(
    caches: Caches,
    tokenizer: LyricTokenizer,
    *,
    config: Config,
    family: ModelFamily,
    reporter: Reporter,
    ssl_names: Sequence[str],
    making: Making | None = None,
) -> SampleReader:
    """Reads visits; a damaged cache entry is encoded again on the CPU, beside the training."""
    load_codec, load_text_encoder = encoder_loaders(config, family, torch.device("cpu"))
    repair = Repair(
        audio=caches.audio,
        text=caches.text,
        load_codec=load_codec,
        load_text_encoder=load_text_encoder,
        on_problem=reporter.problem,
        add_features=adding_features(config, caches, device=torch.device("cpu"), keeps_models=False),
    )
    return SampleReader(
        audio=caches.audio,
        text=caches.text,
        tokenizer=tokenizer,
        draws=Draws(
            seed=config.seed,
            caption_dropout=config.caption_dropout_probability,
            logit_mean=config.logit_mean,
            logit_std=config.logit_std,
            rollout=rollout_plan(config),
        ),
        repair_audio=repair.audio,
        repair_text=repair.text,
        on_problem=reporter.problem,
        ssl_names=ssl_names,
        on_demand=making.on_demand if making else None,
        recut=making.recut if making else None,
        others=making.others if making else None,
    )
