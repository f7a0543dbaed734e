"""What `acestep-tui scan` looks at: a folder of songs, a list of data sets, a hub data set, or a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui.paths import absolute, shown
from engine.contract.errors import ConfigError
from engine.contract.model_files import HUB_ID
from engine.contract.paths import expanded, is_too_long
from engine.contract.presets import find_preset
from engine.contract.sources import parse_overrides, read_json_value
from engine.dataset.folder import AUDIO_SUFFIXES
from engine.dataset.hub_folder import folder_of, holds_rows

if TYPE_CHECKING:
    from engine.contract.backends import LocalBackend
    from engine.contract.config import Config
    from engine.contract.validate import Notice

_ABOUT_TRAINING = ("no_length", "no_clips")


@dataclass(frozen=True, slots=True)
class ScanSource:
    """What is looked at.

    Attributes:
        name: For the first line.
        config: The configuration, or all defaults around the songs.
        backends: Each data set with its folder.
        notices: What the configuration has to say.
    """

    name: str
    config: Config
    backends: tuple[tuple[LocalBackend, Path], ...]
    notices: tuple[str, ...]


def read_scan_source(source: str, overrides: Sequence[str], *, cwd: Path) -> ScanSource:
    """Understand what was typed, and find the folders.

    Args:
        source: A folder, ``OWNER/NAME`` of a hub data set, a list of data sets, a configuration, ``env=NAME``.
        overrides: Settings, as for `train`.
        cwd: Where relative paths start.

    Raises:
        ConfigError: Nothing of this name, bad values, or a data set that is not on this computer.
        DataError, DiskError: The demo's songs cannot be made.
    """
    from engine.contract.backends import load_backends  # pydantic: 0.2 s, only for this command

    config, notices = _configuration(source, overrides, cwd=cwd)
    loaded = load_backends(config, base_dir=cwd)
    backends = tuple((backend, _folder(backend, config)) for backend in loaded.training)
    return ScanSource(source, config, backends, (*notices, *(notice.message for notice in loaded.notices)))


def _configuration(source: str, overrides: Sequence[str], *, cwd: Path) -> tuple[Config, tuple[str, ...]]:
    from engine.contract.config import resolve

    songs = _songs(source, cwd=cwd)
    if songs is None:
        resolved = resolve(source, list(overrides), cwd=cwd)
        return resolved.config, _about_songs(resolved.notices)
    return _around(songs, overrides, cwd=cwd)


def _songs(source: str, *, cwd: Path) -> dict[str, Any] | None:
    """The setting that names the songs; None for a configuration."""
    if source.startswith(("env=", "example=")) or is_too_long(source):
        return None
    path = absolute(cwd / expanded(source))
    if path.is_dir():
        if holds_rows(path):
            return _rows(str(path), path.name)
        return None if _is_configuration(path) else {"instance_data_dir": str(path)}
    if path.is_file():
        if path.suffix.lower() in AUDIO_SUFFIXES:
            raise ConfigError(
                f"{path.name} is one song",
                hint=f"Give its folder and name the song: acestep-tui scan {shown(path.parent)} --show {path.name}",
            )
        is_list = path.suffix.lower() == ".json" and isinstance(read_json_value(path, where=shown(path)), list)
        return {"data_backend_config": str(path)} if is_list else None
    if find_preset(source) is None and HUB_ID.fullmatch(source) and path.suffix.lower() != ".json":
        return _rows(source, source.partition("/")[2])
    return None


def _is_configuration(folder: Path) -> bool:
    """Whether it is a folder like ``config/NAME``: a configuration, and no song beside it."""
    if not (folder / "config.json").is_file():
        return False
    return not any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.iterdir())


def _rows(name: str, album: str) -> dict[str, Any]:
    identity = "".join(sign if sign.isalnum() else "-" for sign in album).strip("-") or "songs"
    entry = {"id": identity, "type": "huggingface", "dataset_type": "audio", "dataset_name": name}
    return {"data_backend_config": [entry]}


def _around(songs: dict[str, Any], overrides: Sequence[str], *, cwd: Path) -> tuple[Config, tuple[str, ...]]:
    """All defaults around the songs, with what was typed."""
    from engine.contract.config import check_values

    values = {**songs, **dict(parse_overrides(list(overrides)))}
    config, findings = check_values(values, name="scan", where="command line", cwd=cwd)
    if findings.errors:
        raise ConfigError("\n".join(findings.errors), hint="Every setting: acestep-tui train --help")
    return config, _about_songs(findings.notices)


def _about_songs(notices: Sequence[Notice]) -> tuple[str, ...]:
    """What a configuration has to say, without what concerns the length of a training and its test clips."""
    return tuple(notice.message for notice in notices if notice.code not in _ABOUT_TRAINING)


def _folder(backend: LocalBackend, config: Config) -> Path:
    from acestep_tui.wizard.song_scan import demo_songs_folder
    from engine.contract.backends import DEMO_SONGS

    if backend.rows is None:
        if backend.instance_data_dir == DEMO_SONGS:
            return demo_songs_folder(config)
        return expanded(backend.instance_data_dir)
    folder = backend.rows.folder or folder_of(backend.rows.name, backend.rows.revision)
    if folder is None:
        wanted = f" --revision {backend.rows.revision}" if backend.rows.revision else ""
        raise ConfigError(
            f"There is no folder {backend.rows.name} here, and the hub data set of that name is not on this computer",
            hint=f"Fetch it: hf download --repo-type dataset {backend.rows.name}{wanted}. A run fetches it by itself.",
        )
    return folder
