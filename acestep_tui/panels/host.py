"""What is known of the computer itself: memory, processor, disk. Half of panel 3, all of it where no card trains."""

from __future__ import annotations

import math

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.pieces import figure, gigabytes, of_gigabytes, share_of
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, WARNING, Part, bar, fit, join, text

# Less than this much of the main memory left is worth a look.
_TIGHT = 0.9


def taken_bytes(state: RunState) -> int | None:
    """Main memory taken by all programs; None when not known."""
    reading = state.hardware
    if reading is None or reading.ram_total_bytes is None or reading.ram_free_bytes is None:
        return None
    return max(reading.ram_total_bytes - reading.ram_free_bytes, 0)


def memory_rows(state: RunState, width: int) -> list[Content]:
    """Main memory with its bar, and what of it training takes."""
    reading = state.hardware
    taken, total = taken_bytes(state), reading.ram_total_bytes if reading is not None else None
    share = share_of(taken, total)
    planned = state.plan.ram_bytes if state.plan is not None else None
    own = reading.ram_bytes if reading is not None else None
    parts = [f"training {gigabytes(own)}"]
    if state.ram_highest_bytes is not None:
        parts.append(f"highest {gigabytes(state.ram_highest_bytes)}")
    if planned:
        parts.append(f"plan {gigabytes(planned)}")
    return [
        figure("Main memory", of_gigabytes(taken, total), width),
        bar(width, share, style=WARNING if share is not None and share > _TIGHT else ACCENT),
        fit((", ".join(parts), MUTED), width),
    ]


def processor_rows(state: RunState, width: int) -> list[Content]:
    """How busy the processor is, with its bar."""
    percent = state.hardware.cpu_percent if state.hardware is not None else None
    return [figure("Processor", percent_of(percent), width), bar(width, share_of(percent, 100.0))]


def disk_rows(state: RunState, width: int) -> list[Content]:
    """Free space where the run writes, what the run has taken of it, and what it was to take."""
    free = state.hardware.disk_free_bytes if state.hardware is not None else None
    if state.folder_facts is not None and state.folder_facts.disk_free_bytes is not None:
        free = state.folder_facts.disk_free_bytes
    taken = state.folder_facts.size_bytes if state.folder_facts is not None else None
    value: Part = join((fmt.size(free), BOLD), (" free", MUTED)) if free is not None else (fmt.UNKNOWN, BOLD)
    rows = [figure("Disk", value, width)]
    told = [f"this run {fmt.size(taken)}"] if taken else []
    if state.plan is not None:
        told.append(f"planned {fmt.size(state.plan.disk_bytes)}")
    return [*rows, fit((", ".join(told), MUTED), width)] if told else rows


def computer_rows(state: RunState, width: int) -> list[Content]:
    """The panel of a run that trains on the processor."""
    return [*memory_rows(state, width), *processor_rows(state, width), *disk_rows(state, width)]


def percent_of(percent: float | None) -> Content:
    """``97 %`` with the sign muted; – when not known."""
    if percent is None or not math.isfinite(percent):
        return text(fmt.UNKNOWN, BOLD)
    return join((f"{percent:.0f}", BOLD), (" %", MUTED))


def worker_rows(state: RunState, width: int) -> list[Content]:
    """Who trains: host, process, versions."""
    worker = state.worker
    host = worker.host or (state.started.host if state.started is not None else "")
    pid = worker.pid if worker.pid is not None else (state.started.pid if state.started is not None else None)
    rows = [
        figure("Trains on", text(host or fmt.UNKNOWN, BOLD), width),
        figure("Process", text(str(pid) if pid is not None else fmt.UNKNOWN, BOLD), width),
    ]
    rows += [figure(name, text(str(version), BOLD), width) for name, version in worker.versions.items() if version]
    return rows
