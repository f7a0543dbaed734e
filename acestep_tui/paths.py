"""Where acestep-tui keeps its own files (XDG), and how a path is written for people."""

from __future__ import annotations

import os
from pathlib import Path

from engine.contract.paths import expanded

APP = "acestep-tui"


def state_dir() -> Path:
    """The folder of what should outlive a session: the list of known runs. Not made here."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # The XDG rule: a relative value is invalid and ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
    return root / APP


def absolute(path: str | Path) -> Path:
    """``path`` made absolute against the working directory, ``~`` and ``..`` resolved, links kept."""
    return Path(os.path.abspath(expanded(path)))  # noqa: PTH100 - resolve() follows links


def shown(path: Path) -> str:
    """A path as short as it can be written here: relative inside the working directory, with ``~`` inside home."""
    try:
        cwd = Path.cwd()
    except FileNotFoundError:  # the working directory was removed under a viewer
        return str(path)
    if path.is_relative_to(cwd) and path != cwd:
        return str(path.relative_to(cwd))
    home = Path.home()
    if path.is_relative_to(home) and path != home:
        return f"~/{path.relative_to(home)}"
    return str(path)
