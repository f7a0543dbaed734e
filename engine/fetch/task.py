"""The download of a model as a task: ``python -m engine fetch TASK_DIR``. Outlives every terminal; speaks in events."""

from __future__ import annotations

import os
import platform
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from engine import __version__
from engine.contract.byte_size import size_words
from engine.contract.errors import ConfigError, ModelError, StopRequested
from engine.contract.events import DownloadProgress, RunEnded, RunStarted, RunWarning
from engine.contract.feature_models import CONFIG_FILE, FETCH_COMMAND, WEIGHTS, feature_model_of
from engine.contract.files import read_json
from engine.contract.model_files import layout_words
from engine.contract.run_dir import RunDir
from engine.fetch.download import Download
from engine.hardware.feature_models import status_of
from engine.hardware.models import ModelStatus
from engine.telemetry.emitter import Emitter
from engine.telemetry.heartbeat import HeartbeatThread
from engine.train.inbox import Inbox

POLL_S = 0.5
RATE_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """What config.json of a task folder asks for.

    Attributes:
        model: OWNER/NAME.
        revision: Branch, tag or commit; the default branch when None.
        cache_dir: The hub client's cache; its usual one when None.
        accept_non_commercial: Somebody agreed to the licences of the models for musical features.
    """

    model: str
    revision: str | None = None
    cache_dir: Path | None = None
    accept_non_commercial: bool = False


def read_order(run_dir: RunDir) -> Order:
    """The task's config.json.

    Raises:
        ConfigError: Not readable, or without a model's name.
    """
    try:
        data = read_json(run_dir.config_json)
        model, revision, cache_dir = data["model"], data.get("revision"), data.get("cache_dir")
        if not isinstance(model, str) or not isinstance(revision, str | None) or not isinstance(cache_dir, str | None):
            raise TypeError("model, revision and cache_dir are texts")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{run_dir.config_json}: cannot be read: {error!r}", hint='It holds {"model": "OWNER/NAME"}.'
        ) from error
    has_agreed = data.get("accept_non_commercial") is True
    return Order(model, revision or None, Path(cache_dir) if cache_dir else None, has_agreed)


def fetch_model(run_dir: RunDir, *, emitter: Emitter, inbox: Inbox) -> RunEnded:
    """Fetch a model into the hub client's cache; a model that is whole there needs no network.

    Raises:
        ConfigError: config.json is damaged.
        ModelError: The hub refuses, cannot be reached, or what arrived is not a whole model.
        DiskError: The disk is too small or not writable.
        StopRequested: Asked to stop; what arrived stays.
    """
    started = time.monotonic()
    emitter.emit(
        RunStarted(
            name=run_dir.name,
            dir=str(run_dir.path),
            version=__version__,
            pid=os.getpid(),
            host=platform.node(),
            device="",
        )
    )
    order = read_order(run_dir)
    heartbeat = HeartbeatThread(emitter, phase=lambda: "download", read_hardware=lambda: None)
    heartbeat.start()
    try:
        status = status_of(order.model, order.revision, order.cache_dir)
        if not status.is_whole:
            download(order, emitter, inbox)
            status = status_of(order.model, order.revision, order.cache_dir)
        _check_whole(status)
    finally:
        heartbeat.stop()
    emitter.emit(_whole(order, status))
    return RunEnded(outcome="finished", exit_code=0, seconds=round(time.monotonic() - started, 1))


def download(order: Order, emitter: Emitter, inbox: Inbox) -> None:
    """Fetch what is missing of a model, saying how far it is.

    Raises:
        ModelError: The hub refuses or cannot be reached.
        DiskError: The disk is too small or not writable.
        StopRequested: Asked to stop; what arrived stays.
    """
    _check_consent(order)
    fetching = Download(
        order.model,
        revision=order.revision,
        cache_dir=order.cache_dir,
        warn=lambda code, message: emitter.emit(RunWarning(code=code, message=message)),
    )
    progress = Progress(order.model, emitter)
    if not followed(fetching, progress, inbox):
        raise StopRequested(
            f"stopped; {size_words(progress.done_bytes)} are here",
            hint="Started again, the download goes on from there.",
        )
    if fetching.error is not None:
        raise fetching.error


def followed(download: Download, progress: Progress, inbox: Inbox) -> bool:
    """Start a download and say how far it is until it ends, also with an error; False when asked to stop before."""
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # worker.log is for sentences
    download.start()
    while not download.wait(POLL_S):
        progress.tell(download)
        if inbox.stop_requested():
            return False
    progress.tell(download)
    return True


def _check_consent(order: Order) -> None:
    """Refuse a model for musical features that nobody agreed to."""
    model = feature_model_of(order.model)
    if model is not None and not order.accept_non_commercial:
        raise ModelError(
            f"{model.label} is published under {model.licence}, for non-commercial use only, and nobody agreed to that",
            hint=f"Read {model.licence_url}; then agree with: {FETCH_COMMAND}",
        )


class Progress:
    """Emits how far a download is, by the bytes on disk; nothing while nothing changes."""

    def __init__(self, model: str, emitter: Emitter) -> None:
        self._model = model
        self._emitter = emitter
        self._samples: deque[tuple[float, int]] = deque()
        self._told: DownloadProgress | None = None
        self.done_bytes = 0

    def tell(self, download: Download) -> None:
        """Look at the disk and say what is new there."""
        if download.repository is None:
            return
        parts = download.repository.bytes_by_part()
        self.done_bytes = sum(done for done, _ in parts.values())
        event = DownloadProgress(
            model=self._model,
            done_bytes=self.done_bytes,
            total_bytes=sum(total for _, total in parts.values()),
            bytes_per_s=self._rate(time.monotonic()),
            parts=parts,
        )
        if event != self._told:
            self._told = event
            self._emitter.emit(event)

    def _rate(self, now: float) -> float | None:
        """Bytes a second over the last seconds; None before there are two looks."""
        self._samples.append((now, self.done_bytes))
        while now - self._samples[0][0] > RATE_WINDOW_S and len(self._samples) > 2:
            self._samples.popleft()
        (begin, before), (end, after) = self._samples[0], self._samples[-1]
        return round((after - before) / (end - begin)) if end > begin else None


def _check_whole(status: ModelStatus) -> None:
    if not status.is_whole:
        problems = [f"{part.name} is {part.state}" + f" ({part.problem})" * bool(part.problem) for part in status.parts]
        wrong = [text for text, part in zip(problems, status.parts, strict=True) if part.state != "whole"]
        model = feature_model_of(status.name)
        needed = layout_words() if model is None else f"{CONFIG_FILE} and one of {', '.join(WEIGHTS)}"
        raise ModelError(f"{status.name} was downloaded, but {', '.join(wrong)}", hint=f"A whole model has {needed}.")


def _whole(order: Order, status: ModelStatus) -> DownloadProgress:
    """The last word: everything is here."""
    parts = {part.name: [part.bytes, part.bytes] for part in status.parts}
    total = sum(done for done, _ in parts.values())
    return DownloadProgress(model=order.model, done_bytes=total, total_bytes=total, parts=parts)
