"""The configuration of a run: layers read, checked and merged into one flat, immutable mapping."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.contract.errors import ConfigError
from engine.contract.fields import NEGATED_ALIASES, REMOVED_KEYS, SETTINGS, SETTINGS_BY_KEY
from engine.contract.fields_base import Setting
from engine.contract.foreign_keys import FOREIGN_KEYS
from engine.contract.presets import bundled
from engine.contract.rules import Draft, apply_rules
from engine.contract.sources import COMMAND_LINE, find_source, parse_overrides, read_object
from engine.contract.validate import Findings, KeyTable, Notice, Written, check, collect, shown

__all__ = [
    "Config",
    "Notice",
    "Resolved",
    "check_values",
    "config_differences",
    "refused_on_resume",
    "resolve",
    "with_drawn_seed",
]

CONFIG_TABLE = KeyTable(SETTINGS, negated=NEGATED_ALIASES, removed=REMOVED_KEYS, foreign=FOREIGN_KEYS)
_DRAWN_SEEDS = (0, -1)  # the time, or a random one: drawn when a run is made
_LARGEST_SEED = 2**31 - 1


class Config(Mapping[str, Any]):
    """Every declared key with its value; keys are attributes too (``config.learning_rate``). Immutable.

    Lists are tuples. Make one with `resolve` (checked) or `from_dict` (a frozen one, trusted).
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_values", dict(values))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """A configuration as `to_dict` gave it; keys added since then get their defaults.

        Raises:
            ConfigError: A key is not declared.
        """
        unknown = sorted(values.keys() - SETTINGS_BY_KEY.keys())
        if unknown:
            raise ConfigError(f"config.json: unknown keys {', '.join(unknown)}", hint="Was it made by a newer version?")
        return cls(
            {setting.key: _frozen(values.get(setting.key, setting.default)) for setting in SETTINGS},
        )

    def to_dict(self) -> dict[str, Any]:
        """Flat, complete, ready for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in self._values.items()}

    def replace(self, **changes: Any) -> Config:
        """A copy with some values changed, unchecked."""
        return Config.from_dict({**self._values, **changes})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name in SETTINGS_BY_KEY:
            return self._values[name]
        raise AttributeError(f"{name} is not a declared setting")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a configuration cannot be changed; use replace()")

    def __reduce__(self) -> tuple[Any, ...]:
        return Config, (self._values,)

    def __hash__(self) -> int:
        return hash(tuple(map(repr, self._values.items())))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Resolved:
    """A checked configuration: each key's origin (default, preset, file, flag or env), notices, folder and name.

    ``base_dir`` is the working directory that relative paths in it start from.
    """

    config: Config
    origins: dict[str, str]
    notices: list[Notice]
    base_dir: Path
    name: str
    path: Path


def resolve(source: str | Path, overrides: Sequence[str] = (), *, cwd: Path) -> Resolved:
    """Read a configuration, put the command line's values over it, check everything, fill in defaults.

    Args:
        source: Path of a configuration or preset, name of a shipped preset, ``env=NAME`` or ``example=NAME``.
        overrides: Items as typed: ``--key=value``, ``--key value``, ``--flag``, ``key=value``.
        cwd: The working directory.

    Raises:
        ConfigError: Not found, not JSON, or bad values: all of them in one message (config-formats.md section 1).
    """
    found = find_source(source, cwd=cwd)
    findings = Findings()
    where = _short(found.path, cwd)
    from_file = collect(
        read_object(found.path, where=where), CONFIG_TABLE, where=where, origin=found.origin, findings=findings
    )
    from_flags = collect(parse_overrides(overrides), CONFIG_TABLE, where=COMMAND_LINE, origin="flag", findings=findings)
    draft = _merged({**from_file, **from_flags}, findings, name=found.name, folder=found.path.parent, cwd=cwd)
    if findings.errors:
        raise _bad_values(findings.errors)
    origins = {key: draft.written[key].origin if key in draft.written else "default" for key in draft.values}
    return Resolved(Config(draft.values), origins, findings.notices, cwd, found.name, found.path)


def check_values(values: Mapping[str, Any], *, name: str, where: str, cwd: Path) -> tuple[Config, Findings]:
    """Check values that stand in no file yet by the same rules as `resolve`; errors are returned, not raised.

    Args:
        values: By key, as a configuration file would hold them.
        name: The run's name.
        where: What the error lines begin with.
        cwd: Where relative paths start.
    """
    findings = Findings()
    written = collect(values.items(), CONFIG_TABLE, where=where, origin="file", findings=findings)
    draft = _merged(written, findings, name=name, folder=cwd, cwd=cwd)
    return Config(draft.values), findings


def _merged(layers: dict[str, Written], findings: Findings, *, name: str, folder: Path, cwd: Path) -> Draft:
    """All values, defaults filled in and rules applied; what is wrong goes to ``findings``."""
    written = _one_data_source(layers, findings)
    values = check(CONFIG_TABLE, written, findings)
    defaults = {setting.key: _default(setting, name) for setting in SETTINGS}
    draft = Draft({**defaults, **values}, {key: written[key] for key in values}, findings)
    _bundled_paths(draft, cwd=cwd)
    apply_rules(draft, CONFIG_TABLE, cwd=cwd)
    _locate_data(draft, folder=folder, cwd=cwd)
    return draft


def _short(path: Path, cwd: Path) -> str:
    """The path as a user would write it: relative where that is shorter."""
    try:
        return str(path.relative_to(cwd))
    except ValueError:
        return str(path)


def _default(setting: Setting, name: str) -> Any:
    """The default with the run's name put in; one that has no effect stays as it is declared.

    A frozen config.json may be read again (`--run RUN/config.json`): it must not seem to set what was only filled in.
    """
    if setting.status == "works" and isinstance(setting.default, str):
        return setting.default.replace("{name}", name)
    return setting.default


def _bad_values(errors: list[str]) -> ConfigError:
    count = "one value has" if len(errors) == 1 else f"{len(errors)} values have"
    return ConfigError("\n".join(errors), hint=f"In all, {count} to be corrected. Nothing was loaded or written.")


def _one_data_source(written: dict[str, Written], findings: Findings) -> dict[str, Written]:
    """`instance_data_dir` is short for a data set list: of two layers the upper one counts, in one layer only one."""
    folder, listed = written.get("instance_data_dir"), written.get("data_backend_config")
    if folder is None or listed is None or not folder.value or not listed.value:
        return written
    if folder.origin == listed.origin:
        findings.errors.append(folder.error("data_backend_config is set as well", "one of the two"))
        return written
    dropped = "instance_data_dir" if folder.origin != "flag" else "data_backend_config"
    return {key: item for key, item in written.items() if key != dropped}


def _bundled_paths(draft: Draft, *, cwd: Path) -> None:
    """A path that begins with ``config/examples/`` and is not here means the bundled file (section 1)."""
    for key, item in draft.written.items():
        value = draft.values[key]
        if not isinstance(value, str) or SETTINGS_BY_KEY[key].type not in ("path", "path_or_list"):
            continue
        found = bundled(value)
        if found is not None and not (cwd / value).exists():
            draft.values[key] = str(found)
            message = f"{item.name}: {value} is not here, so the bundled example is used"
            draft.notice("fallback", key, message)


def _locate_data(draft: Draft, *, folder: Path, cwd: Path) -> None:
    """Make `data_backend_config` what the run will read: the list itself, or the path of the file that exists.

    A relative path is looked for in the working directory, then beside the configuration file.
    """
    values = draft.values
    if values["instance_data_dir"]:
        values["data_backend_config"] = (
            {
                "id": "songs",
                "type": "local",
                "dataset_type": "audio",
                "instance_data_dir": values["instance_data_dir"],
            },
        )
        values["instance_data_dir"] = None
        if "instance_data_dir" in draft.written:
            draft.written = {**draft.written, "data_backend_config": draft.written["instance_data_dir"]}
        return
    path = values["data_backend_config"]
    if isinstance(path, str) and not (cwd / path).is_file() and (folder / path).is_file():
        values["data_backend_config"] = (
            os.path.relpath(folder / path, cwd) if folder.is_relative_to(cwd) else str(folder / path)
        )


def with_drawn_seed(config: Config) -> Config:
    """The configuration with a real seed where it asks for the time (0) or a random one (-1); for a new run."""
    if config.seed not in _DRAWN_SEEDS:
        return config
    seed = (
        time.time_ns() // 1_000_000 % _LARGEST_SEED
        if config.seed == 0
        else random.SystemRandom().randrange(_LARGEST_SEED)
    )
    return config.replace(seed=max(1, seed))


def config_differences(frozen: Config, wanted: Config) -> list[str]:
    """Every key whose value differs, as ``key: old → new``. A seed that is yet to be drawn equals any."""
    return [_difference(key, frozen, wanted) for key in _differing(frozen, wanted)]


def refused_on_resume(frozen: Config, wanted: Config) -> list[str]:
    """Those differences with which a run must not go on, each with the reason; empty when all may change.

    Some (batch size, seed, songs kept aside) are allowed with ``i_know_what_i_am_doing`` in the wanted configuration.
    """
    refused = []
    for key in _differing(frozen, wanted):
        rule = SETTINGS_BY_KEY[key].on_resume
        if rule == "fixed":
            refused.append(f"{_difference(key, frozen, wanted)}: cannot change within a run")
        elif rule == "ask" and not wanted.i_know_what_i_am_doing:
            refused.append(
                f"{_difference(key, frozen, wanted)}: changes the result; allow it with i_know_what_i_am_doing"
            )
    return refused


def _differing(frozen: Config, wanted: Config) -> list[str]:
    return [
        key
        for key in frozen
        if _plain(frozen[key]) != _plain(wanted[key]) and not (key == "seed" and wanted.seed in _DRAWN_SEEDS)
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _difference(key: str, frozen: Config, wanted: Config) -> str:
    return f"{key}: {shown(_plain(frozen[key]))} → {shown(_plain(wanted[key]))}"
