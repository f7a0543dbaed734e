"""What a card holds while something runs on it: torch's peaks, what the driver counts, phase by phase."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import torch

from engine.hardware.gpu import NvidiaGpu, list_gpus, visible_gpu

GIB = 2**30
SAMPLE_EVERY_S = 0.05


def machine() -> dict[str, Any]:
    """Card, driver and versions, for the head of a table."""
    cards = list_gpus()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "device": name,
        "driver": cards[0].driver if cards else None,
        "date": date.today().isoformat(),
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()},
        "allocator": os.environ.get("PYTORCH_ALLOC_CONF") or os.environ.get("PYTORCH_CUDA_ALLOC_CONF") or "",
    }


class ProcessMemory:
    """What the driver counts for this process: the card's used bytes less those used before it began.

    By process id the driver tells it too, but inside a container the ids are the host's. So nothing else may use the
    card meanwhile. Make it before anything of this process is on the card.
    """

    def __init__(self) -> None:
        visible = visible_gpu(os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._gpu = NvidiaGpu(0 if visible is None else visible)
        self._before = self._gpu.read().used_bytes

    def read(self) -> int | None:
        """Bytes; None without an NVIDIA card."""
        used = self._gpu.read().used_bytes
        return None if used is None or self._before is None else used - self._before


@dataclass
class Peaks:
    """The most that was seen, in bytes; and what was allocated when it began."""

    peak_bytes: int = 0
    reserved_bytes: int = 0
    nvml_bytes: int = 0
    start_bytes: int = 0

    def add(self, *, peak: int, reserved: int, nvml: int) -> None:
        """Take a reading in."""
        self.peak_bytes = max(self.peak_bytes, peak)
        self.reserved_bytes = max(self.reserved_bytes, reserved)
        self.nvml_bytes = max(self.nvml_bytes, nvml)

    def to_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


@dataclass
class PhaseMeter:
    """Peaks of the phases of a run; a phase inside another counts for both.

    Whoever else resets torch's peaks meanwhile (the proof of the first step does) loses nothing for this meter: inside
    `watching` each reset is preceded by a reading.
    """

    process: ProcessMemory
    phases: dict[str, Peaks] = field(default_factory=dict)
    whole: Peaks = field(default_factory=Peaks)
    _open: list[str] = field(default_factory=list)
    _nvml: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def note(self) -> None:
        """Count what was seen since the last call for every phase that is open."""
        if not torch.cuda.is_available() or not torch.cuda.is_initialized():
            return
        with self._lock:
            self._sample()
            peak, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
            for peaks in [self.whole, *(self.phases.setdefault(name, Peaks()) for name in self._open)]:
                peaks.add(peak=peak, reserved=reserved, nvml=self._nvml)
            self._nvml = 0

    def enter(self, phase: str) -> None:
        """A phase begins."""
        self._restart()
        self._open.append(phase)
        if phase not in self.phases:
            self.phases[phase] = Peaks(start_bytes=_allocated())

    def leave(self, phase: str) -> None:
        """It ends."""
        self._restart()
        if phase in self._open:
            self._open.remove(phase)

    def _restart(self) -> None:
        self.note()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            _reset_peaks()

    def _sample(self) -> None:
        self._nvml = max(self._nvml, self.process.read() or 0)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Read the driver's figure again and again, in a thread."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_EVERY_S):
                with self._lock:
                    self._sample()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()

        def reset(*arguments: Any, **named: Any) -> None:
            self.note()
            _reset_peaks(*arguments, **named)

        torch.cuda.reset_peak_memory_stats = reset
        try:
            yield
        finally:
            torch.cuda.reset_peak_memory_stats = _reset_peaks
            ended.set()
            thread.join()
            self.note()


def _allocated() -> int:
    return torch.cuda.memory_allocated() if torch.cuda.is_available() and torch.cuda.is_initialized() else 0


_reset_peaks: Callable[..., None] = torch.cuda.reset_peak_memory_stats


def cap(num_bytes: float | None) -> None:
    """Let torch take no more than so many bytes of the card, as a smaller card would; None = all of them."""
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        share = 1.0 if num_bytes is None else min(1.0, num_bytes / total)
        torch.cuda.set_per_process_memory_fraction(share)
