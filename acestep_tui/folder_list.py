"""What is in a folder, for choosing one: its folders with what they hold, its audio files. For a thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract.model_files import TRANSFORMER_FOLDER
from engine.dataset.folder import AUDIO_SUFFIXES

# A folder of a hundred thousand files is not counted to its end.
_MOST_COUNTED = 5000


@dataclass(frozen=True, slots=True)
class Inside:
    """What a folder holds itself, without what its folders hold.

    Attributes:
        num_audio: Audio files.
        num_folders: Folders.
        has_model: It is laid out as a model.
        is_cut: There is more than was counted.
        problem: Why it cannot be listed; empty otherwise.
    """

    num_audio: int = 0
    num_folders: int = 0
    has_model: bool = False
    is_cut: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FolderList:
    """A folder that is open.

    Attributes:
        folder: Which.
        folders: Names of its folders, hidden ones too.
        files: Names of its audio files.
        problem: Why it cannot be listed; empty otherwise.
    """

    folder: Path
    folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    problem: str = ""


def list_folder(folder: Path) -> FolderList:
    """List a folder; nothing is raised."""
    folders, files = [], []
    try:
        for name, is_folder in _entries(folder):
            if is_folder:
                folders.append(name)
            elif is_audio(name):
                files.append(name)
    except OSError as error:
        return FolderList(folder, problem=error.strerror or str(error))
    return FolderList(folder, tuple(sorted(folders, key=str.casefold)), tuple(sorted(files, key=str.casefold)))


def look_inside(folder: Path) -> Inside:
    """Count what a folder holds; nothing is raised."""
    num_audio = num_folders = num_seen = 0
    has_model = False
    try:
        for name, is_folder in _entries(folder):
            num_seen += 1
            if num_seen > _MOST_COUNTED:
                return Inside(num_audio, num_folders, has_model, is_cut=True)
            num_folders += is_folder and not name.startswith(".")
            num_audio += not is_folder and is_audio(name)
            has_model = has_model or (is_folder and name == TRANSFORMER_FOLDER)
    except OSError as error:
        return Inside(problem=error.strerror or str(error))
    return Inside(num_audio, num_folders, has_model)


def nearest_folder(path: Path) -> Path:
    """The path itself where it is a folder, else the nearest one above it that is."""
    for one in (path, *path.parents):
        try:
            if one.is_dir():
                return one
        except (OSError, ValueError):
            continue
    return Path("/")


def is_audio(name: str) -> bool:
    """Whether a file's name is that of an audio file that is not hidden."""
    return not name.startswith(".") and name.lower().endswith(AUDIO_SUFFIXES)


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Name and whether it is, or links to, a folder."""
    with os.scandir(folder) as listing:
        for entry in listing:
            try:
                yield entry.name, entry.is_dir()
            except OSError:  # a link that bites its own tail
                yield entry.name, False
