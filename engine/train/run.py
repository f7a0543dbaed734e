"""A whole run, phase by phase: scan → prepare → load → train → finish."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from torch import Tensor

from engine.batches.reader import SampleReader
from engine.cache.policy import CachePolicy, cache_policy
from engine.contract.backends import Backends, load_backends
from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.events import Proofs, RunEnded
from engine.contract.files import read_json
from engine.contract.run_dir import RunDir, checkpoint_step
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.family import AceStepV1
from engine.model.load import read_transformer_config
from engine.objective.timesteps import sigma_table
from engine.telemetry.emitter import Emitter
from engine.telemetry.hardware import HardwareReader
from engine.telemetry.heartbeat import HeartbeatThread
from engine.telemetry.reports import open_reports
from engine.train.after_save import CheckpointProgram
from engine.train.announce import (
    Run,
    announce_plan,
    data_ready,
    record_scan,
    run_started,
    say_loaded,
    say_notices,
    warn_of_newer_checkpoints,
    warn_of_other_songs,
    warn_of_repeats,
)
from engine.train.cache_use import note_use
from engine.train.checkpoint import remove_partial
from engine.train.delete_files import delete_unusable
from engine.train.device import choose_device, set_tf32
from engine.train.ema import restore_ema
from engine.train.features import plan_features, with_ssl_features
from engine.train.find_model import find_model
from engine.train.finish import finish_full, finish_lora
from engine.train.first_step import measure_first_step
from engine.train.inbox import Inbox
from engine.train.init_lora import begin_at, find_start
from engine.train.low_disk import LowDisk
from engine.train.memory_advice import memory_advice
from engine.train.occasions import num_steps
from engine.train.on_demand import making_of
from engine.train.phases import Phases
from engine.train.prepare import (
    Caches,
    Reporter,
    Songs,
    all_captions,
    fill_caches,
    open_caches,
    place_captions,
    sample_reader,
    scan_songs,
)
from engine.train.resume import find_checkpoint, load_checkpoint, with_kept_rate
from engine.train.rungs import FINISHING, LOADING, PREPARING
from engine.train.setup import Built, build_clips, build_model, clip_captions
from engine.train.speed import CONDITION_MULTIPLE, Speed
from engine.train.start_warnings import start_warnings
from engine.train.stream import SampleStream, group_sampler, held_out_batches, sample_stream
from engine.train.trainer import Trainer
from engine.train.validate import HELD_OUT_DRAWS, HeldOutLoss


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
        device = choose_device(config)
        set_tf32(config, device)
        checkpoint_folder = find_checkpoint(
            run_dir,
            config.resume_from_checkpoint or "",
            warn=lambda code, message: early.append((code, message)),
            delete_damaged=config.delete_invalid_checkpoints,
        )
        if checkpoint_folder is not None:
            config = with_kept_rate(config, checkpoint_folder, warn=lambda code, message: early.append((code, message)))
    finally:
        # The run has started even when its configuration or checkpoint is damaged: that is what it then says.
        emitter.emit(run_started(run_dir, device, checkpoint_folder))
        for code, message in early:
            reporter.warn(code, message)
    say_notices(run_dir, config, reporter)
    open_reports(config, run_dir, emitter, from_step=emitter.last_step)
    heartbeat = HeartbeatThread(emitter, phase=phases.current, read_hardware=HardwareReader(device, run_dir.path).read)
    heartbeat.start()
    try:
        family = AceStepV1(find_model(config, warn=reporter.warn))
        start = find_start(config, family, checkpoint_folder, warn=reporter.warn)
        run = Run(run_dir, config, family, device, emitter, inbox, phases, reporter, assume_yes, start)
        with memory_advice(config, run_dir):
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


def run_phases(run: Run, checkpoint_folder: Path | None) -> Trainer:
    """Scan, prepare, load, train, finish."""
    backends = load_backends(run.config, base_dir=Path.cwd())
    remove_partial(run.run_dir)
    start_step = run.start.step if checkpoint_folder is None else checkpoint_step(checkpoint_folder)
    songs, caches = prepare(run, backends, start_step=start_step)
    with run.phases.span("load") as span:
        trainer, built = load(run, backends, songs, caches, checkpoint_folder)
        span.summary = say_loaded(run, built)
    measure_first_step(trainer)
    with run.phases.span("train", total=trainer.max_steps) as span:
        try:
            trainer.train()
        finally:
            trainer.program.close()
        span.done = trainer.state.step
        span.summary = f"{trainer.state.step:,} of {trainer.max_steps:,} steps"
    with run.phases.span("finish") as span, trainer.state.as_judged():
        proofs = run.memory.attempt("finish", lambda: finish(run, trainer, built), kinds=FINISHING, retries=1)
        run.emitter.emit(proofs)
        span.summary = str(run.run_dir.export.relative_to(run.run_dir.path))
    return trainer


def prepare(
    run: Run, backends: Backends, *, start_step: int | None, policy: CachePolicy | None = None
) -> tuple[Songs, Caches]:
    """Scan the songs, say the plan (None = no training follows), cache what is not cached: what a batch is made of."""
    policy = policy or cache_policy(run.config, backends)
    with run.phases.span("scan") as span:
        songs = scan_songs(run.config, backends, reporter=run.reporter, inbox=run.inbox)
        span.done, span.total = len(songs.report.songs), songs.report.num_files
        span.summary = songs.report.summary()
        record_scan(run.run_dir, songs.report)
        delete_unusable(run.config, backends, songs.report, run.reporter)
        run.emitter.emit(data_ready(songs))
        group_sampler(songs, backends, run.config)  # what does not fit is told before anything is prepared
    caches = open_caches(run.config, backends, run.family, plan_features(run))
    place_captions(songs, backends, caches, run.config)
    announce_plan(run, songs, caches, policy, start_step=start_step)
    note_use(run.run_dir, backends, songs, caches, all_captions(songs, clip_captions(run.config)))
    with run.phases.span("cache") as span:
        # Everything finished is on disk at once: a second try goes on from there.
        index = run.memory.attempt(
            "cache",
            lambda: fill_caches(
                songs,
                clip_captions(run.config),
                caches,
                config=run.memory.acting,
                policy=policy,
                family=run.family,
                device=run.device,
                reporter=run.reporter,
                inbox=run.inbox,
            ),
            kinds=PREPARING,
        )
        span.done, span.total = len(index.entries), len(songs.entries)
        num_later = sum(entry.song.backend_id in policy.ondemand for entry in songs.entries)
        span.summary = f"{len(index.entries):,} of {len(songs.entries):,} songs"
        if num_later:
            span.summary = policy.words(num_songs=num_later)
    return songs.keeping(index), caches


def load(
    run: Run, backends: Backends, songs: Songs, caches: Caches, checkpoint_folder: Path | None
) -> tuple[Trainer, Built]:
    """Build everything that trains, and put a checkpoint's state back."""
    config, family, device = run.config, run.family, run.device
    tokenizer = LyricTokenizer(config.lyrics_language_detection)
    caches, ssl_weight = with_ssl_features(run, caches, songs, cache_policy(config, backends))
    reader, stream = samples_of(run, backends, songs, caches, tokenizer=tokenizer, has_features=ssl_weight > 0)
    warn_of_repeats(run, stream)
    max_steps = num_steps(config, stream.sampler, warn=run.reporter.warn)
    built = build(
        run, songs, stream, max_steps=max_steps, with_projectors=ssl_weight > 0, checkpoint_folder=checkpoint_folder
    )
    run.memory.model, run.memory.step = built.model, built.state.step
    speed = Speed.of(
        config,
        built.state,
        device,
        run.emitter,
        num_steps=max_steps - built.state.step,
        num_lengths=stream.sampler.num_lengths,
    )
    stream.condition_multiple = CONDITION_MULTIPLE if speed.is_compiled else 1
    run.memory.give_back = speed.make_room
    sigmas = sigma_table(config.flow_schedule_shift).to(device)
    clips = build_clips(
        config,
        family,
        built.model,
        reader.read_text,
        tokenizer=tokenizer,
        run_dir=run.run_dir,
        device=device,
        emitter=run.emitter,
        memory=run.memory,
    )
    trainer = Trainer(
        run_dir=run.run_dir,
        config=config,
        family=family,
        state=built.state,
        weights=built.weights,
        stream=stream,
        held_out=held_out_loss(run, songs, reader, sigmas),
        clips=clips,
        sigmas=sigmas,
        ssl_weight=ssl_weight,
        max_steps=max_steps,
        device=device,
        emitter=run.emitter,
        inbox=run.inbox,
        phases=run.phases,
        memory=run.memory,
        saved_step=saved_step_of(run.run_dir, checkpoint_folder),
        going_on_from=None if config.resume_from_checkpoint == "latest" else checkpoint_folder,
        is_fresh=checkpoint_folder is None,
        low_disk=LowDisk.of(config, warn=run.reporter.warn, should_stop=run.inbox.stop_requested),
        speed=speed,
        program=CheckpointProgram.of(config.post_checkpoint_script, warn=run.reporter.warn),
    )
    return trainer, built


def samples_of(
    run: Run, backends: Backends, songs: Songs, caches: Caches, *, tokenizer: LyricTokenizer, has_features: bool
) -> tuple[SampleReader, SampleStream]:
    """What reads a song's cached files, and the stream of batches over it."""
    reader = sample_reader(
        caches,
        tokenizer,
        config=run.config,
        family=run.family,
        reporter=run.reporter,
        ssl_names=run.family.ssl_names if has_features else (),
        making=making_of(run, backends, caches, songs),
    )
    return reader, sample_stream(songs, backends, reader, config=run.config, device=run.device)


def build(
    run: Run,
    songs: Songs,
    stream: SampleStream,
    *,
    max_steps: int,
    with_projectors: bool,
    checkpoint_folder: Path | None,
) -> Built:
    """The model with what trains, and a checkpoint's state in it; once more with less where memory runs out."""

    def once() -> Built:
        built = build_model(
            run.memory.acting,
            run.family,
            max_steps=max_steps,
            with_projectors=with_projectors,
            device=run.device,
            start=run.start,
            warn=run.reporter.warn,
        )
        put_state(run, songs, built, stream, checkpoint_folder)
        return built

    run.memory.num_blocks = read_transformer_config(run.family.checkpoint.transformer).num_layers
    return run.memory.attempt("load", once, kinds=LOADING, retries=1)


def put_state(run: Run, songs: Songs, built: Built, stream: SampleStream, checkpoint_folder: Path | None) -> None:
    """Bring the state to where the run begins: that of the checkpoint it goes on from, else that of its start."""
    config, warn = run.config, run.reporter.warn
    for code, message in start_warnings(config, songs.report, checkpoint_folder, run.start):
        warn(code, message)
    if checkpoint_folder is None:
        begin_at(run.start, built.state)
        return
    positions = load_checkpoint(checkpoint_folder, built.state, built.weights, config=config, device=run.device)
    restore_ema(checkpoint_folder, built.state.ema, warn=warn)
    warn_of_other_songs(run, stream, positions)
    if config.resume_from_checkpoint != "latest":
        warn_of_newer_checkpoints(run, checkpoint_folder)


def held_out_loss(run: Run, songs: Songs, reader: SampleReader, sigmas: Tensor) -> HeldOutLoss:
    """The measure on the songs that are set aside, their batches read once and kept."""
    config = run.config
    batches = held_out_batches(songs, reader, num_draws=HELD_OUT_DRAWS, batch_size=config.train_batch_size)
    return HeldOutLoss(
        songs=list(dict.fromkeys(file for batch in batches for file in batch.files)),
        batches=batches,
        family=run.family,
        config=config,
        sigmas=sigmas,
        device=run.device,
        memory=run.memory,
    )


def saved_step_of(run_dir: RunDir, folder: Path | None) -> int | None:
    """The step that needs no saving, because the run goes on from just that plain checkpoint in its own folder."""
    if folder is None or folder != run_dir.checkpoint(checkpoint_step(folder)):
        return None
    return checkpoint_step(folder)


def finish(run: Run, trainer: Trainer, built: Built) -> Proofs:
    """Final weights and proofs, by kind of training."""
    if built.spec is None:
        return finish_full(trainer, run.family.checkpoint)
    with contextlib.closing(trainer.stream.groups(0)) as groups:
        probe = run.memory.pieces([next(groups)[0]])[0]
    return finish_lora(trainer, built.spec, base_model=run.config.pretrained_model_name_or_path, probe=probe)
