"""Proving a model right as a task: ``python -m engine verify-model TASK_DIR``. Each check is an event."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from engine.contract.errors import ConfigError, ModelError, StopRequested
from engine.contract.events import ModelChecked, RunEnded
from engine.contract.files import read_json
from engine.contract.model_checks import CHECKS
from engine.contract.model_files import DEMO_MODEL
from engine.contract.paths import demo_model
from engine.contract.run_dir import RunDir
from engine.hardware.models import ModelStatus, model_status
from engine.model.tiny import write_tiny_checkpoint
from engine.telemetry.emitter import Emitter
from engine.telemetry.heartbeat import HeartbeatThread
from engine.train.announce import run_started
from engine.train.device import choose_device
from engine.train.inbox import Inbox
from engine.verify.model import verify_files
from engine.verify.outcome import Outcome
from engine.verify.training import Effort


@dataclass(frozen=True, slots=True)
class Order:
    """What config.json of a task folder asks for: a model's name or folder, its revision, how long the clip is."""

    model: str
    revision: str | None
    effort: Effort


def read_order(run_dir: RunDir) -> Order:
    """The task's config.json.

    Raises:
        ConfigError: Not readable, or without a model's name.
    """
    try:
        data = read_json(run_dir.config_json)
        effort = Effort()
        clip_s, num_steps = data.get("clip_s", effort.clip_s), data.get("num_steps", effort.num_steps)
        return Order(str(data["model"]), data.get("revision"), Effort(float(clip_s), int(num_steps)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{run_dir.config_json}: cannot be read: {error!r}", hint='It holds {"model": "OWNER/NAME or a folder"}.'
        ) from error


def verify_model(run_dir: RunDir, *, emitter: Emitter, inbox: Inbox) -> RunEnded:
    """Make every check of the ordered model; nothing is downloaded.

    Raises:
        ConfigError: config.json is damaged.
        ModelError: A check failed; each is an event.
        StopRequested: Asked to stop.
    """
    started = time.monotonic()
    device = None
    try:
        order = read_order(run_dir)
        device = choose_device()
    finally:
        emitter.emit(run_started(run_dir, device, None))
    heartbeat = HeartbeatThread(emitter, phase=lambda: "verify", read_hardware=lambda: None)
    heartbeat.start()

    def tell(check: str, outcome: Outcome | None) -> None:
        emitter.emit(_event(check, outcome))

    try:
        status = _status(order)
        outcomes = verify_files(status, device=device, tell=tell, should_stop=inbox.stop_requested, effort=order.effort)
    finally:
        heartbeat.stop()
    if inbox.stop_requested():
        raise StopRequested(f"stopped after {len(outcomes)} of {len(CHECKS)} checks")
    failed = [CHECKS[check] for check, outcome in outcomes.items() if outcome.state == "failed"]
    if failed:
        raise ModelError(
            f"{len(failed)} of {len(CHECKS)} checks failed: {', '.join(failed)}",
            hint="Download or copy what is named above again, then verify it once more.",
        )
    return RunEnded(outcome="finished", exit_code=0, seconds=round(time.monotonic() - started, 1))


def _status(order: Order) -> ModelStatus:
    if order.model != DEMO_MODEL:
        return model_status(order.model, order.revision)
    folder = demo_model()
    return model_status(folder if folder.is_dir() else write_tiny_checkpoint(folder))


def _event(check: str, outcome: Outcome | None) -> ModelChecked:
    if outcome is None:
        return ModelChecked(check=check, state="running")
    return ModelChecked(
        check=check,
        state=outcome.state,
        words=outcome.words,
        # JSON knows finite numbers only; what is none is said in the words.
        values={name: value for name, value in outcome.values.items() if math.isfinite(value)},
        details=outcome.details,
    )
