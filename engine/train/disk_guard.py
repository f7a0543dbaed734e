"""Whether the disks hold what a run will write, asked once before anything heavy starts."""

from __future__ import annotations

from pathlib import Path

from engine.contract.byte_size import size_words
from engine.contract.config import Config
from engine.contract.errors import DiskError
from engine.contract.events import Plan
from engine.contract.paths import cache_root
from engine.contract.run_dir import RunDir
from engine.hardware.host import disk_free_bytes
from engine.train.checkpoint import folder_bytes
from engine.train.prepare import Reporter


def check_space(run_dir: RunDir, config: Config, plan: Plan, *, assume_yes: bool, reporter: Reporter) -> None:
    """Refuse a run whose cache, checkpoints and result do not fit on their disks; only warn about its test clips.

    What is there already counts as written: a run that goes on needs no second room for its checkpoints. Test clips are
    left out of the refusal, because an open-ended run would need room for thousands that nobody will wait for.

    Args:
        run_dir: Takes checkpoints, clips and the result.
        config: Says where the cache is.
        plan: Its ``parts`` hold the estimates.
        assume_yes: ``--yes``: warn where the run would be refused.
        reporter: Takes the warnings.

    Raises:
        DiskError: Too little room.
    """
    parts = plan.parts
    written = sum(folder_bytes(folder) for folder in run_dir.whole_checkpoints())
    kept = parts["checkpoint_bytes"] * parts["num_checkpoints"]
    needs = {run_dir.path: max(0.0, kept - written) + parts["export_bytes"], cache_root(config): parts["cache_bytes"]}
    for folders in _by_disk(list(needs)):
        needed, free = sum(needs[folder] for folder in folders), disk_free_bytes(folders[0])
        where = " and ".join(map(str, folders))
        if free is None:
            continue
        if needed > free:
            message = f"the run needs about {size_words(needed)} of disk in {where}; {size_words(free)} are free"
            if not assume_yes:
                raise DiskError(
                    message,
                    hint="Choose another output_dir or cache_dir, keep fewer checkpoints (checkpoints_total_limit), "
                    "or start all the same with --yes.",
                )
            reporter.warn("disk_low", message)
        elif run_dir.path in folders and needed + parts["clip_bytes"] > free:
            reporter.warn(
                "disk_low",
                f"the test clips of the whole run would take about {size_words(parts['clip_bytes'])}; "
                f"{size_words(free)} are free in {run_dir.path}. "
                "Delete old ones on the way, or raise validation_step_interval",
            )


def _by_disk(folders: list[Path]) -> list[list[Path]]:
    """The folders, those on one disk together."""
    disks: dict[int, list[Path]] = {}
    for folder in folders:
        disks.setdefault(_device_of(folder), []).append(folder)
    return list(disks.values())


def _device_of(folder: Path) -> int:
    for existing in (folder, *folder.absolute().parents):
        if existing.exists():
            return existing.stat().st_dev
    return -1
