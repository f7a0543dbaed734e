"""Readings of the device and the host, as events."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from engine.contract.events import Hardware
from engine.hardware.gpu import GpuReading, NvidiaGpu, visible_gpu
from engine.hardware.host import disk_free_bytes, read_host


class HardwareReader:
    """Reads the training device through torch and NVML, and the host; what cannot be known is None.

    Args:
        device: The device that trains.
        folder: Free space is read for the disk of this folder.
    """

    def __init__(self, device: torch.device, folder: Path) -> None:
        self._device = device
        self._folder = folder
        self._gpu = _nvidia_gpu(device)

    def read(self) -> Hardware:
        """One reading."""
        host = read_host()
        gpu = self._gpu.read() if self._gpu is not None else GpuReading()
        reserved, peak = _torch_memory(self._device)
        return Hardware(
            vram_used_bytes=gpu.used_bytes,
            vram_reserved_bytes=reserved,
            vram_peak_bytes=peak,
            vram_total_bytes=gpu.total_bytes,
            gpu_percent=gpu.percent,
            gpu_celsius=gpu.celsius,
            gpu_watts=gpu.watts,
            ram_bytes=host.process_bytes,
            ram_free_bytes=host.free_bytes,
            cpu_percent=host.cpu_percent,
            disk_free_bytes=disk_free_bytes(self._folder),
        )


def _nvidia_gpu(device: torch.device) -> NvidiaGpu | None:
    if device.type != "cuda":
        return None
    # torch counts only visible cards, NVML all of them.
    index = visible_gpu(os.environ.get("CUDA_VISIBLE_DEVICES"), device.index or 0)
    return None if index is None else NvidiaGpu(index)


def _torch_memory(device: torch.device) -> tuple[int | None, int | None]:
    """Bytes reserved by torch's allocator, and the most ever allocated."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device), torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory(), None
    return None, None
