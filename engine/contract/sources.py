"""Finding and reading configuration files: paths, ``env=NAME``, ``example=NAME``, presets, command-line overrides."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import ConfigError
from engine.contract.fields import SETTINGS
from engine.contract.paths import expanded, is_too_long
from engine.contract.presets import (
    bundled,
    examples_folder,
    find_preset,
    presets_folder,
    shipped_examples,
    shipped_presets,
)
from engine.contract.validate import canonical

COMMAND_LINE = "command line"
# No configuration needs a tenth of it; Python's own limit would end in the middle of the work.
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Source:
    """A configuration file that was found: its path, the run's name, and its layer (preset or file)."""

    path: Path
    name: str
    origin: str


def find_source(source: str | Path, *, cwd: Path) -> Source:
    """Find the file behind a path, the name of a shipped preset, ``env=NAME`` or ``example=NAME``.

    Raises:
        ConfigError: Nothing was found; every path tried is listed, and names that exist are suggested.
    """
    if is_too_long(source):
        raise ConfigError(f"{str(source)[:60]}…: too long for a path", hint="Give the path of a configuration file.")
    if isinstance(source, str) and source.startswith("env="):
        return _find_env(source.removeprefix("env="), cwd=cwd)
    if isinstance(source, str) and source.startswith("example="):
        return _find_example(source.removeprefix("example="))
    path = cwd / expanded(source)
    if not path.exists():
        path = bundled(source) or path
    if path.is_dir():
        path = path / "config.json"
    if path.is_file():
        return _found(path)
    preset = find_preset(str(source))
    if preset is not None:
        return _found(preset)
    names = ", ".join(entry.stem for entry in shipped_presets())
    is_env = (cwd / "config" / str(source) / "config.json").is_file()
    meant = f"Did you mean env={source}? " if is_env else ""
    raise ConfigError(
        f"{source}: no such configuration; tried {path} and the shipped presets",
        hint=f"{meant}Give the path of a configuration file, or one of: {names}.",
    )


def _find_example(name: str) -> Source:
    path = examples_folder() / name / "config.json"
    # A name, not a way out of the folder.
    if len(Path(name).parts) == 1 and name != ".." and path.is_file():
        return _found(path)
    preset = find_preset(name)
    if preset is not None:
        return _found(preset)
    names = [*(entry.parent.name for entry in shipped_examples()), *(entry.stem for entry in shipped_presets())]
    raise ConfigError(
        f"example={name}: no example of this name is bundled",
        hint=f"There are: {', '.join(f'example={entry}' for entry in names)}.",
    )


def _find_env(name: str, *, cwd: Path) -> Source:
    chosen = os.environ.get("CONFIG_PATH")
    if chosen:
        path = cwd / expanded(chosen)
        tried = [path / "config.json" if path.is_dir() else path]
    elif name in ("", "default"):
        tried = [cwd / "config.json", cwd / "config" / "config.json"]
    else:
        tried = [cwd / "config" / name / "config.json", cwd / name / "config.json"]
        # A path with a suffix is that file; a folder's name may have a dot in it too (my-album-v1.0).
        if Path(name).suffix:
            tried.insert(0, cwd / expanded(name))
    for path in tried:
        if path.is_file():
            found = _found(path)
            # A file and the folder of CONFIG_PATH have names of their own where none was given.
            is_unnamed = name == "" or path == cwd / expanded(name) or (bool(chosen) and name == "default")
            return found if is_unnamed else Source(path, name, found.origin)
    existing = sorted(path.parent.name for path in cwd.glob("config/*/config.json"))
    known = f"There are: {', '.join(f'env={entry}' for entry in existing)}. " if existing else ""
    raise ConfigError(
        f"env={name}: no configuration of this name; tried " + ", ".join(str(path) for path in tried),
        hint=f"{known}Make config/{name or 'NAME'}/config.json, or give the path of a file.",
    )


def _found(path: Path) -> Source:
    origin = "preset" if path.resolve().is_relative_to(presets_folder().resolve()) else "file"
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
        value = json.loads(text, object_pairs_hook=_Pairs if pairs else None)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{where}: line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}",
            hint="Often a comma too many or too few, or a missing quotation mark, just before that place.",
        ) from error
    except (RecursionError, ValueError) as error:  # nested without end; a number of thousands of digits
        raise ConfigError(f"{where}: not readable as JSON: {error}", hint="Correct the file.") from error
    if reason := _unfit(value):
        raise ConfigError(f"{where}: {reason}", hint="Correct the file.")
    return value


def _unfit(value: Any) -> str:
    """Why a value that JSON allows can be no configuration: it could be neither walked through nor written again."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > _DEEPEST:
            return f"objects and lists stand more than {_DEEPEST} deep in each other"
        if isinstance(item, str) and not is_writable(item):
            return f"{json.dumps(item)[:60]} holds half a character (an escaped surrogate without its other half)"
        if isinstance(item, str) and "\0" in item:
            return f"{json.dumps(item)[:60]} holds a character that no text has (\\u0000)"
        if isinstance(item, _Pairs):
            waiting += [(part, depth + 1) for pair in item.items for part in pair]
        elif isinstance(item, dict):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            waiting += [(part, depth + 1) for part in item]
    return ""


def is_writable(text: str) -> bool:
    """Whether a text can be written as UTF-8; bytes of another encoding on a command line cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    for item in items:
        if not is_writable(item):
            raise ConfigError(f"{COMMAND_LINE}: {item!r}: not UTF-8", hint="Write it in UTF-8, or rename the file.")
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
    key = canonical(name)
    setting = next((entry for entry in SETTINGS if key == entry.key or key in entry.aliases), None)
    if following.startswith("--"):
        return False
    if setting is not None and setting.type != "bool":
        return True
    return not following.startswith("-") and "=" not in following
