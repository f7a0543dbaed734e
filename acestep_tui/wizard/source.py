"""What was typed as the songs of a run: a folder, a list of data sets, a configuration, ``env=NAME``, the demo."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_tui.paths import absolute, shown
from engine.contract.backends import DEMO_SONGS
from engine.contract.errors import ConfigError
from engine.contract.model_files import HUB_ID
from engine.contract.paths import expanded
from engine.contract.sources import read_json_value
from engine.dataset.folder import AUDIO_SUFFIXES
from engine.dataset.hub_folder import folder_of, holds_rows


@dataclass(frozen=True, slots=True)
class Source:
    """Where the songs are: the setting that says so, with absolute paths, and the name proposed for the run."""

    text: str
    key: str
    value: Any
    album: str


def read_source(text: str, *, cwd: Path) -> Source:
    """Understand what was typed. Reads at most one small file; for a thread all the same.

    Raises:
        ConfigError: Nothing there, or nothing that can be used, with what to do.
    """
    typed = text.strip()
    if not typed:
        raise ConfigError("Nothing is typed yet", hint="Type a folder of songs, or press ^o to look for one.")
    if typed == DEMO_SONGS:
        return Source(typed, "instance_data_dir", DEMO_SONGS, "demo")
    if typed.startswith("env="):
        return _of_configuration(typed, cwd=cwd)
    path = absolute(cwd / expanded(typed))
    if path.is_dir():
        if holds_rows(path):
            return _of_rows(typed, str(path), album=path.name)
        return Source(typed, "instance_data_dir", str(path), path.name)
    if path.is_file():
        return _of_file(typed, path, cwd=cwd)
    if HUB_ID.fullmatch(typed):
        hub_folder(typed, None)
        return _of_rows(typed, typed, album=typed.partition("/")[2])
    parent = next(one for one in path.parents if one.is_dir())
    is_near = parent != Path(parent.anchor)
    hint = f"{shown(parent)} is there; tab shows what is in it." if is_near else "Correct the path, or press ^o."
    raise ConfigError(f"No such folder: {shown(path)}", hint=hint)


def hub_folder(name: str, revision: str | None) -> Path:
    """Where a hub data set is on this computer.

    Raises:
        ConfigError: It is not here; with the command that fetches it.
    """
    folder = folder_of(name, revision)
    if folder is None:
        wanted = f" --revision {revision}" if revision else ""
        raise ConfigError(
            f"There is no folder {name} here, and the hub data set of that name is not on this computer",
            hint=f"Fetch it with: hf download --repo-type dataset {name}{wanted}, then press ^r. A run without the "
            "set-up fetches it by itself.",
        )
    return folder


def _of_rows(typed: str, name: str, *, album: str) -> Source:
    """A hub data set, on the hub or in a folder, as the list of one that stands for it."""
    slug = re.sub(r"[^a-z0-9]+", "-", album.lower()).strip("-") or "songs"
    entry = {"id": slug, "type": "huggingface", "dataset_type": "audio", "dataset_name": name}
    return Source(typed, "data_backend_config", (entry,), album)


def missing_folder(folder: str | None) -> ConfigError | None:
    """What to say of a folder that was there when it was chosen; None while it is there. For a thread."""
    if not folder or folder == DEMO_SONGS or Path(folder).is_dir():
        return None
    hint = "Bring it back and press ^r, or choose another one."
    return ConfigError(f"The folder {shown(Path(folder))} is not there any more", hint=hint)


def typable(path: Path) -> str:
    """A path as one would type it; never relative, so that a draft means the same wherever it is opened."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path)


def _of_file(typed: str, path: Path, *, cwd: Path) -> Source:
    if path.suffix.lower() in AUDIO_SUFFIXES:
        raise ConfigError(
            f"{path.name} is one song",
            hint=f"Type the folder it is in: {shown(path.parent)}. All songs there are used.",
        )
    if path.suffix.lower() != ".json":
        raise ConfigError(
            f"{path.name} is neither a folder nor a .json file",
            hint="Type a folder of songs, or a multidatabackend.json.",
        )
    if isinstance(read_json_value(path, where=shown(path)), list):
        return Source(typed, "data_backend_config", str(path), path.parent.name)
    return _of_configuration(str(path), cwd=cwd, typed=typed)


def _of_configuration(source: str, *, cwd: Path, typed: str = "") -> Source:
    """The songs that a whole configuration names."""
    from acestep_tui.wizard.preset import open_preset

    draft = open_preset(source, cwd=cwd).draft
    for key in ("instance_data_dir", "data_backend_config"):
        if key in draft.layers["yours"]:
            return Source(typed or source, key, draft.value(key), draft.name)
    raise ConfigError(f"{typed or source} names no songs", hint="Type the folder of your songs instead.")
