"""Drafts on disk: one JSON file each in the user's state folder, written all or nothing. For a thread."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_tui.paths import state_dir
from acestep_tui.wizard.draft import LAYERS, UNNAMED, Draft, Marks, slug
from acestep_tui.wizard.fields import STEP_IDS
from engine.contract.config import CONFIG_TABLE
from engine.contract.errors import ConfigError
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.files import read_json, write_json
from engine.planning.advice import Advice

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class DraftSummary:
    """One draft in a list. ``step`` is its page's number from 1; ``problem`` says why it cannot be read."""

    path: Path
    name: str
    step: int
    saved_at: float
    goal: str = ""
    problem: str = ""


def drafts_folder() -> Path:
    """Where drafts are kept. Not made here."""
    return state_dir() / "drafts"


def snapshot(draft: Draft) -> dict[str, Any]:
    """A draft as plain data, taken where it may change, to be written elsewhere."""
    return {
        "version": FORMAT_VERSION,
        "name": draft.name,
        "is_named": draft.is_named,
        "step": draft.step,
        "visited": list(draft.visited),
        "device": draft.device,
        "source": draft.source,
        "hub_folder": draft.hub_folder,
        "layers": {
            layer: {key: [_plain(advice.value), advice.reason] for key, advice in draft.layers[layer].items()}
            for layer in LAYERS
        },
        "following": sorted(draft.following),
        "marks": {source: [list(marks.left_out), list(marks.no_voice)] for source, marks in draft.marks.items()},
    }


def save_draft(data: Mapping[str, Any], path: Path | None = None) -> Path:
    """Write a snapshot and return its file, which has the draft's name; the one under the old name goes.

    Args:
        data: Of `snapshot`.
        path: Where the draft was saved before; None for a new one, which never replaces another draft.

    Raises:
        DiskError: The disk is full or not writable; what was saved before is still there.
    """
    stem = slug(str(data.get("name") or "")) or slug(UNNAMED)
    has_its_name = path is not None and re.fullmatch(rf"{re.escape(stem)}(-\d+)?", path.stem)
    target = path if path is not None and has_its_name else _unused(stem)
    write_json(target, dict(data), action="saving the draft")
    if path is not None and path != target:
        path.unlink(missing_ok=True)
    return target


def load_draft(path: Path) -> tuple[Draft, tuple[str, ...]]:
    """Read a draft; values that this version no longer knows are left out and named.

    Raises:
        ConfigError: The file is gone or cannot be read.
    """
    data = _read(path)
    notes: list[str] = []
    draft = Draft(
        name=str(data.get("name") or ""),
        is_named=bool(data.get("is_named")),
        device=str(data.get("device") or ""),
        source=str(data.get("source") or ""),
        hub_folder=str(data.get("hub_folder") or ""),
    )
    step = data.get("step")
    draft.step = step if step in STEP_IDS else "hardware"
    visited = data.get("visited")
    draft.visited = [one for one in visited if one in STEP_IDS] if isinstance(visited, list) else []
    if draft.step not in draft.visited:
        draft.visited.append(draft.step)
    layers = data.get("layers")
    for layer in LAYERS:
        held = layers.get(layer) if isinstance(layers, dict) else None
        for name, entry in held.items() if isinstance(held, dict) else ():
            _take(draft.layers[layer], name, entry, notes)
    draft.following = {key for key in _texts(data.get("following")) if key in draft.layers["yours"]}
    marks = data.get("marks")
    for source, pair in marks.items() if isinstance(marks, dict) else ():
        if isinstance(pair, list) and len(pair) == 2:
            draft.marks[source] = Marks(tuple(_texts(pair[0])), tuple(_texts(pair[1])))
    return draft, tuple(notes)


def list_drafts(folder: Path | None = None) -> list[DraftSummary]:
    """All drafts, the newest first; one that cannot be read is named with its reason."""
    found = []
    with contextlib.suppress(OSError):
        for path in (folder or drafts_folder()).glob("*.json"):
            with contextlib.suppress(OSError):
                found.append(_summary(path, path.stat().st_mtime))
    return sorted(found, key=lambda one: (-one.saved_at, one.name))


def delete_draft(path: Path) -> None:
    """Remove a draft; one that is gone already is no error.

    Raises:
        OSError: It may not be removed.
    """
    path.unlink(missing_ok=True)


def _summary(path: Path, saved_at: float) -> DraftSummary:
    try:
        data = _read(path)
    except ConfigError as error:
        return DraftSummary(path, path.stem, 1, saved_at, problem=error.message)
    step = data.get("step")
    yours = data.get("layers", {}).get("yours") if isinstance(data.get("layers"), dict) else None
    goal = yours.get("goal") if isinstance(yours, dict) else None
    return DraftSummary(
        path=path,
        name=str(data.get("name") or UNNAMED),
        step=STEP_IDS.index(step) + 1 if step in STEP_IDS else 1,
        saved_at=saved_at,
        goal=str(goal[0]) if isinstance(goal, list) and goal and goal[0] else "",
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_json(path)
    except FileNotFoundError:
        raise ConfigError(f"The draft {path.stem} is gone", hint="Another window may have started it.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"The draft {path.stem} cannot be read: {error}", hint=f"Look at {path}.") from error
    if not isinstance(data, dict):
        raise ConfigError(f"The draft {path.stem} is no draft: it holds no object", hint=f"Look at {path}.")
    return data


def _take(held: dict[str, Advice], name: str, entry: Any, notes: list[str]) -> None:
    """One value of a layer, under today's name, if today's declaration accepts it."""
    # pydantic is asked only for values that are not as they were declared.
    from acestep_tui.wizard.forms import accept

    setting = CONFIG_TABLE.by_name.get(name)
    if setting is None or not isinstance(entry, list) or len(entry) != 2:
        notes.append(f"{name} is not known in this version and is left out")
        return
    value = tuple(entry[0]) if isinstance(entry[0], list) else entry[0]
    if setting.status == "works" and value is not None and value != setting.default:
        parsed = accept(setting, value)
        if parsed.error:
            notes.append(f"{name} {value!r} is not accepted any more: {parsed.error}")
            return
        value = parsed.value
    elif value is None and not setting.nullable and setting.default is not None:
        return
    held[SETTINGS_BY_KEY[setting.key].key] = Advice(value, str(entry[1]))


def _unused(stem: str) -> Path:
    folder = drafts_folder()
    path, number = folder / f"{stem}.json", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.json", number + 1
    return path


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
