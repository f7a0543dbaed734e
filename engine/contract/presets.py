"""The presets that come with the program: in a checkout beside ``engine``, in an installed wheel inside it."""

from __future__ import annotations

from pathlib import Path

_ENGINE = Path(__file__).resolve().parents[1]


def presets_folder() -> Path:
    """The folder of shipped presets."""
    inside = _ENGINE / "presets"
    return inside if inside.is_dir() else _ENGINE.parent / "presets"


def shipped_presets() -> list[Path]:
    """All shipped presets by name."""
    return sorted(presets_folder().glob("*.json"))


def find_preset(name: str) -> Path | None:
    """The shipped preset called ``name`` (``demo`` or ``demo.json``), or None."""
    wanted = name.removesuffix(".json")
    return next((path for path in shipped_presets() if path.stem == wanted), None)
