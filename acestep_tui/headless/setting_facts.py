"""What is known of a setting in a configuration: its value, where that comes from, what it means and goes with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.contract.fields import NEGATED_ALIASES, REMOVED_KEYS, SETTINGS, SETTINGS_BY_KEY
from engine.contract.fields_base import Setting
from engine.contract.files import read_json
from engine.contract.foreign_keys import FOREIGN_KEYS
from engine.contract.interactions import Interaction, interactions_of
from engine.contract.validate import canonical

if TYPE_CHECKING:
    from engine.contract.config import Resolved

# A value that another setting made of it: it was written nowhere, and is not the default.
DERIVED = "derived"
_LONGEST_VALUE = 60
_ORIGIN_WORDS = {
    "default": "the default",
    "preset": "from the preset",
    "file": "from the file",
    "flag": "from the command line",
    "env": "from an environment variable",
    DERIVED: "follows from other settings",
}
_STATUS_WORDS = {
    "ignored": "accepted, no effect here",
    "later": "not available yet in this version",
    "refused": "not supported",
}
_RESUME_WORDS = {
    "ask": "may change only with i_know_what_i_am_doing",
    "fixed": "cannot change within a run",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One setting in one configuration.

    ``origin`` is default, preset, file, flag, env or derived.
    """

    setting: Setting
    value: Any
    origin: str
    is_changed: bool

    @classmethod
    def of_default(cls, setting: Setting) -> Fact:
        """A setting where no configuration is at hand."""
        return cls(setting, setting.default, "default", is_changed=False)

    @property
    def is_written(self) -> bool:
        """Whether somebody wrote it down."""
        return self.origin not in ("default", DERIVED)

    @property
    def value_words(self) -> str:
        """The value, as it is written on a command line."""
        return with_unit(self.value, self.setting)

    @property
    def origin_words(self) -> str:
        """Where it comes from, in words."""
        return _ORIGIN_WORDS.get(self.origin, self.origin)

    @property
    def status_words(self) -> str:
        """What does not work of it; empty for what works."""
        words = _STATUS_WORDS.get(self.setting.status, "")
        if self.setting.later_values and self.setting.status == "works":
            words = f"not available yet in this version: {', '.join(self.setting.later_values)}"
        return f"{words}: {self.setting.status_note}" if words and self.setting.status_note else words

    @property
    def resume_words(self) -> str:
        """What a changed value means for a run that goes on; empty where it may change."""
        return _RESUME_WORDS.get(self.setting.on_resume, "")

    @property
    def interactions(self) -> list[Interaction]:
        """What it goes with."""
        return interactions_of(self.setting.key)

    def as_json(self) -> dict[str, Any]:
        """Value, origin and default as data."""
        return {
            "value": _plain(self.value),
            "origin": self.origin,
            "changed": self.is_changed,
            "default": _plain(self.setting.default),
            "section": self.setting.section,
        }

    def details_as_json(self) -> dict[str, Any]:
        """What the declaration says, as data; unknown is null."""
        setting = self.setting
        return {
            "label": setting.label,
            "help": setting.help,
            "type": setting.type,
            "unit": setting.unit or None,
            "minimum": setting.minimum,
            "maximum": setting.maximum,
            "choices": list(setting.working_choices),
            "accepted": setting.accepted(),
            "aliases": list(setting.aliases),
            "status": setting.status,
            "on_resume": setting.on_resume,
            "interactions": [{"keys": list(entry.keys), "sentence": entry.sentence} for entry in self.interactions],
        }


@dataclass(frozen=True, slots=True)
class Found:
    """A setting by name, or (None) a sentence about a name that is none of ours."""

    setting: Setting | None
    note: str = ""
    is_setting_of_run: bool = True


def facts_of(resolved: Resolved) -> list[Fact]:
    """Every setting of a configuration, in the order of their declarations.

    Of a run's frozen configuration, which holds every key, the origins are those of its start.
    """
    origins = {**resolved.origins, **_frozen_origins(resolved)}
    return [_fact(setting, resolved, origins) for setting in SETTINGS]


def _frozen_origins(resolved: Resolved) -> dict[str, str]:
    """What origins.json beside a run's config.json says, for keys that nothing was put over."""
    path = resolved.path.with_name("origins.json")
    try:
        frozen = read_json(path)["origins"] if path.is_file() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    if not isinstance(frozen, dict):
        return {}
    return {key: str(origin) for key, origin in frozen.items() if resolved.origins.get(key) == "file"}


def find_setting(name: str) -> Found:
    """The declaration behind a name: a key or an alias, of config.json or of a data set; or what became of the name."""
    from engine.contract.fields_audio import AUDIO_SETTINGS
    from engine.contract.fields_backend import BACKEND_SETTINGS

    key = canonical(name)
    if key in SETTINGS_BY_KEY:
        return Found(SETTINGS_BY_KEY[key])
    by_alias = next((setting for setting in SETTINGS if key in setting.aliases), None)
    if by_alias is not None:
        return Found(by_alias, f"{key} is another name of {by_alias.key}.")
    if key in NEGATED_ALIASES:
        target = NEGATED_ALIASES[key]
        return Found(SETTINGS_BY_KEY[target], f"{key} is an old name: it means the opposite of {target}.")
    if key in REMOVED_KEYS:
        return Found(SETTINGS_BY_KEY[REMOVED_KEYS[key]], f"{key} was removed: write {REMOVED_KEYS[key]}.")
    places: tuple[tuple[Sequence[Setting], str], ...] = (
        (BACKEND_SETTINGS, "It belongs to a data set, in multidatabackend.json."),
        (AUDIO_SETTINGS, "It belongs to the audio block of a data set, in multidatabackend.json."),
    )
    for settings, note in places:
        for setting in settings:
            if key in (setting.key, *setting.aliases):
                return Found(setting, note, is_setting_of_run=False)
    why = next((group.why for group in FOREIGN_KEYS if group.holds(key)), "")
    return Found(None, why)


def nearest_settings(name: str) -> list[str]:
    """Up to three known keys that look like a name, at least one."""
    import difflib

    key = canonical(name)
    names = {alias: setting.key for setting in SETTINGS for alias in (setting.key, *setting.aliases)}
    # Somebody may know a word of it only: `rank`, `guidance`.
    close = [one for one in names if key in one.split("_")]
    close += difflib.get_close_matches(key, names, n=3, cutoff=0.6)
    close = close or difflib.get_close_matches(key, names, n=1, cutoff=0.0)
    return list(dict.fromkeys(names[one] for one in close))[:3]


def with_unit(value: Any, setting: Setting) -> str:
    """A value of a setting with its unit, where it is a number that has one."""
    has_unit = bool(setting.unit) and isinstance(value, (int, float))
    return f"{written(value)} {setting.unit}" if has_unit else written(value)


def written(value: Any) -> str:
    """A value in one short line: bare words and numbers, lists with commas, long texts cut."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"{value:.12g}" if isinstance(value, float) else str(value)
    if isinstance(value, str):
        text = value if value and "\n" not in value else json.dumps(value, ensure_ascii=False)
    elif all(isinstance(item, str) for item in value):
        text = ", ".join(value) or "(none)"
    else:
        text = json.dumps(_plain(value), ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _fact(setting: Setting, resolved: Resolved, origins: Mapping[str, str]) -> Fact:
    value = resolved.config[setting.key]
    default = setting.default
    if isinstance(default, str) and setting.status == "works":
        default = default.replace("{name}", resolved.name)
    is_changed = _plain(value) != _plain(default)
    origin = origins.get(setting.key, "default")
    return Fact(setting, value, DERIVED if origin == "default" and is_changed else origin, is_changed)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value
