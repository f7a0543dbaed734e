"""The first step's proof: before training begins, one real step on the longest songs is taken, measured and undone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from engine.batches.collate import Batch
from engine.contract.events import MemoryMeasured
from engine.hardware.host import read_host
from engine.planning.rollout_plan import rollout_plan
from engine.train.trainer import Trainer
from engine.train.undo import HostCopy


@dataclass(frozen=True)
class _Reading:
    """Memory after a step, in bytes."""

    peak_bytes: int
    reserved_bytes: int | None = None
    used_bytes: int | None = None
    total_bytes: int | None = None


def measure_first_step(trainer: Trainer) -> None:
    """Compile what is to be compiled, prove that a step fits, and tell what it takes.

    Without a compilation nothing happens on a processor, where a step may take minutes, but that its reason is told.

    Raises:
        OutOfMemoryError: It does not fit, whatever is done about it.
    """
    has_more = trainer.state.step < trainer.max_steps and not trainer.inbox.stop_requested()
    if not has_more:
        return
    if trainer.device.type == "cpu" and not trainer.speed.is_compiled:
        trainer.speed.tell()
        return
    with trainer.phases.span("warmup") as span, trainer.speed.warming_up():
        measured = prove_step(trainer, trainer.stream.longest(trainer.state.step))
        memory = f"{measured.peak_bytes / 2**30:.1f} GB of memory"
        span.summary = f"measured {memory} and {measured.step_s:.2f} s for a step of the longest songs"


def prove_step(trainer: Trainer, micro_batches: Sequence[Batch]) -> MemoryMeasured:
    """Take one real step, say what it took, and put everything back bit for bit: training then goes as without it.

    An optimizer moves too, because it allocates its memory when it does; only where main memory has no room to keep
    what it changes, the step ends before that.

    Args:
        trainer: Before its first step of this start.
        micro_batches: The longest songs, as many as a step takes.

    Raises:
        OutOfMemoryError: As `Ladder.attempt`.
    """
    state, device = trainer.state, trainer.device
    batches = [_as_long_as_can_be(trainer, batch) for batch in micro_batches]
    can_move = HostCopy.has_room(state)
    kept, average = HostCopy(state, device, with_values=can_move), state.ema
    state.ema = None  # its memory is there already, and it is not to see this step

    def restore() -> bool:
        kept.restore()
        return True

    def before_move() -> None:
        if not can_move:
            raise _NoRoomToMove

    def once() -> float:
        started = time.perf_counter()
        with contextlib.suppress(_NoRoomToMove):
            return trainer.compute(batches, before_move=before_move).result().step_s
        return time.perf_counter() - started

    def work() -> tuple[_Reading, float]:
        _begin_reading(device)
        for _ in range(trainer.speed.num_warm_ups):
            trainer.speed.without_on_failure(once, restore=restore)
            restore()
        step_s = once()
        return _read(device), step_s

    try:
        reading, step_s = trainer.memory.attempt(
            "warmup", work, batch=lambda: trainer.memory.largest(batches), restore=restore
        )
    finally:
        restore()
        state.ema = average
    event = MemoryMeasured(
        peak_bytes=reading.peak_bytes,
        reserved_bytes=reading.reserved_bytes,
        used_bytes=reading.used_bytes,
        total_bytes=reading.total_bytes,
        step_s=round(step_s, 4),
        bucket=batches[0].bucket,
        batch_size=sum(len(batch.files) for batch in batches),
    )
    trainer.emitter.emit(event)
    return event


class _NoRoomToMove(Exception):
    """Ends a step before the weights move."""


def _as_long_as_can_be(trainer: Trainer, batch: Batch) -> Batch:
    """With scheduled sampling, all of its songs walk: that is what takes most memory. One position tells as much."""
    if rollout_plan(trainer.config) is None:
        return batch
    index = batch.timestep_index.clamp(min=1)
    return replace(batch, timestep_index=index, walks=(1,) * len(batch.files))


def _begin_reading(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)


def _read(device: torch.device) -> _Reading:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        free, total = torch.cuda.mem_get_info(device)
        return _Reading(
            torch.cuda.max_memory_allocated(device),
            reserved_bytes=torch.cuda.max_memory_reserved(device),
            used_bytes=int(total - free),
            total_bytes=int(total),
        )
    if device.type == "mps":
        # What the driver gave stays with torch until it is asked back: after a step that is its peak.
        taken = torch.mps.driver_allocated_memory()
        return _Reading(taken, reserved_bytes=taken, total_bytes=torch.mps.recommended_max_memory())
    host = read_host()
    return _Reading(host.process_bytes or 0, used_bytes=None, total_bytes=host.total_bytes)
