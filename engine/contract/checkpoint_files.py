"""Whether a checkpoint is whole: its guard landed last, and every file still matches the manifest written with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.errors import ModelError
from engine.contract.files import read_json
from engine.contract.run_dir import GUARD_FILE

MANIFEST_FILE = "checkpoint_manifest.json"

_HINT = "Go on from an older checkpoint with --resume_from_checkpoint=checkpoint-N, or start anew with --fresh."


def sha256(path: Path, *, should_stop: Callable[[], bool] | None = None) -> str:
    """Hex digest of a file's bytes.

    Raises:
        InterruptedError: ``should_stop``, asked at every megabyte, said so.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            if should_stop is not None and should_stop():
                raise InterruptedError(f"{path}: not read to its end")
            digest.update(block)
    return digest.hexdigest()


def check_manifest(folder: Path, *, should_stop: Callable[[], bool] | None = None) -> dict[str, Any]:
    """The manifest of a checkpoint whose files are all there and unchanged.

    Raises:
        ModelError: Guard or manifest missing, or a file missing, short or changed.
        InterruptedError: ``should_stop`` said so.
    """
    if not (folder / GUARD_FILE).exists():
        raise ModelError(f"{folder}: not whole (no {GUARD_FILE}: the save was interrupted)", hint=_HINT)
    try:
        manifest: dict[str, Any] = read_json(folder / MANIFEST_FILE)
        files = {str(name): (int(facts["bytes"]), str(facts["sha256"])) for name, facts in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder / MANIFEST_FILE}: cannot be read: {error}", hint=_HINT) from error
    for name, (num_bytes, digest) in files.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{path}: missing", hint=_HINT)
        if path.stat().st_size != num_bytes or sha256(path, should_stop=should_stop) != digest:
            raise ModelError(f"{path}: does not match its checksum", hint=_HINT)
    return manifest
