"""Where things outside a run folder live."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.contract.config import Config


def cache_root(config: Config | None = None) -> Path:
    """The shared cache: ``$ACESTEP_CACHE``, else the setting ``cache_dir``, else the user's cache folder."""
    if chosen := os.environ.get("ACESTEP_CACHE"):
        return Path(chosen).expanduser()
    if config is not None and config.cache_dir:
        return Path(config.cache_dir).expanduser()
    return user_cache() / "acestep-tui"


def user_cache() -> Path:
    """``$XDG_CACHE_HOME``, or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
