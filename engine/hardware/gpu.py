"""NVIDIA cards through NVML: memory, load, temperature, power. Unknown is None, never an exception."""

from __future__ import annotations

import contextlib
import os
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
    watts_limit: float | None = None
    fan_percent: float | None = None


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A program that holds memory of a card.

    Attributes:
        pid: Process id; in a container it may be one of the host's.
        name: Of the program; None where it cannot be seen (another container, another user).
        used_bytes: Of the card's memory; None where the driver does not tell.
    """

    pid: int
    name: str | None = None
    used_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GpuCard(GpuReading):
    """One card of this machine, as it is now: which one it is, what drives it, who else is on it.

    Attributes:
        index: Its number for the driver (``nvidia-smi``, and ``CUDA_VISIBLE_DEVICES``).
        uuid: Names it among all cards, wherever it is plugged in.
        driver: Version of the driver.
        cuda: Newest CUDA version that this driver runs, such as ``13.0``.
        compute_capability: Generation, such as (8, 9).
        processes: Who holds its memory, this process left out, the largest first.
    """

    index: int = 0
    uuid: str | None = None
    driver: str | None = None
    cuda: str | None = None
    compute_capability: tuple[int, int] | None = None
    processes: tuple[GpuProcess, ...] = ()


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

    @property
    def is_there(self) -> bool:
        """Whether the driver knows such a card."""
        return self._handle is not None

    def read(self) -> GpuReading:
        """The card as it is now."""
        return GpuReading() if self._handle is None else GpuReading(**_read(self._nvml, self._handle))

    def close(self) -> None:
        """Let go of NVML."""
        if self._handle is not None:
            self._handle = None
            _known(self._nvml.nvmlShutdown)


def list_gpus(*, nvml: Any = None) -> list[GpuCard]:
    """Every NVIDIA card that the driver shows, in its order; empty without card or driver.

    Takes up to a second where the driver sleeps (no persistence mode): for a thread, not for a screen.

    Args:
        nvml: The `pynvml` module; another one in tests.
    """
    nvml = nvml if nvml is not None else _import_nvml()
    if nvml is None or not _is_done(nvml.nvmlInit):
        return []
    try:
        driver = _text(_known(nvml.nvmlSystemGetDriverVersion))
        cuda = _known(lambda: int(nvml.nvmlSystemGetCudaDriverVersion_v2()))
        cuda_text = None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}"
        cards = []
        for index in range(_known(lambda: int(nvml.nvmlDeviceGetCount())) or 0):
            card = _card(nvml, index, driver=driver, cuda=cuda_text)
            if card is not None:
                cards.append(card)
        return cards
    finally:
        _known(nvml.nvmlShutdown)


def visible_gpu(visible: str | None, index: int = 0) -> int | str | None:
    """Which card CUDA's device ``index`` is, by the value of ``CUDA_VISIBLE_DEVICES``; None if none is visible."""
    if visible is None:
        return index
    entries = [entry.strip() for entry in visible.split(",") if entry.strip()]
    if index >= len(entries) or entries[index] == "-1":
        return None
    return int(entries[index]) if entries[index].isdigit() else entries[index]


def _card(nvml: Any, index: int, *, driver: str | None, cuda: str | None) -> GpuCard | None:
    handle = _known(lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if handle is None:
        return None
    capability = _known(lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return GpuCard(
        index=index,
        **_read(nvml, handle),
        uuid=_text(_known(lambda: nvml.nvmlDeviceGetUUID(handle))),
        driver=driver,
        cuda=cuda,
        compute_capability=_known(lambda: (int(capability[0]), int(capability[1]))) if capability else None,
        processes=_processes(nvml, handle),
    )


def _read(nvml: Any, handle: Any) -> dict[str, Any]:
    """The fields of a `GpuReading`."""
    memory: Any = _known(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    return {
        "name": _text(_known(lambda: nvml.nvmlDeviceGetName(handle))),
        "total_bytes": _known(lambda: int(memory.total)),
        "used_bytes": _known(lambda: int(memory.used)),
        "percent": _known(lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
        "celsius": _known(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
        "watts": _known(lambda: float(nvml.nvmlDeviceGetPowerUsage(handle)) / 1000),
        "watts_limit": _known(lambda: float(nvml.nvmlDeviceGetEnforcedPowerLimit(handle)) / 1000),
        "fan_percent": _known(lambda: float(nvml.nvmlDeviceGetFanSpeed(handle))),
    }


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...]:
    """Everybody on the card but this process; one that computes and draws is named by both lists, and counts once."""
    found: dict[int, GpuProcess] = {}
    for listing in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses"):
        for entry in _listed(nvml, handle, listing):
            process = _process(entry)
            before = found.get(process.pid, process)
            found[process.pid] = max(before, process, key=_memory_of)
    found.pop(os.getpid(), None)
    return tuple(sorted(found.values(), key=_memory_of, reverse=True))


def _listed(nvml: Any, handle: Any, listing: str) -> list[Any]:
    return _known(lambda: list(getattr(nvml, listing)(handle))) or []


def _process(entry: Any) -> GpuProcess:
    # 15 ms; only where cards are listed.
    import psutil

    return GpuProcess(
        pid=int(entry.pid),
        name=_known(lambda: psutil.Process(entry.pid).name()),
        used_bytes=_known(lambda: int(entry.usedGpuMemory)),
    )


def _memory_of(process: GpuProcess) -> int:
    return process.used_bytes or 0


def _import_nvml() -> Any:
    try:
        # 10 ms, and only where a reading is wanted.
        import pynvml
    except ImportError:
        return None
    return pynvml


def _text(value: Any) -> str | None:
    """Older versions of the library give bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return None if value is None else str(value)


def _is_done(call: Callable[[], Any]) -> bool:
    return _known(lambda: (call(), True)) is not None


def _known(read: Callable[[], T]) -> T | None:
    """What a call returns, or None: a driver may lack any single reading (no power on laptops, none in containers)."""
    with contextlib.suppress(Exception):
        return read()
    return None
