"""Deleting songs that cannot be used, for those who ask for it in so many words (config-formats.md section 1.9).

Only what the scan has just named, only in the folders of the data sets, only files that can be read as such; and never
most of a folder at once: then something else is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.contract.backends import DEMO_SONGS, Backends
from engine.contract.config import Config
from engine.contract.paths import expanded
from engine.dataset.report import Problem, ScanReport
from engine.train.prepare import Reporter

PROBLEMATIC = frozenset({"unreadable"})
UNWANTED = frozenset({"too_short", "too_long"})

LARGEST_SHARE = 0.5
"""Of the files of a scan; beyond it nothing is deleted."""


def delete_unusable(config: Config, backends: Backends, report: ScanReport, reporter: Reporter) -> list[Path]:
    """Delete what ``delete_problematic_images`` and ``delete_unwanted_images`` ask for; each file is said.

    Args:
        config: The two keys; both off = nothing happens.
        backends: Their folders; rows of a hub data set are never touched.
        report: What the scan named.
        reporter: Told of every deletion, and of what was not deleted.

    Returns:
        The files that are gone.
    """
    codes = (PROBLEMATIC if config.delete_problematic_images else frozenset()) | (
        UNWANTED if config.delete_unwanted_images else frozenset()
    )
    doomed = [problem for problem in report.left_out if problem.code in codes]
    if not doomed:
        return []
    if len(doomed) > LARGEST_SHARE * report.num_files:
        reporter.warn(
            "nothing_deleted",
            f"{len(doomed)} of {report.num_files} files would be deleted (delete_problematic_images, "
            "delete_unwanted_images); that is most of them, so something else is wrong and none is",
        )
        return []
    folders = [
        expanded(backend.instance_data_dir)
        for backend in backends.training
        if backend.rows is None and backend.instance_data_dir != DEMO_SONGS
    ]
    return [path for problem in doomed if (path := _deleted(problem, folders, reporter)) is not None]


def _deleted(problem: Problem, folders: Sequence[Path], reporter: Reporter) -> Path | None:
    """Delete one file, if it is certain which one is meant."""
    found = [folder / problem.file for folder in folders if (folder / problem.file).is_file()]
    if len(found) != 1:
        reporter.warn("not_deleted", f"{problem.file} was not deleted: {len(found)} data sets have such a file")
        return None
    [path] = found
    try:
        with path.open("rb") as file:
            file.read(1)  # who may not read it cannot know that it is damaged
        path.unlink()
    except OSError as error:
        reporter.warn("not_deleted", f"{path} was not deleted: {error.strerror or error}")
        return None
    reporter.warn("file_deleted", f"{path} was deleted ({problem.reason.removeprefix('left out: ')})")
    return path
