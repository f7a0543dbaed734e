"""From a configuration to samples: scan, buckets, held-out songs, cache, stream of batches."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from engine.batches.bucket import Entry, plan_clips
from engine.batches.collate import Batch, collate
from engine.batches.held_out import held_out_groups, split_held_out
from engine.batches.loader import load_batches
from engine.batches.reader import Draws, SampleReader
from engine.batches.sampler import GroupSampler, Pool
from engine.cache.audio_latents import AudioLatents
from engine.cache.build import CacheIndex, build_cache
from engine.cache.repair import Repair
from engine.cache.store import CacheStore
from engine.cache.text_states import TextStates
from engine.contract.backends import Backends, LocalBackend
from engine.contract.config import Config
from engine.contract.errors import StopRequested
from engine.contract.events import FileProblem, RunWarning, ScanProgress
from engine.contract.paths import cache_root, demo_folder, expanded
from engine.dataset.report import Problem, ScanReport, Song
from engine.dataset.scan import scan_backends
from engine.demo.songs import write_demo_songs
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.family import ModelFamily
from engine.telemetry.emitter import Emitter
from engine.train.device import DTYPES, release_memory
from engine.train.inbox import Inbox

DEMO_SONGS = "demo:songs"
EMPTY_CAPTION = ""


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
        [(backend, data_folder(backend, config)) for backend in backends.training],
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


def data_folder(backend: LocalBackend, config: Config) -> Path:
    """The backend's folder; ``demo:songs`` is written once under the cache and then scanned like any other."""
    if backend.instance_data_dir == DEMO_SONGS:
        return write_demo_songs(demo_folder(config) / "songs")
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

    def with_ssl(self) -> Caches:
        """The same, reading the audio entries with self-supervised features wherever there are such."""
        return replace(self, audio=self.featured)


def open_caches(config: Config, backends: Backends, family: ModelFamily) -> Caches:
    """The caches of a configuration: shared by all runs, keyed by content and encoder."""
    root = cache_root(config)
    own = {backend.id: Path(backend.cache_dir_vae) for backend in backends.training if backend.cache_dir_vae}
    store = CacheStore(
        audio_folder=Path(config.cache_dir_vae) if config.cache_dir_vae else root / "audio",
        text_folder=backends.text_cache_dir or root / "text" / "ace_step",
        audio_folders=own,
    )
    audio_id = family.audio_encoder_id(dtype=config.vae_dtype)
    text_id = family.text_encoder_id(dtype=config.mixed_precision, max_length=config.tokenizer_max_length)
    audio = AudioLatents(store, encoder_id=audio_id)
    return Caches(
        audio=audio,
        text=TextStates(store, encoder_id=text_id),
        featured=AudioLatents(store, encoder_id=audio_id, with_ssl=True, fallback=audio),
    )


def fill_caches(
    songs: Songs,
    extra_captions: Sequence[str],
    caches: Caches,
    *,
    config: Config,
    family: ModelFamily,
    device: torch.device,
    reporter: Reporter,
    inbox: Inbox,
) -> CacheIndex:
    """Encode what is not cached yet, each encoder in memory only while it is needed."""
    captions = [caption for entry in songs.entries for caption in entry.song.captions]

    index = build_cache(
        songs.entries,
        [EMPTY_CAPTION, *extra_captions, *captions],
        audio=caches.audio,
        text=caches.text,
        load_codec=lambda: family.load_codec(dtype=DTYPES[config.vae_dtype], device=device),
        load_text_encoder=lambda: family.load_text_encoder(
            dtype=DTYPES[config.mixed_precision], device=device, max_length=config.tokenizer_max_length
        ),
        on_progress=reporter.emitter.emit,
        on_problem=reporter.problem,
        should_stop=inbox.stop_requested,
        vae_batch_size=config.vae_batch_size,
        text_encoder_batch_size=config.text_encoder_batch_size,
        max_workers=config.max_workers,
    )
    release_memory(device)
    return index


def sample_reader(
    caches: Caches,
    tokenizer: LyricTokenizer,
    *,
    config: Config,
    family: ModelFamily,
    reporter: Reporter,
    ssl_names: Sequence[str],
) -> SampleReader:
    """Reads visits; a damaged cache entry is encoded again on the CPU, beside the training."""
    cpu = torch.device("cpu")
    repair = Repair(
        audio=caches.audio,
        text=caches.text,
        load_codec=lambda: family.load_codec(dtype=DTYPES[config.vae_dtype], device=cpu),
        load_text_encoder=lambda: family.load_text_encoder(
            dtype=DTYPES[config.mixed_precision], device=cpu, max_length=config.tokenizer_max_length
        ),
        on_problem=reporter.problem,
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
        ),
        repair_audio=repair.audio,
        repair_text=repair.text,
        on_problem=reporter.problem,
        ssl_names=ssl_names,
    )


@dataclass
class SampleStream:
    """The endless stream of batches of a run, from any step on."""

    sampler: GroupSampler
    reader: SampleReader
    backends: Sequence[LocalBackend]
    num_workers: int
    prefetch: int
    pin: bool

    def groups(self, from_step: int) -> Generator[Sequence[Batch], None, None]:
        """Micro-batches of each step; closing the generator ends the loader's threads."""
        groups = self.sampler.groups(from_step)
        batches = load_batches(groups, self.reader, num_workers=self.num_workers, prefetch=self.prefetch, pin=self.pin)
        with contextlib.closing(batches):  # type: ignore[type-var]
            for _, micro_batches in batches:
                yield micro_batches

    def epoch_of(self, step: int) -> float:
        """Passes over the data done at a step."""
        return self.sampler.epoch_of(step)

    def position(self, step: int) -> dict[str, Any]:
        """The stream at a step, by backend id: a pure function of seed and step, so step and fingerprint are all."""
        state = {"next_step": step, "fingerprint": self.sampler.fingerprint, "epoch": self.sampler.epoch_of(step)}
        return {backend.id: state for backend in self.backends}


def sample_stream(
    songs: Songs, backends: Backends, reader: SampleReader, *, config: Config, device: torch.device
) -> SampleStream:
    """The stream over the training songs.

    Raises:
        DataError: No song is left to train on.
        ConfigError: A bucket is too small and may not be repeated.
    """
    pools = [
        Pool(
            backend_id=backend.id,
            entries=songs.training[backend.id],
            batch_size=backend.train_batch_size or config.train_batch_size,
            repeats=backend.repeats,
            probability=backend.probability,
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
    return SampleStream(
        sampler=sampler,
        reader=reader,
        backends=backends.training,
        num_workers=config.dataloader_num_workers,
        prefetch=config.dataloader_prefetch_qlen if config.dataloader_prefetch else 2,
        pin=device.type == "cuda",
    )


def held_out_batches(songs: Songs, reader: SampleReader, *, num_draws: int, batch_size: int) -> list[Batch]:
    """The fixed batches of the held-out loss."""
    return [
        collate([reader(visit) for visit in visits], bucket=group.bucket)
        for group in held_out_groups(songs.held_out, num_draws=num_draws, batch_size=batch_size)
        for visits in group.micro_batches
    ]
