"""The mock-up's model, whole, missing and on its way; made up, never in code."""

from __future__ import annotations

from pathlib import Path

from engine.contract.events import DownloadProgress
from engine.contract.model_files import RELEASED_MODEL, SUB_FOLDERS
from engine.hardware.models import ModelStatus, PartStatus
from tests.tui.wizard_facts import GB

TOTALS = (6.6, 0.306, 0.2, 1.074)
HERE = (2.845, 0.306, 0.2, 0.0)


def bytes_of(gigabytes: float) -> int:
    return int(gigabytes * GB)


def missing(name: str = RELEASED_MODEL, *, with_totals: bool = True) -> ModelStatus:
    totals = [bytes_of(total) if with_totals else None for total in TOTALS]
    parts = tuple(PartStatus(part, "missing", 0, total) for part, total in zip(SUB_FOLDERS, totals, strict=True))
    return ModelStatus(name, "hub", None, parts)


def whole(name: str = RELEASED_MODEL) -> ModelStatus:
    parts = (PartStatus(part, "whole", bytes_of(n), bytes_of(n)) for part, n in zip(SUB_FOLDERS, TOTALS, strict=True))
    return ModelStatus(name, "hub", Path("/models/ace"), tuple(parts))


def progress(here: tuple[float, ...] = HERE, rate: float | None = 61.49 * 2**20) -> DownloadProgress:
    parts = {
        part: [bytes_of(done), bytes_of(total)] for part, done, total in zip(SUB_FOLDERS, here, TOTALS, strict=True)
    }
    done, total = (sum(pair[place] for pair in parts.values()) for place in (0, 1))
    return DownloadProgress(model=RELEASED_MODEL, done_bytes=done, total_bytes=total, bytes_per_s=rate, parts=parts)
