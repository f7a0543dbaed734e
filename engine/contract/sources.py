"""Finding and reading configuration files: paths, ``env=NAME``, shipped presets, and command-line overrides."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import ConfigError
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.paths import expanded
from engine.contract.presets import find_preset, presets_folder, shipped_presets
from engine.contract.validate import canonical

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration file that was found: its path, the run's name, and its layer (preset or file)."""

    path: Path
    name: str
    origin: str


def find_source(source: str | Path, *, cwd: Path) -> Source:
    """Find the file behind a path, the name of a shipped preset, or ``env=NAME``.

    Raises:
        ConfigError: Nothing was found; every path tried is listed, and names that exist are suggested.
    """
    if isinstance(source, str) and source.startswith("env="):
        return _find_env(source.removeprefix("env="), cwd=cwd)
    path = cwd / expanded(source)
    if path.is_dir():
        path = path / "config.json"
    if path.is_file():
        return _found(path)
    preset = find_preset(str(source))
    if preset is not None:
        return _found(preset)
    names = ", ".join(entry.stem for entry in shipped_presets())
    raise ConfigError(
        f"{source}: no such configuration; tried {path} and the shipped presets",
        hint=f"Give the path of a configuration file, or one of: {names}.",
    )


def _find_env(name: str, *, cwd: Path) -> Source:
    chosen = os.environ.get("CONFIG_PATH")
    if chosen:
        path = cwd / expanded(chosen)
        tried = [path / "config.json" if path.is_dir() else path]
    elif name in ("", "default"):
        tried = [cwd / "config.json", cwd / "config" / "config.json"]
    elif Path(name).suffix:
        tried = [cwd / expanded(name)]
    else:
        tried = [cwd / "config" / name / "config.json", cwd / name / "config.json"]
    for path in tried:
        if path.is_file():
            found = _found(path)
            return found if Path(name).suffix or not name else Source(path, name, found.origin)
    existing = sorted(path.parent.name for path in cwd.glob("config/*/config.json"))
    known = f"There are: {', '.join(f'env={entry}' for entry in existing)}. " if existing else ""
    raise ConfigError(
        f"env={name}: no configuration of this name; tried " + ", ".join(str(path) for path in tried),
        hint=f"{known}Make config/{name or 'NAME'}/config.json, or give the path of a file.",
    )


def _found(path: Path) -> Source:
    origin = "preset" if path.resolve().parent == presets_folder().resolve() else "file"
    name = path.resolve().parent.name if path.stem == "config" else path.stem
    return Source(path, name, origin)


def read_object(path: Path, *, where: str) -> list[tuple[str, Any]]:
    """The pairs of a JSON object in the order of the file, doubled keys included.

    Raises:
        ConfigError: Not readable, not JSON (with line and column), or not an object.
    """
    value = read_json_value(path, where=where, pairs=True)
    if not isinstance(value, _Pairs):
        raise ConfigError(f"{where}: not a JSON object", hint='It begins with { and holds "key": value pairs.')
    return [(name, plain(item)) for name, item in value.items]


def read_json_value(path: Path, *, where: str, pairs: bool = False) -> Any:
    """Parse a JSON file; with ``pairs`` objects keep doubled keys (see `plain`).

    Raises:
        ConfigError: Not readable or not JSON, with line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{where}: cannot be read: {reason}", hint=f"Look at {path}.") from error
    try:
        return json.loads(text, object_pairs_hook=_Pairs if pairs else None)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{where}: line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}",
            hint="Often a comma too many or too few, or a missing quotation mark, just before that place.",
        ) from error


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A JSON object before its doubled keys are lost."""

    items: list[tuple[str, Any]]


def plain(value: Any) -> Any:
    """The ordinary form (dict, last one wins) of a value read with ``pairs``."""
    if isinstance(value, _Pairs):
        return {name: plain(item) for name, item in value.items}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def parse_overrides(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    """Pairs of ``--key=value``, ``--key value``, bare ``--flag`` (true) and ``key=value``.

    A bare ``--flag`` takes the next item as its value if that is neither an option nor a pair itself, or if the
    setting is not a switch (so that ``--validation_prompt a=b`` and ``--seed -1`` work).
    """
    pairs: list[tuple[str, Any]] = []
    items = list(overrides)
    while items:
        item = items.pop(0)
        name, equals, value = item.partition("=")
        if equals:
            pairs.append((name, value))
        elif not item.startswith("-"):
            raise ConfigError(f"{COMMAND_LINE}: {item}: not understood", hint="Write settings as --key=value.")
        elif items and _takes_value(name, items[0]):
            pairs.append((name, items.pop(0)))
        else:
            pairs.append((name, True))
    return pairs


def _takes_value(name: str, following: str) -> bool:
    setting = SETTINGS_BY_KEY.get(canonical(name))
    if following.startswith("--"):
        return False
    if setting is not None and setting.type != "bool":
        return True
    return not following.startswith("-") and "=" not in following
