"""A whole run, phase by phase: scan → prepare → load → train → finish."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine import __version__
from engine.contract.backends import load_backends
from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.events import ModelLoaded, Plan, Proofs, RunEnded, RunStarted
from engine.contract.files import read_json
from engine.contract.run_dir import RunDir, checkpoint_step
from engine.hardware.host import disk_free_bytes, num_cores
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.family import AceStepV1
from engine.model.load import read_transformer_config, resolve_checkpoint
from engine.model.tiny import write_tiny_checkpoint
from engine.objective.timesteps import sigma_table
from engine.planning.facts import DataFacts, DeviceFacts
from engine.planning.plan import make_plan
from engine.planning.sizes import read_sizes
from engine.telemetry.emitter import Emitter
from engine.telemetry.hardware import HardwareReader
from engine.telemetry.heartbeat import HeartbeatThread
from engine.train.checkpoint import remove_partial
from engine.train.device import choose_device, describe
from engine.train.disk_guard import check_space
from engine.train.finish import finish_full, finish_lora
from engine.train.inbox import Inbox
from engine.train.phases import Phases
from engine.train.prepare import (
    Caches,
    Reporter,
    SampleStream,
    Songs,
    demo_folder,
    fill_caches,
    held_out_batches,
    open_caches,
    sample_reader,
    sample_stream,
    scan_songs,
)
from engine.train.resume import find_checkpoint, load_checkpoint, with_kept_rate
from engine.train.setup import Built, build_clips, build_model, clip_captions
from engine.train.trainer import Trainer
from engine.train.validate import HELD_OUT_DRAWS, HeldOutLoss

DEMO_MODEL = "demo:tiny-model"


@dataclass
class Run:
    """What all phases share."""

    run_dir: RunDir
    config: Config
    family: AceStepV1
    device: torch.device
    emitter: Emitter
    inbox: Inbox
    phases: Phases
    reporter: Reporter
    assume_yes: bool


def train_run(run_dir: RunDir, *, assume_yes: bool, emitter: Emitter, inbox: Inbox) -> RunEnded:
    """Do everything a run folder's config.json asks for.

    Raises:
        UserError: As any phase; `engine.train.worker` turns it into the last event.
    """
    started = time.monotonic()
    phases, reporter = Phases(emitter), Reporter(emitter)
    device, checkpoint_folder = None, None
    early: list[tuple[str, str]] = []
    try:
        config = read_config(run_dir)
        device = choose_device()
        checkpoint_folder = find_checkpoint(
            run_dir, config.resume_from_checkpoint or "", warn=lambda code, message: early.append((code, message))
        )
        if checkpoint_folder is not None:
            config = with_kept_rate(config, checkpoint_folder, warn=lambda code, message: early.append((code, message)))
    finally:
        # The run has started even when its configuration or checkpoint is damaged: that is what it then says.
        emitter.emit(_run_started(run_dir, device, checkpoint_folder))
        for code, message in early:
            reporter.warn(code, message)
    say_notices(run_dir, config, reporter)
    heartbeat = HeartbeatThread(emitter, phase=phases.current, read_hardware=HardwareReader(device, run_dir.path).read)
    heartbeat.start()
    try:
        family = AceStepV1(resolve_checkpoint(_model_path(config), revision=config.revision))
        run = Run(run_dir, config, family, device, emitter, inbox, phases, reporter, assume_yes)
        trainer = run_phases(run, checkpoint_folder)
    finally:
        heartbeat.stop()
    state = trainer.state
    return RunEnded(
        outcome="finished",
        exit_code=0,
        steps=state.step,
        seconds=round(time.monotonic() - started, 1),
        heldout_first=state.heldout_first,
        heldout_last=state.heldout_last,
    )


def read_config(run_dir: RunDir) -> Config:
    """The run's frozen configuration.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return Config.from_dict(read_json(run_dir.config_json))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{run_dir.config_json}: cannot be read: {error}",
            hint="It is written anew when the run is started with its own command: acestep-tui --run FILE.",
        ) from error


def say_notices(run_dir: RunDir, config: Config, reporter: Reporter) -> None:
    """Emit what the front end noticed about the configuration, so that whoever attaches later sees it too."""
    try:
        told = [(str(notice["code"]), str(notice["message"])) for notice in read_json(run_dir.origins_json)["notices"]]
    except (OSError, ValueError, KeyError, TypeError):
        # Started without a front end: at least what the data sets' list gives.
        told = [(notice.code, notice.message) for notice in load_backends(config, base_dir=Path.cwd()).notices]
    for code, message in dict.fromkeys(told):
        reporter.warn(code, message)


def run_phases(run: Run, checkpoint_folder: Path | None) -> Trainer:
    """Scan, prepare, load, train, finish."""
    config, phases = run.config, run.phases
    backends = load_backends(config, base_dir=Path.cwd())
    remove_partial(run.run_dir)
    with phases.span("scan") as span:
        songs = scan_songs(config, backends, reporter=run.reporter, inbox=run.inbox)
        span.done, span.total = len(songs.report.songs), songs.report.num_files
        span.summary = songs.report.summary()
    caches = open_caches(config, backends, run.family)
    announce_plan(run, songs, caches, start_step=0 if checkpoint_folder is None else checkpoint_step(checkpoint_folder))

    with phases.span("cache") as span:
        index = fill_caches(
            songs,
            clip_captions(config),
            caches,
            config=config,
            family=run.family,
            device=run.device,
            reporter=run.reporter,
            inbox=run.inbox,
        )
        span.done, span.total = len(index.entries), len(songs.entries)
        span.summary = f"{len(index.entries):,} of {len(songs.entries):,} songs"
        songs = songs.keeping(index)

    with phases.span("load") as span:
        tokenizer = LyricTokenizer(config.lyrics_language_detection)
        caches, ssl_weight = with_ssl_features(run, caches, songs)
        ssl_names = read_transformer_config(run.family.checkpoint.transformer).ssl_names if ssl_weight else ()
        reader = sample_reader(
            caches, tokenizer, config=config, family=run.family, reporter=run.reporter, ssl_names=ssl_names
        )
        stream = sample_stream(songs, backends, reader, config=config, device=run.device)
        warn_of_repeats(run, stream)
        max_steps = num_steps(config, stream)
        built = build_model(config, run.family, max_steps=max_steps, with_projectors=ssl_weight > 0, device=run.device)
        if checkpoint_folder is not None:
            positions = load_checkpoint(checkpoint_folder, built.state, built.weights, config=config, device=run.device)
            warn_of_other_songs(run, stream, positions)
            if config.resume_from_checkpoint != "latest":
                warn_of_newer_checkpoints(run, checkpoint_folder)
        span.summary = say_loaded(run, built)

    sigmas = sigma_table(config.flow_schedule_shift).to(run.device)
    trainer = Trainer(
        run_dir=run.run_dir,
        config=config,
        family=run.family,
        state=built.state,
        weights=built.weights,
        stream=stream,
        held_out=HeldOutLoss(
            songs=[entry.song.relative_path for entry in songs.held_out],
            batches=held_out_batches(songs, reader, num_draws=HELD_OUT_DRAWS, batch_size=config.train_batch_size),
            family=run.family,
            config=config,
            sigmas=sigmas,
            device=run.device,
        ),
        clips=build_clips(
            config,
            run.family,
            built.model,
            caches.text,
            tokenizer=tokenizer,
            run_dir=run.run_dir,
            device=run.device,
            emitter=run.emitter,
        ),
        sigmas=sigmas,
        ssl_weight=ssl_weight,
        max_steps=max_steps,
        device=run.device,
        emitter=run.emitter,
        inbox=run.inbox,
        phases=phases,
        saved_step=saved_step_of(run.run_dir, checkpoint_folder),
        going_on_from=None if config.resume_from_checkpoint == "latest" else checkpoint_folder,
    )
    with phases.span("train", total=max_steps) as span:
        trainer.train()
        span.done = trainer.state.step
        span.summary = f"{trainer.state.step:,} of {max_steps:,}"
    with phases.span("finish") as span:
        run.emitter.emit(finish(run, trainer, built, stream))
        span.summary = f"export/{run.run_dir.name}"
    return trainer


def _model_path(config: Config) -> str | Path:
    """The checkpoint's name or folder; ``demo:tiny-model`` is written once under the cache, then read as any other."""
    name: str = config.pretrained_model_name_or_path
    if name != DEMO_MODEL:
        return name
    folder = demo_folder(config) / "tiny-model"
    return folder if folder.is_dir() else write_tiny_checkpoint(folder)


def _run_started(run_dir: RunDir, device: torch.device | None, checkpoint: Path | None) -> RunStarted:
    return RunStarted(
        name=run_dir.name,
        dir=str(run_dir.path),
        version=__version__,
        pid=os.getpid(),
        host=platform.node(),
        device="" if device is None else describe(device),
        resumed_step=None if checkpoint is None else checkpoint_step(checkpoint),
    )


def announce_plan(run: Run, songs: Songs, caches: Caches, *, start_step: int) -> None:
    """Say what the run will still take; refuse to fill a disk that is too small.

    Raises:
        DiskError: As `check_space`.
    """
    clips = [clip for entry in songs.entries for clip in entry.clips]
    data = DataFacts(
        clip_s=tuple(clip.length_s for clip in clips),
        bucket_s=tuple({clip.bucket: clip.length_s for clip in clips}.values()),
        num_captions=len({caption for entry in songs.entries for caption in entry.song.captions}),
        num_held_out=len(songs.held_out),
        num_cached=sum(caches.audio.is_whole(clip) for clip in clips),
    )
    facts = DeviceFacts(
        kind=run.device.type,
        num_cores=num_cores(),
        total_bytes=torch.cuda.mem_get_info(run.device)[1] if run.device.type == "cuda" else None,
        disk_free_bytes=disk_free_bytes(run.run_dir.path),
    )
    sizes = read_sizes(run.family.checkpoint.root)
    plan = Plan(**make_plan(run.config, data=data, sizes=sizes, device=facts, start_step=start_step))
    run.emitter.emit(plan)
    check_space(run.run_dir, run.config, plan, assume_yes=run.assume_yes, reporter=run.reporter)


def num_steps(config: Config, stream: SampleStream) -> int:
    """Steps of the run: as set, else from the epochs."""
    return int(config.max_train_steps or stream.sampler.steps_for_epochs(config.num_train_epochs))


def with_ssl_features(run: Run, caches: Caches, songs: Songs) -> tuple[Caches, float]:
    """The caches to read from and the SSL weight to train with.

    The weight counts only where every clip has cached features; otherwise one warning says what is lost and training
    goes on without. (Computing the features is not part of this version.)
    """
    wanted = run.config.ace_step_ssl_loss_weight
    if wanted == 0:
        return caches, 0.0
    featured = caches.with_ssl()
    clips = [clip for entry in songs.entries for clip in entry.clips]
    if wanted and all(featured.audio.is_whole(clip) for clip in clips):
        return featured, float(wanted)
    run.reporter.warn(
        "no_ssl_features",
        "trains without the SSL loss (ace_step_ssl_loss_weight): the cache holds no MERT and mHuBERT features; "
        "the style may be learned a little less closely",
    )
    return caches, 0.0


def warn_of_repeats(run: Run, stream: SampleStream) -> None:
    """Say when a step takes a song more than once because its length has too few songs."""
    if stream.sampler.repeating:
        which = ", ".join(f"{name} ({songs} for {wanted})" for name, songs, wanted in stream.sampler.repeating)
        run.reporter.warn(
            "songs_repeat",
            f"too few songs for one step, so it takes some of them more than once: {which}. A smaller train_batch_size "
            "or gradient_accumulation_steps trains as well and faster",
        )


def warn_of_other_songs(run: Run, stream: SampleStream, positions: dict[str, Any]) -> None:
    """Say when the songs are not those of the interrupted run: the order of samples is then another one."""
    if any(position["fingerprint"] != stream.sampler.fingerprint for position in positions.values()):
        run.reporter.warn(
            "songs_changed", "the songs or batch settings changed since the checkpoint: the order of songs is new"
        )


def warn_of_newer_checkpoints(run: Run, folder: Path) -> None:
    """Say when the run goes back: checkpoints of later steps belong to another course and are replaced in time."""
    newer = [other for other in run.run_dir.whole_checkpoints() if checkpoint_step(other) > checkpoint_step(folder)]
    if newer:
        names = ", ".join(other.name for other in newer)
        run.reporter.warn(
            "goes_back",
            f"goes on from {folder.name}, although there is {names}: what was trained after {folder.name} does not "
            "count, and each is replaced when its step is saved again",
        )


def saved_step_of(run_dir: RunDir, folder: Path | None) -> int | None:
    """The step that needs no saving, because the run goes on from just that plain checkpoint in its own folder."""
    if folder is None or folder != run_dir.checkpoint(checkpoint_step(folder)):
        return None
    return checkpoint_step(folder)


def say_loaded(run: Run, built: Built) -> str:
    """Emit `model_loaded` and return its sentence."""
    num_parameters = sum(parameter.numel() for parameter in built.model.parameters())
    num_trainable = sum(parameter.numel() for parameter in built.state.trainable.values())
    what = "all weights" if built.spec is None else f"LoRA rank {built.spec.rank}"
    name = run.config.pretrained_model_name_or_path
    summary = f"{name}, {num_parameters / 1e6:,.1f} M parameters, {what}"
    run.emitter.emit(
        ModelLoaded(
            model=name,
            num_parameters=num_parameters,
            num_trainable=num_trainable,
            dtype=str(built.model.dtype).removeprefix("torch."),
            device=str(run.device),
            summary=summary,
        )
    )
    return summary


def finish(run: Run, trainer: Trainer, built: Built, stream: SampleStream) -> Proofs:
    """Final weights and proofs, by kind of training."""
    if built.spec is None:
        return finish_full(trainer, run.family.checkpoint)
    with contextlib.closing(stream.groups(0)) as groups:
        probe = next(groups)[0]
    return finish_lora(trainer, built.spec, base_model=run.config.pretrained_model_name_or_path, probe=probe)
