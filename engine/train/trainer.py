"""The training loop: what happens at a step, between steps, and in which order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.batches.collate import Batch
from engine.contract.config import Config
from engine.contract.errors import StopRequested
from engine.contract.events import CheckpointSaved, Paused, RunWarning, Step, ValidationLoss
from engine.contract.run_dir import RunDir
from engine.model.family import ModelFamily
from engine.telemetry.emitter import Emitter
from engine.train.checkpoint import folder_bytes, purge_checkpoints, write_checkpoint
from engine.train.inbox import Inbox
from engine.train.phases import Phases
from engine.train.state import TrainState
from engine.train.step import StepResult, train_step
from engine.train.step_clock import StepClock
from engine.train.validate import ClipMaker, HeldOutLoss, Interrupted
from engine.train.weights import TrainedWeights

PAUSE_POLL_S = 0.2


class Stream(Protocol):
    """Groups of micro-batches, one a step, from a given step on."""

    def groups(self, from_step: int) -> Generator[Sequence[Batch], None, None]:
        """Endless; closing the iterator ends its threads."""

    def epoch_of(self, step: int) -> float:
        """Passes over the data done at a step."""

    def position(self, step: int) -> dict[str, Any]:
        """State by backend id at a step, for the checkpoint."""


@dataclass
class Trainer:
    """Everything the loop needs; put together by `engine.train.run.load`.

    Attributes:
        saved_step: The newest step that a checkpoint of this run folder holds as the model is now.
        going_on_from: The checkpoint that the configuration names, if it names one: never purged.
    """

    run_dir: RunDir
    config: Config
    family: ModelFamily
    state: TrainState
    weights: TrainedWeights
    stream: Stream
    held_out: HeldOutLoss
    clips: ClipMaker
    sigmas: Tensor
    ssl_weight: float
    max_steps: int
    device: torch.device
    emitter: Emitter
    inbox: Inbox
    phases: Phases
    saved_step: int | None = None
    going_on_from: Path | None = None
    _last_save: float = field(default_factory=time.monotonic)
    _began: tuple[int, float] = (0, 0.0)
    _clock: StepClock = field(init=False)

    def __post_init__(self) -> None:
        self._clock = StepClock(self.device)

    def train(self) -> None:
        """Train to the last step.

        Raises:
            StopRequested: The user asked to stop; the step is finished, and saved unless that was not wanted.
        """
        self.begin()
        groups = self.stream.groups(self.state.step)
        try:
            while self.state.step < self.max_steps:
                fetched = time.perf_counter()
                micro_batches = next(groups)
                data_s = time.perf_counter() - fetched
                result = train_step(
                    self.state,
                    micro_batches,
                    family=self.family,
                    config=self.config,
                    sigmas=self.sigmas,
                    ssl_weight=self.ssl_weight,
                    device=self.device,
                    clock=self._clock,
                )
                self.report(result, data_s=data_s)
                self.between_steps()
        finally:
            groups.close()
        # No step was left to take: the final weights still need a checkpoint of their own in this folder.
        self.save("end")

    def begin(self) -> None:
        """Before the first step of this start: held-out loss of the untouched model, baseline clip."""
        self.stop_if_asked()
        if self.state.step == 0:
            self.measure_held_out()
            if self.config.validation_on_startup:
                self.make_clips()
            self.stop_if_asked()
        self._began = (self.state.step, time.monotonic())

    def report(self, result: StepResult, *, data_s: float) -> None:
        """Emit the step."""
        first_step, began = self._began
        done = self.state.step - first_step
        eta_s = (time.monotonic() - began) / done * (self.max_steps - self.state.step)
        self.emitter.emit(
            Step(
                step=self.state.step,
                total=self.max_steps,
                loss=result.loss,
                lr=result.lr,
                grad_norm=result.grad_norm,
                epoch=round(self.stream.epoch_of(self.state.step), 4),
                step_s=round(result.step_s, 4),
                data_s=round(data_s, 4),
                audio_s=round(result.audio_s, 3),
                eta_s=round(eta_s, 1),
                ssl_loss=result.ssl_loss,
                bucket=result.bucket,
                forward_s=_rounded(result.times.forward_s),
                backward_s=_rounded(result.times.backward_s),
                optimizer_s=_rounded(result.times.optimizer_s),
                files=result.files,
            )
        )

    def between_steps(self) -> None:
        """Clips and checkpoints that are due, and what viewers ask for."""
        step = self.state.step
        wants = self.inbox.poll()
        if wants.stop:
            self.stop()
        if self.clip_due(step) or wants.sample:
            self.make_clips()
            self.stop_if_asked()
            wants.sample = False
            self.inbox.answer("sample")
        reason = self.save_due(step, wants.save)
        if reason:
            self.save(reason)
            wants.save = False
            self.inbox.answer("save")
            if wants.stop_after_save:
                raise StopRequested(f"stopped at step {step:,}; it is saved")
        self.stop_if_asked()
        self.wait_while_paused()

    def clip_due(self, step: int) -> bool:
        """Whether a test clip belongs to this step."""
        interval = self.config.validation_step_interval
        return bool(interval) and (step % interval == 0 or step == self.max_steps)

    def save_due(self, step: int, asked: bool) -> str:
        """Why a checkpoint is due now: end, interval, request, time, rolling; empty = it is not."""
        interval, rolling = self.config.checkpointing_steps, self.config.checkpointing_rolling_steps
        minutes = self.config.checkpoint_minutes_interval
        if step >= self.max_steps:
            return "end"
        if interval and step % interval == 0:
            return "interval"
        if asked:
            return "request"
        if minutes and time.monotonic() - self._last_save > minutes * 60:
            return "time"
        return "rolling" if rolling and step % rolling == 0 else ""

    def save(self, reason: str) -> None:
        """Held-out loss, checkpoint, purge; nothing when this step is saved already."""
        if self.saved_step == self.state.step:
            return
        if reason != "stop":  # who wants to leave does not wait for a measurement
            self.measure_held_out()
        started = time.monotonic()
        with self.phases.span("save") as span:
            folder = write_checkpoint(
                self.run_dir,
                self.state,
                self.weights,
                config=self.config,
                stream=self.stream.position(self.state.step),
                device=self.device,
                rolling=reason == "rolling",
            )
            span.summary = f"step {self.state.step:,}"
        self._last_save = time.monotonic()
        self.saved_step = self.state.step
        self.emitter.emit(
            CheckpointSaved(
                step=self.state.step,
                path=folder.name,
                bytes=folder_bytes(folder),
                verified=True,
                took_s=round(time.monotonic() - started, 3),
                reason=reason,
            )
        )
        self.emitter.sync()
        for stuck in purge_checkpoints(
            self.run_dir,
            keep=self.config.checkpoints_total_limit,
            keep_rolling=self.config.checkpoints_rolling_total_limit,
            best_step=self.state.best_step,
            in_use=[folder, *([self.going_on_from] if self.going_on_from else [])],
        ):
            self.warn("old_checkpoint_stays", f"{stuck.name} could not be removed; remove it by hand to free its space")

    def measure_held_out(self) -> None:
        """Held-out loss of the model as it is now, once a step; remembers first, last and best."""
        if not self.held_out.songs or self.held_out.measured_step == self.state.step:
            return
        with self.phases.span("validate") as span:
            try:
                loss = self.held_out.measure(
                    self.state.model, step=self.state.step, should_stop=self.inbox.stop_requested
                )
            except Interrupted:
                return
            span.summary = f"held-out loss {loss:.4f}"
        self.state.heldout_last = loss
        if self.state.heldout_first is None:
            self.state.heldout_first = loss
        if self.state.step and (self.state.best_loss is None or loss < self.state.best_loss):
            self.state.best_step, self.state.best_loss = self.state.step, loss
        self.emitter.emit(ValidationLoss(step=self.state.step, loss=loss, num_songs=len(self.held_out.songs)))

    def make_clips(self) -> None:
        """Test clips of the model as it is now; a prompt that fails never stops training."""
        if self.clips.prompts:
            with self.phases.span("validate", total=len(self.clips.prompts)) as span, contextlib.suppress(Interrupted):
                span.done = self.clips.make(
                    self.state.model, step=self.state.step, should_stop=self.inbox.stop_requested
                )

    def wait_while_paused(self) -> None:
        """Stand still while the user wants it, still answering commands."""
        if not self.inbox.requests.paused:
            return
        self.emitter.emit(Paused(paused=True, step=self.state.step))
        while self.inbox.poll().paused:
            requests = self.inbox.requests
            if requests.stop:
                self.stop()
            if requests.save:
                self.save("request")
                requests.save = False
                self.inbox.answer("save")
            if requests.sample:
                self.make_clips()
                requests.sample = False
                self.inbox.answer("sample")
            if requests.stop_after_save and self.saved_step == self.state.step:
                self.stop()
            time.sleep(PAUSE_POLL_S)
        self.emitter.emit(Paused(paused=False, step=self.state.step))

    def stop_if_asked(self) -> None:
        """End here if the user wants it."""
        if self.inbox.stop_requested():
            self.stop()

    def stop(self) -> None:
        """Save the finished step, unless the user wants it dropped, and end."""
        if self.state.step == 0:
            raise StopRequested("stopped before the first step; nothing had to be saved")
        if self.inbox.requests.abort and self.saved_step != self.state.step:
            kept = f"step {self.saved_step:,} is saved" if self.saved_step else "nothing is saved"
            raise StopRequested(f"stopped at step {self.state.step:,} without saving; {kept}")
        self.save("stop")
        raise StopRequested(f"stopped at step {self.state.step:,}; it is saved")

    def warn(self, code: str, message: str) -> None:
        """Say something that stops nothing."""
        self.emitter.emit(RunWarning(code=code, message=message))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
