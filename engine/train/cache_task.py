"""Preparing without training: ``python -m engine cache TASK_DIR``, the phases of a run up to its cache."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from engine.cache.policy import CachePolicy, cache_policy, text_places
from engine.contract.backends import Backends, load_backends
from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.events import RunEnded
from engine.contract.run_dir import RunDir
from engine.model.family import AceStepV1
from engine.telemetry.emitter import Emitter
from engine.telemetry.hardware import HardwareReader
from engine.telemetry.heartbeat import HeartbeatThread
from engine.train.announce import Run, run_started, say_notices
from engine.train.device import choose_device, set_tf32
from engine.train.find_model import find_model
from engine.train.inbox import Inbox
from engine.train.phases import Phases
from engine.train.prepare import Reporter
from engine.train.run import prepare, read_config


def build_cache_of(run_dir: RunDir, *, assume_yes: bool, emitter: Emitter, inbox: Inbox) -> RunEnded:
    """Prepare the songs and captions of a configuration, also where a run of it would do so only when needed.

    Raises:
        ConfigError: The configuration keeps nothing.
        UserError: As any phase.
        StopRequested: Asked to stop; what is ready stays.
    """
    started = time.monotonic()
    phases, reporter = Phases(emitter), Reporter(emitter)
    device = None
    try:
        config = read_config(run_dir)
        device = choose_device(config)
        set_tf32(config, device)
    finally:
        emitter.emit(run_started(run_dir, device, None))
    say_notices(run_dir, config, reporter)
    heartbeat = HeartbeatThread(emitter, phase=phases.current, read_hardware=HardwareReader(device, run_dir.path).read)
    heartbeat.start()
    try:
        backends = load_backends(config, base_dir=Path.cwd())
        policy = _everything_now(cache_policy(config, backends), config, backends)
        family = AceStepV1(find_model(config, warn=reporter.warn))
        run = Run(run_dir, config, family, device, emitter, inbox, phases, reporter, assume_yes)
        prepare(run, backends, start_step=None, policy=policy)
    finally:
        heartbeat.stop()
    return RunEnded(outcome="finished", exit_code=0, seconds=round(time.monotonic() - started, 1))


def _everything_now(policy: CachePolicy, config: Config, backends: Backends) -> CachePolicy:
    """The same policy, but what is written at all is made now.

    Raises:
        ConfigError: Nothing is written at all.
    """
    keeps_text = text_places(config, backends).keys() - policy.text_unwritten
    if not keeps_text and all(backend.id in policy.unwritten for backend in backends.training):
        raise ConfigError(
            "this configuration keeps nothing: vae_cache_disable and text_cache_disable are on",
            hint="Take them out to prepare ahead, or train with it as it is: it prepares while it trains.",
        )
    return replace(policy, ondemand=policy.unwritten, text_ondemand=policy.text_unwritten)
