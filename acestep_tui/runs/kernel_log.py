"""Whether the kernel itself ended a process because memory ran out: read from its log, where that may be read."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence

from acestep_tui.runs.facts import KernelKill, ProcessMemory

_TIMEOUT_S = 5.0
# The kill is logged at the moment of death; clocks of kernel and worker are the same, buffers are not.
_AROUND_S = 120.0
# A worker whose heartbeat hangs with it may be silent for a while before it is ended.
_LATEST_S = 3600.0
_NUM_OTHERS = 3

# “Out of memory: Killed process 48213 (python) total-vm:…kB, anon-rss:9437184kB, …”; a container's own limit says
# “Memory cgroup out of memory: Killed process …”.
_KILLED = re.compile(r"[Oo]ut of memory: Killed process (\d+) \((.*?)\)(?: total-vm:\d+kB)?(?:, anon-rss:(\d+)kB)?")
# The list that the kernel writes before it: “[  pid  ]   uid  tgid total_vm      rss … name”, pages of memory.
_HEAD = re.compile(r"\[\s*pid\s*\]\s+uid\s+tgid\s+total_vm\s+rss\b")
_ROW = re.compile(r"\[\s*(\d+)\]\s+\d+\s+\d+\s+\d+\s+(\d+)\s.*?(\S+)\s*$")
# `journalctl -o short-unix`: seconds since 1970; dmesg: seconds since the boot, in brackets.
_UNIX = re.compile(r"^(\d+\.\d+) ")
_SINCE_BOOT = re.compile(r"^\[\s*(\d+\.\d+)\]")


def find_kill(pid: int, *, died_t: float, lines: Sequence[str] | None = None) -> tuple[KernelKill | None, bool]:
    """The kernel's line about ending process ``pid`` around ``died_t``, and whether its log could be read at all.

    Args:
        pid: The process.
        died_t: When it was last heard of; the line must be of about then, since numbers of processes are used again.
        lines: The log, when it is known already; else it is read.
    """
    lines = read_kernel_log(since_t=died_t - _AROUND_S) if lines is None else lines
    if lines is None:
        return None, False
    rows: list[ProcessMemory] = []
    found: KernelKill | None = None
    for line in lines:
        if _HEAD.search(line):
            rows = []
        elif (killed := _KILLED.search(line)) is not None:
            t = _moment(line)
            is_near = t is None or t - _LATEST_S <= died_t <= t + _AROUND_S
            if int(killed[1]) == pid and is_near:
                found = KernelKill(
                    t=t,
                    line=_text(line),
                    pid=pid,
                    name=killed[2],
                    bytes=int(killed[3]) * 1024 if killed[3] else None,
                    others=_largest(rows, but=pid),
                )
            rows = []
        elif (row := _ROW.search(line)) is not None:
            rows.append(ProcessMemory(row[3], int(row[1]), int(row[2]) * os.sysconf("SC_PAGE_SIZE")))
    return found, True


def read_kernel_log(*, since_t: float) -> list[str] | None:
    """The kernel's log since a moment, from the journal or else its buffer; None where it may not be read."""
    for command in (
        ["journalctl", "-k", "-o", "short-unix", "--no-pager", "-q", f"--since=@{since_t:.0f}"],
        ["dmesg"],
    ):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.splitlines()
    return None


def _largest(rows: Sequence[ProcessMemory], *, but: int) -> tuple[ProcessMemory, ...]:
    others = [row for row in rows if row.pid != but]
    return tuple(sorted(others, key=lambda row: row.bytes, reverse=True)[:_NUM_OTHERS])


def _moment(line: str) -> float | None:
    """When a line was written, in seconds since 1970; None when it does not say."""
    if (unix := _UNIX.match(line)) is not None:
        return float(unix[1])
    since_boot = _SINCE_BOOT.match(line)
    if since_boot is None or not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + float(since_boot[1])


def _text(line: str) -> str:
    """The kernel's words without time and host."""
    return line[
        line.index("Memory cgroup") if "Memory cgroup" in line else line.lower().index("out of memory") :
    ].strip()
