"""A draft as a configuration: checked, written as a preset, made from one, and as a command for the shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui.paths import absolute, shown
from acestep_tui.wizard.draft import Draft, slug
from engine.contract.config import Config, check_values, resolve
from engine.contract.fields import SETTINGS, SETTINGS_BY_KEY
from engine.contract.files import write_json
from engine.contract.paths import expanded
from engine.planning.advice import Advice

if TYPE_CHECKING:
    from engine.contract.validate import Notice

# What the error lines of a draft begin with.
_WHERE = "draft"
_ERROR_LINE = re.compile(rf"{_WHERE}: (\w+)(?: = .*?)?: (.*)", re.DOTALL)
# Keys of a data set whose paths are relative to where the configuration is used.
_PATH_KEYS = ("instance_data_dir", "instance_data_root", "cache_dir", "cache_dir_vae")


@dataclass(frozen=True, slots=True)
class Checked:
    """What checking a whole draft found.

    Attributes:
        config: The configuration as a run would get it; None with errors.
        errors: One sentence by key; the key is empty for what concerns no single one.
        notices: What the user should know.
    """

    config: Config | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

    def errors_of(self, step: str) -> dict[str, str]:
        """Those of one page's fields."""
        return {key: text for key, text in self.errors.items() if key and SETTINGS_BY_KEY[key].wizard_step == step}


@dataclass(frozen=True, slots=True)
class Opened:
    """A preset or configuration opened as a draft, with what its reader noticed."""

    draft: Draft
    notices: tuple[Notice, ...]


def to_preset(draft: Draft) -> dict[str, Any]:
    """The flat configuration of a draft: only what differs from the defaults, ready for JSON."""
    preset: dict[str, Any] = {}
    for setting in SETTINGS:
        value = draft.value(setting.key)
        if value != setting.default:
            preset[setting.key] = _plain(value)
    if preset.get("num_train_epochs"):
        preset.pop("max_train_steps", None)  # the length is given once
    return preset


def check_draft(draft: Draft, *, cwd: Path) -> Checked:
    """Check everything as a run's start would; nothing is raised."""
    config, findings = check_values(to_preset(draft), name=draft.shown_name, where=_WHERE, cwd=cwd)
    errors: dict[str, str] = {}
    for line in findings.errors:
        found = _ERROR_LINE.fullmatch(line)
        key = found[1] if found is not None and found[1] in SETTINGS_BY_KEY else ""
        errors.setdefault(key, found[2] if found is not None and key else line)
    return Checked(None if errors else config, errors, tuple(findings.notices))


def planned_config(draft: Draft) -> Config:
    """The draft's values unchecked, for planning on each key."""
    return Config.from_dict(draft.values())


def save_preset(draft: Draft, path: Path) -> None:
    """Write the draft as a preset.

    Raises:
        DiskError: The disk is full or not writable.
    """
    write_json(path, to_preset(draft), action="saving the preset")


def open_preset(source: str, *, cwd: Path) -> Opened:
    """Make a draft of a preset or of a SimpleTuner ``config.json``.

    Args:
        source: Its path, ``env=NAME`` or the name of a shipped preset.
        cwd: The working directory.

    Raises:
        ConfigError: Not found, not JSON, or bad values, all of them in one message.
    """
    resolved = resolve(source, cwd=cwd)
    draft = Draft(name=resolved.name, is_named=True)
    held = draft.layers["preset"]
    for key, origin in resolved.origins.items():
        if origin != "default" and key not in ("data_backend_config", "instance_data_dir"):
            held[key] = Advice(resolved.config[key], "")
    _take_songs(draft, resolved.config.data_backend_config, resolved.path, base_dir=resolved.base_dir)
    return Opened(draft, tuple(resolved.notices))


def command(draft: Draft, path: Path | None = None) -> str:
    """The same run without screens, ready for a shell.

    Args:
        draft: The draft.
        path: Where its preset is saved; None: as it would be called here.
    """
    name = shown(path) if path is not None else preset_place(draft) if draft.name else "FILE"
    arguments = ["acestep-tui", "--run", name]
    prefix = "".join(f"{variable}={shlex.quote(value)} " for variable, value in environment(draft).items())
    return prefix + shlex.join(arguments)


def preset_name(draft: Draft) -> str:
    """What the preset's file is called, unless somebody says otherwise."""
    return f"{slug(draft.name) or 'preset'}.json"


def preset_place(draft: Draft) -> str:
    """Where the preset goes from here, unless somebody says otherwise.

    Whoever has a folder `config` keeps configurations as SimpleTuner does, where `env=NAME` finds them.
    """
    if Path("config").is_dir():
        return f"config/{slug(draft.name) or 'preset'}/config.json"
    return preset_name(draft)


def environment(draft: Draft) -> dict[str, str]:
    """Variables that a worker of this draft needs besides: the device and the models' folder, where they were chosen.

    Cards are counted in the order of the bus, as the driver lists them; CUDA's own order is another one.
    """
    cache = {"HF_HUB_CACHE": str(draft.cache_dir)} if draft.cache_dir is not None else {}
    if not draft.device:
        return cache
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if draft.device.startswith("cuda:") else {}
    return {**cache, **order, "ACESTEP_DEVICE": draft.device}


def _take_songs(draft: Draft, listed: Any, config_path: Path, *, base_dir: Path) -> None:
    """Put the songs of a configuration into the draft, with paths that mean the same from anywhere."""
    if isinstance(listed, str):
        path = base_dir / expanded(listed)
        if path.is_file():
            draft.set_source(shown(absolute(path)), "data_backend_config", str(absolute(path)))
        return
    entries = [_absolute_entry(entry, base_dir) for entry in listed]
    if len(entries) == 1 and set(entries[0]) == {"id", "type", "dataset_type", "instance_data_dir"}:
        folder = str(entries[0]["instance_data_dir"])
        text = folder if folder.startswith("demo:") else shown(Path(folder))
        draft.set_source(text, "instance_data_dir", folder)
        return
    draft.set_source(shown(config_path), "data_backend_config", tuple(entries))


def _absolute_entry(entry: Any, base_dir: Path) -> Any:
    if not isinstance(entry, dict):
        return entry
    changed = {
        key: os.path.normpath(base_dir / expanded(value))
        for key, value in entry.items()
        if key in _PATH_KEYS and isinstance(value, str) and value and not value.startswith(("demo:", "{"))
    }
    name = entry.get("dataset_name")
    # Of the hub unless there is such a folder.
    if isinstance(name, str) and name and (base_dir / expanded(name)).is_dir():
        changed["dataset_name"] = os.path.normpath(base_dir / expanded(name))
    return {**entry, **changed}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
