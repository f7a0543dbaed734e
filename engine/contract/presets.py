"""The presets that come with the program: in a checkout beside ``engine``, in an installed wheel inside it."""

from __future__ import annotations

from pathlib import Path

_ENGINE = Path(__file__).resolve().parents[1]


def presets_folder() -> Path:
    """The folder of shipped presets."""
    inside = _ENGINE / "presets"
    return inside if inside.is_dir() else _ENGINE.parent / "presets"


def examples_folder() -> Path:
    """The folder of bundled examples, which files written for SimpleTuner call ``config/examples``."""
    return presets_folder() / "examples"


def shipped_examples() -> list[Path]:
    """The configuration of each bundled example, by name."""
    return sorted(examples_folder().glob("*/config.json"))


def bundled(path: str | Path) -> Path | None:
    """What is bundled in place of a path that begins with ``config/examples/``; None for any other path."""
    parts = Path(path).parts
    if parts[:2] != ("config", "examples") or ".." in parts:
        return None
    found = examples_folder().joinpath(*parts[2:])
    return found if found.exists() else None


def shipped_presets() -> list[Path]:
    """All shipped presets by name."""
    return sorted(presets_folder().glob("*.json"))


def find_preset(name: str) -> Path | None:
    """The shipped preset called ``name`` (``demo`` or ``demo.json``), or None."""
    wanted = name.removesuffix(".json")
    return next((path for path in shipped_presets() if path.stem == wanted), None)
