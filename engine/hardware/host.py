"""The computer itself: processor, main memory, disks. Unknown is None, never an exception."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class HostReading:
    """One reading: this process's memory, the memory left for it, the load of all cores since the reading before."""

    process_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    cpu_percent: float | None = None


def read_host(cgroup: Path = _CGROUP) -> HostReading:
    """Read the host; a container's own memory limit counts, not the machine's."""
    # 15 ms; only workers and `doctor` need it.
    import psutil

    try:
        memory = psutil.virtual_memory()
        process = psutil.Process()
        limit, used = _cgroup_memory(cgroup)
        total, free = int(memory.total), int(memory.available)
        if limit is not None and limit < total:
            total, free = limit, min(free, max(0, limit - (used or 0)))
        return HostReading(
            process_bytes=int(process.memory_info().rss),
            free_bytes=free,
            total_bytes=total,
            cpu_percent=float(psutil.cpu_percent(interval=None)),
        )
    except (psutil.Error, OSError):
        return HostReading()


def boot_id() -> str:
    """The kernel's identifier of this boot, so that a reused process id is not taken for the same process.

    Empty where there is none (macOS).
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def num_cores() -> int:
    """Cores this process may use (its affinity, not the machine's count)."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def disk_free_bytes(path: Path) -> int | None:
    """Free bytes on the disk that holds ``path``, which may not exist yet."""
    for folder in (path, *path.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _cgroup_memory(cgroup: Path) -> tuple[int | None, int | None]:
    """Limit and use of this container's memory (cgroup v2), each None when there is none."""
    return _number(cgroup / "memory.max"), _number(cgroup / "memory.current")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max" means no limit
        return None
