"""Writing a migrated configuration; what stands there already is kept under another name, never lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import ConfigError, as_disk_error, is_disk_failure
from engine.contract.files import write_json


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written, and the name under which an older one was kept (None: there was none)."""

    path: Path
    backup: Path | None


def write_files(
    files: Mapping[Path, Any], *, force: bool, may_replace: Callable[[list[Path]], bool] | None = None
) -> list[Written]:
    """Write JSON files whole; older ones are renamed to ``NAME.bak1`` and so on first.

    Args:
        files: What to write, by path.
        force: Replace without asking.
        may_replace: Asks whether the files named may be replaced; None where nobody can be asked.

    Raises:
        ConfigError: A file is there already and may not be replaced; nothing was written.
        DiskError: The disk is full or may not be written.
    """
    there = [path for path in files if path.exists() or path.is_symlink()]
    same = [path for path in there if _holds(path, files[path])]
    if there and not force and same != there and not (may_replace is not None and may_replace(there)):
        names = " and ".join(str(path) for path in there)
        raise ConfigError(
            f"{names}: there already; nothing was written",
            hint="--force replaces it and keeps the old one as a backup; --name=NAME takes another folder.",
        )
    written = []
    for path, value in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            backup = _set_aside(path) if path in there and path not in same else None
            if path not in same:
                write_json(path, value, action="writing the configuration")
        except OSError as error:
            if is_disk_failure(error):
                raise as_disk_error(error, action="writing the configuration", path=path) from error
            raise
        written.append(Written(path, backup))
    return written


def _holds(path: Path, value: Any) -> bool:
    from engine.contract.files import read_json

    try:
        return bool(read_json(path) == value)
    except (OSError, ValueError):
        return False


def _set_aside(path: Path) -> Path:
    """Rename a file to the first free ``NAME.bak<n>``."""
    number = 1
    while (backup := path.with_name(f"{path.name}.bak{number}")).exists():
        number += 1
    path.rename(backup)
    return backup
