"""Writing files so that nothing is ever half there: aside, fsynced, renamed.

Every cache entry, setting, sidecar and checkpoint goes through these few functions, so a test can make any fail.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from engine.contract.errors import as_disk_error, is_disk_failure


@contextmanager
def open_aside(path: Path, *, action: str = "writing a file") -> Iterator[BinaryIO]:
    """A file to write ``path`` with, all or nothing: it takes that name when the block ends well; parents are made.

    Raises:
        DiskError: The disk is full or not writable; no partial file is left behind.
    """
    # Host and process id keep two writers of one shared cache apart; the last rename wins with equal content.
    aside = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if is_disk_failure(error):
            raise as_disk_error(error, action=action, path=path) from error
        raise
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes, *, action: str = "writing a file") -> None:
    """Write ``content`` to ``path`` all or nothing; parents are made.

    Raises:
        DiskError: The disk is full or not writable; no partial file is left behind.
    """
    with open_aside(path, action=action) as file:
        file.write(content)


def remove_left_behind(folder: Path) -> None:
    """Remove what killed `open_aside` calls left in ``folder``, but nothing of a living process or another host."""
    name = re.compile(rf"\..+\.{re.escape(platform.node())}-(\d+)\.tmp")
    for path in folder.glob(".*.tmp"):
        written_by = name.fullmatch(path.name)
        if written_by and not _is_running(int(written_by[1])):
            path.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True


def write_json(path: Path, value: Any, *, action: str = "writing a file") -> None:
    """`write_atomic` of indented, key-ordered-as-given JSON with a final newline."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode(), action=action)


def read_json(path: Path) -> Any:
    """Parse a JSON file written by `write_json` (UTF-8, a byte-order mark is accepted)."""
    return json.loads(path.read_text(encoding="utf-8-sig"))


def file_bytes(path: Path) -> int:
    """Bytes of a file; 0 where there is none, or none any more."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` durable; a no-op where folders cannot be opened (Windows, some network disks)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
