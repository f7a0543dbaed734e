"""A memory that ran out, in words: how much was full, and who else had some of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import torch

from engine.hardware.gpu import GpuProcess, list_gpus, visible_gpu

_ASKED_FOR = re.compile(r"Tried to allocate ([\d.]+) (bytes|[KMGT]iB)")
_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_LEAST_TOLD = 2**28
"""What other programs hold is told from a quarter of a GiB on: a desktop alone takes less."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is known about a memory that ran out.

    Attributes:
        why: What torch or Python said, in one line.
        device_kind: ``cuda``, ``mps`` or ``cpu``.
        needed_bytes: What was asked for.
        free_bytes: What the card had left, before anything was freed.
        total_bytes: All it has.
        others: Other programs with memory of the card, the largest first.
    """

    why: str
    device_kind: str
    needed_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    others: tuple[GpuProcess, ...] = ()

    def words(self, phase: str, step: int) -> str:
        """``GPU memory ran out at step 312: 12.0 GB were full, 3.1 GB of them by another program (blender)``."""
        memory = "memory" if self.device_kind == "cpu" else "GPU memory"
        text = f"{memory[0].upper()}{memory[1:]} ran out {_WHEN.get(phase, 'at step {step:,}').format(step=step + 1)}"
        if self.free_bytes is None or self.total_bytes is None:
            return text
        text += f": {_gigabytes(self.total_bytes - self.free_bytes)} were full"
        known = [process for process in self.others if (process.used_bytes or 0) >= _LEAST_TOLD]
        if known:
            taken = sum(process.used_bytes or 0 for process in known)
            who = "another program" if len(known) == 1 else f"{len(known)} other programs"
            names = ", ".join(dict.fromkeys(process.name for process in known if process.name))
            text += f", {_gigabytes(taken)} of them by {who}{f' ({names})' if names else ''}"
        return text


_WHEN = {
    "cache": "while songs were prepared",
    "load": "while the model was loaded",
    "warmup": "in the measured step, before training began",
    "validate": "while testing before step {step:,}",
    "save": "while saving",
    "finish": "while finishing",
}


def read_shortage(error: BaseException, device: torch.device) -> Shortage:
    """What there is to know about ``error``, while its memory is still held."""
    text = str(error).strip()
    why = text.splitlines()[0] if text else type(error).__name__
    found = _ASKED_FOR.search(text)
    needed = round(float(found[1]) * _UNITS[found[2]]) if found else None
    if device.type != "cuda":
        return Shortage(why, device.type, needed)
    free, total = torch.cuda.mem_get_info(device)
    return Shortage(why, device.type, needed, int(free), int(total), _others(device))


def _others(device: torch.device) -> tuple[GpuProcess, ...]:
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    number = visible_gpu(os.environ.get("CUDA_VISIBLE_DEVICES"), device.index or 0)
    cards = list_gpus()
    card = next((card for card in cards if card.uuid == uuid), None)
    card = card or next((card for card in cards if card.index == number), None)
    return () if card is None else card.processes


def _gigabytes(num_bytes: int) -> str:
    """As cards count: 12.0 GB are 12 times 2^30 bytes."""
    return f"{num_bytes / 2**30:.1f} GB"
