"""The run folder: the only link between a worker and its viewers (design: architecture.md, "The run folder")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ADAPTER_FILE = "pytorch_lora_weights.safetensors"
# In a checkpoint and in the run's folder: the averaged weights.
EMA_FOLDER = "ema"
CHECKPOINT_PATTERN = re.compile(r"^checkpoint-(\d+)(-rolling)?$")
# What a proposed folder begins with: its date and time.
_DATED = re.compile(r"^\d{4}-\d{2}-\d{2}_\d{4}_")
PARTIAL_SUFFIX = "-tmp"
GUARD_FILE = ".guard"
# A checkpoint with this file in it is never removed to make room; people put it there.
KEEP_FILE = ".keep"


def short_name(name: str) -> str:
    """A run's name without the date that proposed folders begin with: ``2026-11-22_1349_night-ferry``."""
    return _DATED.sub("", name) or name


@dataclass(frozen=True, slots=True)
class RunDir:
    """Paths inside one run folder. Makes no folder by itself."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name: the folder's."""
        return self.path.name

    @property
    def config_json(self) -> Path:
        """The effective configuration: flat, complete, re-runnable as it is."""
        return self.path / "config.json"

    @property
    def origins_json(self) -> Path:
        """Origin of each value, contract version, summary of the scan."""
        return self.path / "origins.json"

    @property
    def worker_json(self) -> Path:
        """Process id, start time, boot id, host, versions and arguments of the worker."""
        return self.path / "worker.json"

    @property
    def worker_log(self) -> Path:
        """Raw stdout and stderr of the worker."""
        return self.path / "worker.log"

    @property
    def events_jsonl(self) -> Path:
        """The append-only truth; one writer."""
        return self.path / "events.jsonl"

    @property
    def control(self) -> Path:
        """Folder of command files, renamed in by viewers and deleted by the worker."""
        return self.path / "control"

    @property
    def cache_json(self) -> Path:
        """Which entries of the cache its newest start takes."""
        return self.path / "cache.json"

    @property
    def lock(self) -> Path:
        """Held by the worker for life."""
        return self.path / "lock"

    @property
    def validation(self) -> Path:
        """Validation clips and their sidecars."""
        return self.path / "validation"

    @property
    def export(self) -> Path:
        """The shareable form of the adapter: export/NAME/, under the name that people call the run."""
        return self.path / "export" / short_name(self.name)

    def checkpoint(self, step: int, *, rolling: bool = False) -> Path:
        """The folder of one checkpoint."""
        return self.path / (f"checkpoint-{step}" + ("-rolling" if rolling else ""))

    def checkpoints(self) -> list[Path]:
        """All checkpoint folders by rising step, whole or not; partial ones (``-tmp``) are never listed."""
        if not self.path.is_dir():
            return []
        found = [entry for entry in self.path.iterdir() if entry.is_dir() and CHECKPOINT_PATTERN.match(entry.name)]
        return sorted(found, key=lambda entry: (checkpoint_step(entry), entry.name))

    def whole_checkpoints(self) -> list[Path]:
        """Checkpoints whose guard landed, by rising step."""
        return [entry for entry in self.checkpoints() if (entry / GUARD_FILE).exists()]


def checkpoint_step(folder: Path) -> int:
    """The step in a checkpoint folder's name.

    Raises:
        ValueError: The name is not that of a checkpoint.
    """
    match = CHECKPOINT_PATTERN.match(folder.name)
    if match is None:
        raise ValueError(f"{folder.name} is not the name of a checkpoint")
    return int(match.group(1))
