"""What a run says about itself: its start, its plan, what is loaded, and what a user should know beforehand."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine import __version__
from engine.cache.policy import CachePolicy
from engine.contract.backends import load_backends
from engine.contract.config import Config
from engine.contract.errors import DiskError
from engine.contract.events import DataReady, ModelLoaded, Plan, RunStarted
from engine.contract.files import read_json, write_json
from engine.contract.model_files import DEMO_MODEL
from engine.contract.paths import cache_root
from engine.contract.run_dir import RunDir, checkpoint_step
from engine.dataset.report import ScanReport
from engine.hardware.host import disk_free_bytes, num_cores
from engine.model.family import ModelFamily
from engine.model.quantise import num_weights
from engine.planning.cache_size import cache_words, is_large
from engine.planning.facts import DataFacts, DeviceFacts
from engine.planning.plan import make_plan
from engine.planning.sizes import read_sizes
from engine.telemetry.emitter import Emitter
from engine.train.device import describe
from engine.train.disk_guard import check_space
from engine.train.features import seconds_without_features
from engine.train.inbox import Inbox
from engine.train.init_lora import FRESH, Start
from engine.train.oom import Ladder
from engine.train.phases import Phases
from engine.train.prepare import Caches, Reporter, Songs
from engine.train.setup import Built
from engine.train.stream import SampleStream


@dataclass
class Run:
    """What all phases share."""

    run_dir: RunDir
    config: Config
    family: ModelFamily
    device: torch.device
    emitter: Emitter
    inbox: Inbox
    phases: Phases
    reporter: Reporter
    assume_yes: bool
    start: Start = FRESH
    ladder: Ladder | None = None

    @property
    def memory(self) -> Ladder:
        """What is done when memory runs out; kept for all phases."""
        if self.ladder is None:
            self.ladder = Ladder.of(self.run_dir, self.config, self.device, self.emitter)
        return self.ladder


def run_started(run_dir: RunDir, device: torch.device | None, checkpoint: Path | None) -> RunStarted:
    """The first event of a start."""
    return RunStarted(
        name=run_dir.name,
        dir=str(run_dir.path),
        version=__version__,
        pid=os.getpid(),
        host=platform.node(),
        device="" if device is None else describe(device),
        resumed_step=None if checkpoint is None else checkpoint_step(checkpoint),
    )


def say_notices(run_dir: RunDir, config: Config, reporter: Reporter) -> None:
    """Emit what the front end noticed about the configuration, so that whoever attaches later sees it too."""
    try:
        told = [(str(notice["code"]), str(notice["message"])) for notice in read_json(run_dir.origins_json)["notices"]]
    except (OSError, ValueError, KeyError, TypeError):
        # Started without a front end: at least what the data sets' list gives.
        told = [(notice.code, notice.message) for notice in load_backends(config, base_dir=Path.cwd()).notices]
    for code, message in dict.fromkeys(told):
        reporter.warn(code, message)


def record_scan(run_dir: RunDir, report: ScanReport) -> None:
    """Add what the scan found to origins.json, beside where each value came from.

    Raises:
        DiskError: The folder cannot be written.
    """
    try:
        origins = dict(read_json(run_dir.origins_json))
    except (OSError, ValueError, TypeError):
        return  # started without a front end: the events alone tell the scan
    origins["scan"] = {
        "summary": report.summary(),
        "num_files": report.num_files,
        "num_songs": len(report.songs),
        "num_without_lyrics": report.num_without_lyrics,
        "total_s": round(report.total_s, 1),
        "formats": report.formats,
        "left_out": [problem.file for problem in report.left_out],
    }
    write_json(run_dir.origins_json, origins, action="writing the summary of the scan")


def data_ready(songs: Songs) -> DataReady:
    """The songs as they will be trained: lengths are those of the pieces that are cut from them."""
    training = [entry for entries in songs.training.values() for entry in entries]
    lengths = [clip.length_s for entry in songs.entries for clip in entry.clips]
    return DataReady(
        num_files=songs.report.num_files,
        num_train=len(training),
        num_held_out=len(songs.held_out),
        num_left_out=songs.report.num_files - len(songs.entries),
        num_without_lyrics=songs.report.num_without_lyrics,
        num_groups=len({entry.bucket for entry in training}),
        total_s=round(sum(lengths), 3),
        shortest_s=round(min(lengths, default=0.0), 3),
        longest_s=round(max(lengths, default=0.0), 3),
    )


def announce_plan(run: Run, songs: Songs, caches: Caches, policy: CachePolicy, *, start_step: int | None) -> None:
    """Say what the run will still take (of a preparation alone: the cache); refuse to fill a disk that is too small.

    Raises:
        DiskError: As `check_space`.
    """
    clips = [clip for entry in songs.entries for clip in entry.clips]
    # What is never written takes no disk, as what is there already.
    missing = [
        clip for clip in clips if clip.song.backend_id not in policy.unwritten and not caches.audio.is_whole(clip)
    ]
    copies = [entry.song.num_copies for entries in songs.training.values() for entry in entries]
    data = DataFacts(
        num_songs=sum(copies) if max(copies, default=1) > 1 else 0,
        clip_s=tuple(clip.length_s for clip in clips),
        bucket_s=tuple({clip.bucket: clip.length_s for clip in clips}.values()),
        num_captions=len({caption for entry in songs.entries for caption in entry.song.captions}),
        num_held_out=len(songs.held_out),
        num_cached=len(clips) - len(missing),
        has_features=caches.features.weight > 0,
        feature_s=seconds_without_features(caches, clips, policy),
    )
    facts = DeviceFacts(
        kind=run.device.type,
        num_cores=num_cores(),
        total_bytes=torch.cuda.mem_get_info(run.device)[1] if run.device.type == "cuda" else None,
        disk_free_bytes=disk_free_bytes(run.run_dir.path),
    )
    sizes = read_sizes(run.family.checkpoint.root)
    plan = Plan(**make_plan(run.config, data=data, sizes=sizes, device=facts, start_step=start_step or 0))
    announce_cache(run, plan.parts["cache_bytes"], sum(clip.length_s for clip in missing), always=start_step is None)
    if start_step is None:
        return
    run.emitter.emit(plan)
    check_space(run.run_dir, run.config, plan, assume_yes=run.assume_yes, reporter=run.reporter)


def announce_cache(run: Run, num_bytes: float, seconds: float, *, always: bool) -> None:
    """Say what preparing writes, with the warning of SimpleTuner's quickstart, where that is much (or ``always``).

    Raises:
        DiskError: ``always``, where no `check_space` follows, and the disk is too small and nobody said ``--yes``.
    """
    folder = cache_root(run.config)
    free_bytes = disk_free_bytes(folder)
    words = cache_words(num_bytes, seconds=seconds, folder=folder, free_bytes=free_bytes)
    if always and free_bytes is not None and num_bytes > free_bytes and not run.assume_yes:
        raise DiskError(words, hint="Choose another cache_dir, free some space, or start all the same with --yes.")
    if seconds and (always or is_large(num_bytes, free_bytes)):
        run.reporter.warn("cache_size", words)


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


def say_loaded(run: Run, built: Built) -> str:
    """Emit `model_loaded`, and what there is to say of the loading; return its sentence."""
    for notice in built.model.notices:
        run.reporter.warn("quantised_copy", notice)
    num_parameters = num_weights(built.model)
    num_trainable = sum(parameter.numel() for parameter in built.state.trainable.values())
    what = "all weights" if built.spec is None else f"LoRA rank {built.spec.rank}"
    name = run.config.pretrained_model_name_or_path
    shown = "tiny ACE-Step, random weights" if name == DEMO_MODEL else name
    precision = run.config.base_model_precision.partition("-")[0]
    stored = "" if precision == "no_change" else f" in {precision}"
    summary = f"{shown}, {num_parameters / 1e6:,.1f} M parameters{stored}, {what}"
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
