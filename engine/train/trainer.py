"""The training loop: what happens at a step, between steps, and in which order."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from engine.batches.collate import Batch
from engine.contract.config import Config
from engine.contract.errors import ConfigError, StopRequested
from engine.contract.events import CheckpointSaved, Paused, RunWarning, Step, ValidationLoss
from engine.contract.run_dir import RunDir
from engine.model.family import ModelFamily
from engine.telemetry.emitter import Emitter
from engine.train.after_save import CheckpointProgram
from engine.train.checkpoint import folder_bytes, purge_checkpoints, write_checkpoint
from engine.train.ema import clip_variants
from engine.train.inbox import Inbox
from engine.train.low_disk import LowDisk
from engine.train.lyrics_embedder import untrained
from engine.train.occasions import Occasions
from engine.train.oom import GaveUpError, Ladder
from engine.train.phases import Phases
from engine.train.reading import PendingStep, StepResult
from engine.train.rollout_notice import begins_later, rollout_begins
from engine.train.rungs import MEASURING
from engine.train.speed import Speed
from engine.train.state import TrainState
from engine.train.step import Maths, begin_step, rollout_facts
from engine.train.step_clock import StepClock
from engine.train.stream import Stream
from engine.train.undo import StepStart
from engine.train.validate import ClipMaker, HeldOutLoss, Interrupted, measure_average
from engine.train.weights import TrainedWeights

PAUSE_POLL_S = 0.2

MOST_UNREAD = 2
"""Steps that the device may be behind the host. More would only make the monitor late: two keep the device busy."""


@dataclass
class Trainer:
    """Everything the loop needs; put together by `engine.train.run.load`.

    Attributes:
        saved_step: The newest step that a checkpoint of this run folder holds as the model is now.
        going_on_from: The checkpoint that the configuration names, if it names one: never purged.
        is_fresh: Whether this start goes on from no checkpoint. (Its first step need not be 0: ``init_lora_step``.)
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
    memory: Ladder
    low_disk: LowDisk
    program: CheckpointProgram
    speed: Speed
    saved_step: int | None = None
    going_on_from: Path | None = None
    is_fresh: bool = False
    _last_save: float = field(default_factory=time.monotonic)
    _began: tuple[int, float] = (0, 0.0)
    _awaits_rollout: bool = False
    _has_moved: bool = False
    _unread: deque[tuple[PendingStep, float]] = field(default_factory=deque)
    occasions: Occasions = field(init=False)

    def __post_init__(self) -> None:
        self._began = (self.state.step, time.monotonic())
        self.occasions = Occasions(self.config, self.stream.epoch_of, self.max_steps)

    @property
    def has_trained(self) -> bool:
        """Whether the weights are other than those of a fresh start."""
        return not self.is_fresh or self.state.step > self._began[0]

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
                try:
                    micro_batches = next(groups)
                except StopRequested:  # asked for while a song that is encoded now waited for space on the disk
                    self.stop()
                data_s = time.perf_counter() - fetched
                self._unread.append((self.take_step(micro_batches), data_s))
                self.read_steps(all_of_them=False)
                self.between_steps()
        finally:
            groups.close()
        # No step was left to take: the final weights still need a checkpoint of their own in this folder.
        self.save("end")

    def take_step(self, micro_batches: Sequence[Batch]) -> PendingStep:
        """One optimizer step; where memory runs out it is taken again with less, and counts once.

        Raises:
            NonFiniteLossError: As `begin_step`.
            OutOfMemoryError: As `Ladder.attempt`.
        """
        start = StepStart(self.state, self.device, is_first=not self._has_moved)
        pending = self.memory.attempt(
            "train",
            lambda: self.speed.without_on_failure(
                lambda: self.compute(micro_batches, before_move=start.before_move), restore=start.restore
            ),
            batch=lambda: self.memory.largest(micro_batches),
            restore=start.restore,
        )
        self._has_moved = True
        return pending

    def compute(self, micro_batches: Sequence[Batch], *, before_move: Callable[[], None]) -> PendingStep:
        """`begin_step` with what this run has, in pieces as small as memory wants them."""
        maths = Maths(
            family=self.family,
            config=self.config,
            sigmas=self.sigmas,
            ssl_weight=self.ssl_weight,
            device=self.device,
            clock=StepClock(self.device),
            graphs=self.speed.graphs,
        )
        pieces = self.speed.seen(self.memory.pieces(micro_batches))
        return begin_step(self.state, pieces, maths, before_move=before_move)

    def read_steps(self, *, all_of_them: bool = True) -> None:
        """Report the steps that are over; or wait for all, before something else than a step is done.

        Raises:
            NonFiniteLossError: One of them was bad; no weight has moved since.
        """
        while self._unread:
            pending, data_s = self._unread[0]
            if not all_of_them and len(self._unread) <= MOST_UNREAD and not pending.is_ready:
                return
            self._unread.popleft()
            self.report(pending.result(), data_s=data_s)

    def begin(self) -> None:
        """Before the first step of this start: held-out loss of the untouched model, baseline clip.

        Raises:
            ConfigError: A fresh run that would end without a step: only a target that was reached is a success.
        """
        if self.is_fresh and self.state.step >= self.max_steps:
            raise ConfigError(
                f"nothing would be trained: the run begins at step {self.state.step:,} and ends at {self.max_steps:,}",
                hint="Raise max_train_steps or num_train_epochs, or lower init_lora_step.",
            )
        self.stop_if_asked()
        if self.is_fresh:
            self.measure_held_out()
            if self.config.validation_on_startup:
                # A fresh LoRA changes nothing, so its first clip is the bare model's; one that goes on has another.
                if self.config.init_lora is not None and not self.config.disable_benchmark:
                    with untrained(self.state.model, self.config, self.family.checkpoint):
                        self.make_clips(suffix="_base")
                self.make_clips()
            self.stop_if_asked()
        self._began = (self.state.step, time.monotonic())
        self._awaits_rollout = begins_later(self.config, self.state.step)

    def report(self, result: StepResult, *, data_s: float) -> None:
        """Emit the step."""
        self.memory.step = result.step
        first_step, began = self._began
        done = result.step - first_step
        eta_s = (time.monotonic() - began) / done * (self.max_steps - result.step)
        self.emitter.emit(
            Step(
                step=result.step,
                total=self.max_steps,
                loss=result.loss,
                lr=result.lr,
                grad_norm=result.grad_norm,
                epoch=round(self.stream.epoch_of(result.step), 4),
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
                lyrics_embedder_learning_rate=result.embedder_lr,
                **rollout_facts(self.config, result),
            )
        )
        if self._awaits_rollout and any(result.walks):
            self._awaits_rollout = False
            self.warn(*rollout_begins(self.config, result.step))

    def between_steps(self) -> None:
        """Clips and checkpoints that are due, and what viewers ask for."""
        step = self.state.step
        wants = self.inbox.poll()
        if wants.stop:
            self.stop()
        self.program.look()
        if self.occasions.is_clip_due(step) or wants.sample:
            self.make_clips()
            self.stop_if_asked()
            wants.sample = False
            self.inbox.answer("sample")
        waited_s = time.monotonic() - self._last_save
        reason = self.occasions.save_reason(step, is_asked=wants.save, waited_s=waited_s)
        if reason:
            self.save(reason)
            wants.save = False
            self.inbox.answer("save")
            if wants.stop_after_save:
                raise StopRequested(f"stopped at step {step:,}; it is saved")
        self.stop_if_asked()
        self.wait_while_paused()

    def save(self, reason: str) -> None:
        """Held-out loss, checkpoint, purge; nothing when this step is saved already."""
        self.read_steps()
        if self.saved_step == self.state.step:
            return
        if reason != "stop":  # who wants to leave does not wait for a measurement
            self.measure_held_out()
        self.low_disk.check(self.run_dir.path, doing=f"saving step {self.state.step:,}")
        started = time.monotonic()
        with self.phases.span("save") as span, self.state.as_judged():
            folder = self.memory.attempt("save", lambda: self._write(rolling=reason == "rolling"), kinds=(), retries=2)
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
            in_use=[folder, *self.program.at_work_on(), *([self.going_on_from] if self.going_on_from else [])],
        ):
            self.warn("old_checkpoint_stays", f"{stuck.name} could not be removed; remove it by hand to free its space")
        self.program.start(folder)

    def _write(self, *, rolling: bool) -> Path:
        # Written aside and renamed: one that broke off leaves nothing behind.
        return write_checkpoint(
            self.run_dir,
            self.state,
            self.weights,
            config=self.config,
            stream=self.stream.position(self.state.step),
            device=self.device,
            rolling=rolling,
        )

    def measure_held_out(self) -> None:
        """Held-out loss of the model as it is now, once a step; remembers first, last and best."""
        if not self.held_out.songs or self.held_out.measured_step == self.state.step:
            return
        with self.phases.span("validate") as span, self.state.as_judged():
            try:
                loss, ema_loss = self.memory.attempt(
                    "validate", self._measure, kinds=MEASURING, batch=self.held_out.largest, can_do_without=True
                )
            except Interrupted:
                return
            except GaveUpError as error:
                self.warn("held_out_failed", f"the held-out loss was not measured: {error.reason}. Training goes on")
                return
            span.summary = f"held-out loss {loss:.4f}"
        self.state.heldout_last = loss
        if self.state.heldout_first is None:
            self.state.heldout_first = loss
        if self.has_trained and (self.state.best_loss is None or loss < self.state.best_loss):
            self.state.best_step, self.state.best_loss = self.state.step, loss
        num_songs = len(self.held_out.songs)
        self.emitter.emit(ValidationLoss(step=self.state.step, loss=loss, num_songs=num_songs, ema_loss=ema_loss))

    def _measure(self) -> tuple[float, float | None]:
        """The held-out loss, and that of the averaged weights."""
        model, step, should_stop = self.state.model, self.state.step, self.inbox.stop_requested
        loss = self.held_out.measure(model, step=step, should_stop=should_stop)
        return loss, measure_average(self.held_out, self.state.ema, model, step=step, should_stop=should_stop)

    def make_clips(self, *, suffix: str = "") -> None:
        """Test clips of the model as it is now, and of its average; a prompt that fails never stops training.

        Args:
            suffix: Put behind the clips' names, to tell them from others of the same step and prompt.
        """
        self.read_steps()
        if not self.clips.prompts:
            return
        self.speed.make_room()
        variants = clip_variants(self.config, self.state.ema)
        total = len(self.clips.prompts) * len(variants)
        with (
            self.phases.span("validate", total=total) as span,
            self.state.as_judged(),
            contextlib.suppress(Interrupted),
        ):
            span.done = 0
            for ending, weights in variants:
                with weights():
                    span.done += self.clips.make(
                        self.state.model,
                        step=self.state.step,
                        should_stop=self.inbox.stop_requested,
                        suffix=suffix + ending,
                    )

    def wait_while_paused(self) -> None:
        """Stand still while the user wants it, still answering commands."""
        if not self.inbox.requests.paused:
            return
        self.read_steps()
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

    def stop(self) -> NoReturn:
        """Save the finished step, unless the user wants it dropped, and end."""
        self.read_steps()
        if not self.has_trained:
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
