"""The plan of a run: memory, disk, time, before anything heavy starts. All of it are estimates."""

from __future__ import annotations

import math
from typing import Any

from engine.contract.config import Config
from engine.planning.disk import estimate_disk
from engine.planning.duration import estimate_duration
from engine.planning.facts import DataFacts, DeviceFacts
from engine.planning.measured import basis_of
from engine.planning.sizes import ModelSizes
from engine.planning.trained import num_trainable
from engine.planning.vram import estimate_memory, estimate_ram


def make_plan(
    config: Config, *, data: DataFacts, sizes: ModelSizes, device: DeviceFacts, start_step: int = 0
) -> dict[str, Any]:
    """Plan a run.

    Args:
        config: The run's configuration.
        data: What is trained on.
        sizes: The model (`sizes.read_sizes`, or `sizes.published_sizes` before it is here).
        device: What trains, and the free disk space where the run writes.
        start_step: Steps done already by the run that goes on.

    Returns:
        The fields of the `plan` event; ``parts`` breaks memory (bytes), disk (bytes) and time (seconds) down.
    """
    steps_per_epoch = num_steps_per_epoch(config, data.num_trained)
    num_steps = config.max_train_steps or config.num_train_epochs * steps_per_epoch
    if config.strict_epoch_limit and num_steps > steps_per_epoch:
        num_steps -= num_steps % steps_per_epoch
    left = max(0, num_steps - start_step)
    memory = estimate_memory(config, data=data, sizes=sizes, kind=device.kind, card_bytes=device.total_bytes)
    disk = estimate_disk(config, data=data, sizes=sizes, num_steps=num_steps)
    duration = estimate_duration(config, data=data, sizes=sizes, device=device, num_steps=left)
    return {
        "vram_bytes": 0 if device.kind == "cpu" else memory.used_bytes,
        "ram_bytes": estimate_ram(memory, kind=device.kind, sizes=sizes),
        "disk_bytes": disk.total_bytes,
        "seconds": round(duration.total_s, 1),
        "num_steps": num_steps,
        "num_epochs": round(num_steps / steps_per_epoch, 2),
        "disk_free_bytes": device.disk_free_bytes,
        "parts": {
            "num_trainable": num_trainable(config, sizes),
            "weights_bytes": memory.weights_bytes,
            "adapter_bytes": memory.adapter_bytes,
            "optimizer_bytes": memory.optimizer_bytes,
            "activation_bytes": memory.activation_bytes,
            "encoder_bytes": memory.encoder_bytes,
            "load_bytes": memory.load_bytes,
            "clip_memory_bytes": memory.validate_bytes,
            "peak_bytes": memory.peak_bytes,
            "reserved_bytes": memory.reserved_bytes,
            "is_measured": int(basis_of(config, data=data, sizes=sizes, kind=device.kind) == "measured"),
            "cache_bytes": disk.cache_bytes,
            "checkpoint_bytes": disk.checkpoint_bytes,
            "num_checkpoints": disk.num_checkpoints,
            "export_bytes": disk.export_bytes,
            "clip_bytes": disk.clip_bytes,
            "prepare_s": round(duration.prepare_s, 1),
            "load_s": round(duration.load_s, 1),
            "train_s": round(duration.train_s, 1),
            "validate_s": round(duration.validate_s, 1),
            "step_s": round(duration.step_s, 4),
        },
    }


def num_steps_per_epoch(config: Config, num_songs: int) -> int:
    """Optimizer steps of one pass over the songs, at least one; buckets' last batches are not known here."""
    songs_per_step: int = config.train_batch_size * config.gradient_accumulation_steps
    return max(1, math.ceil(num_songs / songs_per_step))
