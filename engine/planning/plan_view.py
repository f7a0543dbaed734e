"""A plan as it is shown beside a draft: totals, what they are made of, and whether they fit. All of it are estimates.

Cheap enough (well under 20 ms) to be made again on each key. What is not known yet is None.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from engine.contract.config import Config
from engine.hardware.machine import Device, Machine
from engine.planning.disk import estimate_disk, num_clips
from engine.planning.duration import estimate_duration
from engine.planning.facts import DataFacts, DeviceFacts
from engine.planning.measured import Basis, basis_of
from engine.planning.plan import num_steps_per_epoch
from engine.planning.search import FITS_SHARE, WHOLE_SONG_S, Verdict
from engine.planning.sizes import ModelSizes
from engine.planning.vram import MemoryEstimate, estimate_memory, estimate_ram

UNCERTAINTY = 0.15
"""Share by which the time may be off, before a step was measured."""

PartKind = Literal[
    "model",
    "adapter",
    "song",
    "prepare",
    "clip",
    "spare",
    "download",
    "cache",
    "checkpoints",
    "output",
    "train",
    "clips",
    "load",
]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a total: what it is, and how much (bytes or seconds).

    Attributes:
        kind: For the words of the screens.
        amount: Bytes or seconds.
        count: How many (songs in flight, save points, steps, rounds of clips).
        detail: A word besides: the stored precision of the model, the length of the piece.
    """

    kind: PartKind
    amount: float
    count: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """A total with its parts, which add up to it, and what is free.

    ``verdict`` is None where total or free is not known.
    """

    amount: float | None = None
    free: float | None = None
    parts: tuple[Part, ...] = ()
    verdict: Verdict | None = None

    @property
    def over(self) -> float:
        """By how much it is too big; 0 when it fits."""
        return max(0.0, (self.amount or 0.0) - self.free) if self.free is not None else 0.0


@dataclass(frozen=True, slots=True)
class PlanView:
    """What a draft will take.

    Attributes:
        memory: Of the device that trains (main memory on a processor).
        disk: Until the end of the run.
        seconds: Of the run; its parts in seconds. Never too big.
        step_s: One step.
        num_steps: Steps of the run.
        num_epochs: Passes over the songs; None before they are known.
        verdict: The worst of memory and disk; None while neither is known.
        basis: Whether steps like these were measured when the plan was made, or only computed.
    """

    memory: Total
    disk: Total
    seconds: Total
    step_s: float | None
    num_steps: int
    num_epochs: float | None
    verdict: Verdict | None
    basis: Basis = "computed"


def plan_for(
    config: Config,
    *,
    machine: Machine,
    device: Device,
    sizes: ModelSizes,
    data: DataFacts | None = None,
    download_bytes: int | None = 0,
) -> PlanView:
    """Plan a draft.

    Args:
        config: Its values, unchecked.
        machine: The computer.
        device: What trains.
        sizes: The model.
        data: The songs; None before they are known: then memory is planned for the longest piece allowed.
        download_bytes: What must still be downloaded of the model; None where that is not known.
    """
    planned = _longest(config, data)
    memory = _memory(config, device=device, sizes=sizes, planned=planned)
    num_steps = config.max_train_steps
    if not num_steps:
        num_steps = config.num_train_epochs * (num_steps_per_epoch(config, data.num_trained) if data is not None else 0)
    disk = _disk(config, machine=machine, sizes=sizes, data=data, num_steps=num_steps, download_bytes=download_bytes)
    seconds, step_s = _seconds(config, machine=machine, device=device, sizes=sizes, data=data, num_steps=num_steps)
    return PlanView(
        memory=memory,
        disk=disk,
        seconds=seconds,
        step_s=step_s,
        num_steps=num_steps,
        num_epochs=num_steps / num_steps_per_epoch(config, data.num_trained) if data is not None else None,
        verdict=worst(memory.verdict, disk.verdict),
        basis=basis_of(config, data=planned, sizes=sizes, kind=device.kind),
    )


def longest_piece_s(config: Config) -> float:
    """Seconds of the longest piece that a configuration trains on."""
    return min(config.audio_max_duration_seconds or WHOLE_SONG_S, WHOLE_SONG_S)


def judged(amount: float | None, free: float | None) -> Verdict | None:
    """Whether an amount fits into what is free: with a tenth to spare, tightly, or not."""
    if amount is None or free is None:
        return None
    return "fits" if amount <= FITS_SHARE * free else "tight" if amount <= free else "too big"


def worst(*verdicts: Verdict | None) -> Verdict | None:
    """The worst of some verdicts; unknown ones do not count."""
    known = [one for one in verdicts if one is not None]
    return max(known, key=("fits", "tight", "too big").index, default=None)


def _longest(config: Config, data: DataFacts | None) -> DataFacts:
    """The songs as memory is planned for them: the longest piece counts."""
    longest_s = data.longest_s if data is not None and data.clip_s else longest_piece_s(config)
    known = data if data is not None else DataFacts((), (), num_captions=1)
    return dataclasses.replace(known, clip_s=(longest_s,), bucket_s=(longest_s,))


def _memory(config: Config, *, device: Device, sizes: ModelSizes, planned: DataFacts) -> Total:
    memory = estimate_memory(config, data=planned, sizes=sizes, kind=device.kind, card_bytes=device.total_bytes)
    total = estimate_ram(memory, kind="cpu", sizes=sizes) if device.kind == "cpu" else memory.used_bytes
    parts = _memory_parts(config, memory, total, planned.longest_s)
    return Total(float(total), _optional(device.free_bytes), parts, judged(total, device.usable_bytes))


def _memory_parts(config: Config, memory: MemoryEstimate, total: int, longest_s: float) -> tuple[Part, ...]:
    training = memory.weights_bytes + memory.adapter_bytes + memory.optimizer_bytes + memory.activation_bytes
    more = memory.peak_bytes - training
    is_full = config.model_type == "full"
    parts = [
        Part("model", memory.weights_bytes, detail=_stored(config)),
        Part("adapter", memory.adapter_bytes + memory.optimizer_bytes, detail="full" if is_full else "lora"),
        Part("song", memory.activation_bytes, count=config.train_batch_size, detail=f"{longest_s:g}"),
    ]
    if more:
        # Preparing and test clips come before and between the steps, with other models in the card: the most counts.
        is_clip = memory.validate_bytes == memory.peak_bytes or more == memory.codec_bytes
        parts.append(Part("clip" if is_clip else "prepare", more))
    return (*parts, Part("spare", total - training - more))


def _stored(config: Config) -> str:
    """The precision in which the model lies in memory, in one word."""
    if config.model_type == "full":
        return "fp32"
    stored: str = config.base_model_precision.partition("-")[0]
    if stored != "no_change":
        return stored
    return "fp32" if config.mixed_precision == "no" else str(config.mixed_precision)


def _disk(
    config: Config,
    *,
    machine: Machine,
    sizes: ModelSizes,
    data: DataFacts | None,
    num_steps: int,
    download_bytes: int | None,
) -> Total:
    free = _optional(machine.disk_free_bytes)
    parts = [Part("download", download_bytes)] if download_bytes else []
    if data is None:
        # Before the songs are known only the download is: a total would be a guess.
        return Total(float(download_bytes) if download_bytes else None, free, tuple(parts))
    disk = estimate_disk(config, data=data, sizes=sizes, num_steps=num_steps)
    parts += [
        Part("cache", disk.cache_bytes, count=len(data.clip_s)),
        Part("checkpoints", disk.checkpoint_bytes * disk.num_checkpoints, count=disk.num_checkpoints),
        Part("output", disk.clip_bytes + disk.export_bytes, detail=config.model_type),
    ]
    total = float(sum(part.amount for part in parts))
    return Total(total, free, tuple(parts), judged(total, free))


def _seconds(
    config: Config,
    *,
    machine: Machine,
    device: Device,
    sizes: ModelSizes,
    data: DataFacts | None,
    num_steps: int,
) -> tuple[Total, float | None]:
    if data is None or not data.clip_s:
        return Total(), None
    facts = DeviceFacts(device.kind, num_cores=machine.num_cores, total_bytes=device.total_bytes)
    duration = estimate_duration(config, data=data, sizes=sizes, device=facts, num_steps=num_steps)
    parts = (
        Part("cache", duration.prepare_s, count=len(data.clip_s)),
        Part("load", duration.load_s),
        Part("train", duration.train_s, count=num_steps),
        Part("clips", duration.validate_s, count=num_clips(config, num_steps)),
    )
    return Total(duration.total_s, None, parts), duration.step_s


def _optional(value: int | None) -> float | None:
    return None if value is None else float(value)
