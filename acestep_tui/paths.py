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
    """A path as short as it can be written here: relative inside a project's folder, with ``~`` inside home.

    Where one works in home itself (or above it), ``~`` says more than a bare name: it is also true elsewhere.
    """
    try:
        cwd = Path.cwd()
    except FileNotFoundError:  # the working directory was removed under a viewer
        return str(path)
    home = Path.home()
    is_homely = path.is_relative_to(home) and path != home
    if path.is_relative_to(cwd) and path != cwd and not (is_homely and home.is_relative_to(cwd)):
        return str(path.relative_to(cwd))
    return f"~/{path.relative_to(home)}" if is_homely else str(path)
