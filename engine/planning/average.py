"""What the moving average of the weights takes: numbers beside those that are trained. An estimate."""

from __future__ import annotations

from engine.contract.config import Config
from engine.planning.facts import DeviceKind

_BYTES = 4  # the average is float32 whatever the weights are


def average_bytes(config: Config, num_trainable: int) -> int:
    """Bytes of the average, wherever it lies; 0 without ``use_ema``."""
    return num_trainable * _BYTES if config.use_ema else 0


def average_on_device(config: Config, kind: DeviceKind) -> bool:
    """Whether it lies in the memory of the device that trains (without a card that is main memory)."""
    return kind != "cuda" or (config.ema_device == "accelerator" and not config.ema_cpu_only)


def saved_average_bytes(config: Config, num_trainable: int) -> int:
    """Bytes in each checkpoint and in the run's folder: the numbers themselves, and a LoRA's file of them."""
    return average_bytes(config, num_trainable) * (1 if config.model_type == "full" else 2)
