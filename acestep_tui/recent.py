"""Presets that were saved or opened lately, remembered in the XDG state folder. For a thread."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from acestep_tui.paths import absolute, state_dir
from engine.contract.errors import UserError
from engine.contract.files import write_json

_MOST = 8


def _file() -> Path:
    return state_dir() / "presets.json"


def recent_presets() -> list[Path]:
    """Those that are still there, the newest first."""
    return [path for path in _listed() if path.is_file()]


def remember_preset(path: Path) -> None:
    """Put a preset first in the list; a state folder that cannot be written costs the listing, nothing else."""
    path = absolute(path)
    paths = [path, *(other for other in _listed() if other != path)][:_MOST]
    with contextlib.suppress(UserError, OSError):
        write_json(_file(), {"presets": list(map(str, paths))}, action="remembering the preset")


def _listed() -> list[Path]:
    try:
        data = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    listed = data.get("presets") if isinstance(data, dict) else None
    return [Path(path) for path in listed if isinstance(path, str)] if isinstance(listed, list) else []
