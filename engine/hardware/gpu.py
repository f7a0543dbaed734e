"""NVIDIA cards through NVML: memory, load, temperature, power. Unknown is None, never an exception."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One reading of one card."""

    name: str | None = None
    total_bytes: int | None = None
    used_bytes: int | None = None
    percent: float | None = None
    celsius: float | None = None
    watts: float | None = None


class NvidiaGpu:
    """A card that is read again and again; reads as unknown where there is no NVIDIA driver.

    Args:
        index: Position among the cards, or a UUID ("GPU-…") as ``CUDA_VISIBLE_DEVICES`` may hold.
        nvml: The `pynvml` module; another one in tests.
    """

    def __init__(self, index: int | str = 0, *, nvml: Any = None) -> None:
        self._nvml = nvml if nvml is not None else _import_nvml()
        self._handle: Any = None
        if self._nvml is not None:
            self._handle = _known(lambda: self._open(index))

    def _open(self, index: int | str) -> Any:
        self._nvml.nvmlInit()
        if isinstance(index, str):
            return self._nvml.nvmlDeviceGetHandleByUUID(index)
        return self._nvml.nvmlDeviceGetHandleByIndex(index)

    def read(self) -> GpuReading:
        """The card as it is now."""
        nvml, handle = self._nvml, self._handle
        if handle is None:
            return GpuReading()
        name = _known(lambda: nvml.nvmlDeviceGetName(handle))
        memory = _known(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        milliwatts = _known(lambda: float(nvml.nvmlDeviceGetPowerUsage(handle)))
        return GpuReading(
            name=name.decode() if isinstance(name, bytes) else name,
            total_bytes=int(memory.total) if memory is not None else None,
            used_bytes=int(memory.used) if memory is not None else None,
            percent=_known(lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            celsius=_known(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
            watts=milliwatts / 1000 if milliwatts is not None else None,
        )

    def close(self) -> None:
        """Let go of NVML."""
        if self._handle is not None:
            self._handle = None
            _known(self._nvml.nvmlShutdown)


def visible_gpu(visible: str | None, index: int = 0) -> int | str | None:
    """Which card CUDA's device ``index`` is, by the value of ``CUDA_VISIBLE_DEVICES``; None if none is visible."""
    if visible is None:
        return index
    entries = [entry.strip() for entry in visible.split(",") if entry.strip()]
    if index >= len(entries) or entries[index] == "-1":
        return None
    return int(entries[index]) if entries[index].isdigit() else entries[index]


def _import_nvml() -> Any:
    try:
        # 10 ms, and only where a reading is wanted.
        import pynvml
    except ImportError:
        return None
    return pynvml


def _known(read: Callable[[], T]) -> T | None:
    """What a call returns, or None: a driver may lack any single reading (no power on laptops, none in containers)."""
    with contextlib.suppress(Exception):
        return read()
    return None
