"""Readings of the device and the host, as events."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from engine.contract.events import Hardware
from engine.hardware.gpu import GpuReading, NvidiaGpu, visible_gpu
from engine.hardware.host import disk_free_bytes, read_host
from engine.hardware.mps import read_apple


class HardwareReader:
    """Reads the training device through torch and NVML, and the host; what cannot be known is None.

    Args:
        device: The device that trains.
        folder: Free space is read for the disk of this folder.
    """

    def __init__(self, device: torch.device, folder: Path) -> None:
        self._device = device
        self._folder = folder
        self._cards = [_Card(index) for index in range(torch.cuda.device_count())] if device.type == "cuda" else []
        self._apple = read_apple() if device.type == "mps" else None
        self._is_first = True

    def read(self) -> Hardware:
        """One reading."""
        host = read_host()
        cards = [card.read() for card in self._cards]
        gpu = self._training_gpu(cards)
        reserved, peak = _torch_memory(self._device)
        # The load is that since the reading before: the first one has none.
        cpu_percent, self._is_first = None if self._is_first else host.cpu_percent, False
        return Hardware(
            vram_used_bytes=gpu.used_bytes,
            vram_reserved_bytes=reserved,
            vram_peak_bytes=peak,
            vram_total_bytes=gpu.total_bytes,
            gpu_percent=gpu.percent,
            gpu_celsius=gpu.celsius,
            gpu_watts=gpu.watts,
            gpu_name=gpu.name,
            gpu_watts_limit=gpu.watts_limit,
            gpu_fan_percent=gpu.fan_percent,
            gpus=tuple(_plain(card) for card in cards) if len(cards) > 1 else (),
            ram_total_bytes=host.total_bytes,
            ram_bytes=host.process_bytes,
            ram_free_bytes=host.free_bytes,
            cpu_percent=cpu_percent,
            disk_free_bytes=disk_free_bytes(self._folder),
        )

    def _training_gpu(self, cards: list[GpuReading]) -> GpuReading:
        if self._apple is not None:
            return GpuReading(name=self._apple.name, total_bytes=self._apple.lent_bytes)
        return cards[self._device.index or 0] if cards else GpuReading()


class _Card:
    """A card that torch sees: its name and size by torch, the rest by NVML."""

    def __init__(self, index: int) -> None:
        self._properties = torch.cuda.get_device_properties(index)
        # By UUID: torch counts only visible cards and the fastest first, NVML all of them in the order of their slots.
        self._gpu: NvidiaGpu | None = NvidiaGpu(f"GPU-{self._properties.uuid}")
        if not self._gpu.is_there:
            found = visible_gpu(os.environ.get("CUDA_VISIBLE_DEVICES"), index)
            self._gpu = None if found is None else NvidiaGpu(found)

    def read(self) -> GpuReading:
        reading = GpuReading() if self._gpu is None else self._gpu.read()
        return replace(
            reading,
            name=reading.name or self._properties.name,
            total_bytes=reading.total_bytes or self._properties.total_memory,
        )


def _plain(card: GpuReading) -> dict[str, Any]:
    """A card in `Hardware.gpus`."""
    names = ("name", "used_bytes", "total_bytes", "percent", "celsius", "watts")
    return {name: getattr(card, name) for name in names}


def _torch_memory(device: torch.device) -> tuple[int | None, int | None]:
    """Bytes reserved by torch's allocator, and the most ever allocated."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device), torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory(), None
    return None, None
