"""Where things outside a run folder live."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from engine import __version__

if TYPE_CHECKING:
    from engine.contract.config import Config


# Linux takes 4,096 bytes, of which the working directory may need some.
_LONGEST_PATH = 3000


def expanded(path: str | Path) -> Path:
    """``~`` and ``~name`` as the shell reads them: of a user that there is not, the name stays as it was typed.

    `Path.expanduser` raises then, and what is half typed is often such a name.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def is_too_long(path: str | Path) -> bool:
    """Whether no disk can hold a file of this name: asking for it raises instead of saying that it is not there."""
    name = os.fspath(path)
    return len(os.fsencode(name)) > _LONGEST_PATH or any(len(os.fsencode(part)) > 255 for part in Path(name).parts)


def cache_root(config: Config | None = None) -> Path:
    """The shared cache: ``$ACESTEP_CACHE``, else the setting ``cache_dir``, else the user's cache folder."""
    if chosen := os.environ.get("ACESTEP_CACHE"):
        return expanded(chosen)
    if config is not None and config.cache_dir:
        return expanded(config.cache_dir)
    return user_cache() / "acestep-tui"


def quantised_models(config: Config | None = None) -> Path:
    """Where models stored with fewer digits are kept for the next start."""
    return cache_root(config) / "quantised"


def compiled_code(config: Config | None = None) -> Path:
    """Where the compiler keeps what it made, for the next start."""
    return cache_root(config) / "compiled"


def user_cache() -> Path:
    """``$XDG_CACHE_HOME``, or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def demo_folder(config: Config | None = None) -> Path:
    """Where the demo's songs and model are kept; another version of the program writes its own."""
    return cache_root(config) / "demo" / __version__


def demo_model(config: Config | None = None) -> Path:
    """The demo's model, written there at the first start that needs it."""
    return demo_folder(config) / "tiny-model"
