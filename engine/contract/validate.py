"""Checking written values against their declarations: names, types, ranges, choices; every error collected.

pydantic is imported only inside `check` (0.2 s), so that ``acestep-tui --help`` stays quick.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.contract.fields_base import Setting
from engine.contract.foreign_keys import ForeignKeys
from engine.contract.paths import is_too_long

_ENV = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_LONGEST_SHOWN = 60
_ALIKE = 0.7


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know about the configuration; nothing stops. Becomes a `warning` event."""

    code: str
    message: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """One value as it was written: canonical key, the spelling used, the file (or "command line"), its layer."""

    key: str
    value: Any
    name: str
    where: str
    origin: str

    def error(self, reason: str, accepted: str) -> str:
        """One line in the style of config-formats.md section 1."""
        return f"{self.where}: {self.name} = {shown(self.value)}: {reason}. Accepted: {accepted}."


@dataclass(frozen=True)
class KeyTable:
    """The keys one kind of object may hold, with their old names and the names that are accepted without effect."""

    settings: tuple[Setting, ...]
    negated: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    foreign: tuple[ForeignKeys, ...] = ()

    @functools.cached_property
    def by_key(self) -> dict[str, Setting]:
        """Declarations by canonical key."""
        return {setting.key: setting for setting in self.settings}

    @functools.cached_property
    def by_name(self) -> dict[str, Setting]:
        """Declarations by canonical key and by every alias."""
        return {name: setting for setting in self.settings for name in (setting.key, *setting.aliases)}

    def knows(self, key: str) -> bool:
        """Whether a canonical key means anything here, be it only that it has no effect."""
        named = key in self.by_name or key in self.negated or key in self.removed
        return named or any(group.holds(key) for group in self.foreign)


@dataclass
class Findings:
    """Errors and notices gathered on the way; shown together at the end."""

    errors: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def shown(value: Any) -> str:
    """A value as it stands in an error line: JSON, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def canonical(name: str) -> str:
    """The key behind a spelling: no leading ``--``, ``-`` and ``_`` alike."""
    return name.lstrip("-").replace("-", "_")


def collect(
    pairs: Iterable[tuple[str, Any]], table: KeyTable, *, where: str, origin: str, findings: Findings
) -> dict[str, Written]:
    """Give each written pair its canonical key; unknown names become errors, foreign and doubled ones notices."""
    written: dict[str, Written] = {}
    foreign: dict[str, list[str]] = {}
    for name, value in pairs:
        if (why := _foreign(canonical(name), table)) is not None:
            foreign.setdefault(why, []).append(name)
            continue
        item = _identify(name, value, table, where=where, origin=origin, findings=findings)
        if item is None:
            continue
        if item.key in written:
            findings.notices.append(
                Notice("duplicate_key", f"{where}: {item.key} is written twice; the last one counts", item.key)
            )
        written[item.key] = item
    # A file made for pictures may hold dozens: one notice for all of them, not a screen full.
    for why, names in foreign.items():
        one_key = canonical(names[0]) if len(names) == 1 else ""
        findings.notices.append(Notice("ignored_setting", f"{where}: {', '.join(names)}: {why}", one_key))
    return written


def _foreign(key: str, table: KeyTable) -> str | None:
    """Why a key has no effect here; None for one that is ours or nobody's."""
    if key in table.by_name or key in table.negated or key in table.removed:
        return None
    return next((group.why for group in table.foreign if group.holds(key)), None)


def _identify(name: str, value: Any, table: KeyTable, *, where: str, origin: str, findings: Findings) -> Written | None:
    key = canonical(name)
    if key in table.removed:
        findings.errors.append(f"{where}: {name}: this name was removed. Accepted: {table.removed[key]}.")
        return None
    value, has_env = _filled(value)
    origin = "env" if has_env else origin
    if key in table.negated:
        return Written(table.negated[key], _turned(value), name, where, origin)
    setting = table.by_name.get(key)
    if setting is not None:
        return Written(setting.key, value, name, where, origin)
    findings.errors.append(f"{where}: {name} = {shown(value)}: unknown key. {nearest_key(key, table)}")
    return None


def nearest_key(key: str, table: KeyTable) -> str:
    """What was meant by an unknown name: a known one, or (`--int8`, `--bf16`) the value of one."""
    close = difflib.get_close_matches(key, table.by_name, n=1, cutoff=0.0)[0]
    if difflib.SequenceMatcher(None, key, close).ratio() < _ALIKE:
        for setting in table.settings:
            choice = next((one for one in setting.working_choices if key in (one, one.split("-")[0])), None)
            if choice is not None and setting.status == "works":
                return f"Did you mean {setting.key}={choice}?"
    return f"The closest known key is {close}."


_TRUE, _FALSE = ("true", "1", "yes", "y", "on"), ("false", "0", "no", "n", "off")


def _turned(value: Any) -> Any:
    """The opposite of a written truth; what is none stays, and is refused with everything else."""
    text = str(value).strip().casefold()
    return False if text in _TRUE else True if text in _FALSE else value


def _filled(value: Any) -> tuple[Any, bool]:
    """Replace ``{env:NAME}`` at any depth (unset: empty) and say whether there was one."""
    if isinstance(value, str):
        filled, count = _ENV.subn(lambda match: os.environ.get(match.group(1), ""), value)
        return filled, count > 0
    if isinstance(value, list):
        items = [_filled(item) for item in value]
        return [item for item, _ in items], any(has_env for _, has_env in items)
    if isinstance(value, dict):
        pairs = {name: _filled(item) for name, item in value.items()}
        return {name: item for name, (item, _) in pairs.items()}, any(has_env for _, has_env in pairs.values())
    return value, False


def check(table: KeyTable, written: Mapping[str, Written], findings: Findings) -> dict[str, Any]:
    """The typed values of everything written well; errors and fallbacks go to ``findings``.

    A null or an empty text counts as not written, except where the declaration says otherwise.
    """
    raw: dict[str, Any] = {}
    for key, item in written.items():
        setting = table.by_key[key]
        if item.value is None and setting.null_value is not None:
            raw[key] = setting.null_value
        elif item.value is None or (item.value == "" and not setting.empty_ok):
            continue
        elif (meant := _meant(setting, item, findings)) != "":
            raw[key] = meant
        elif setting.empty_ok:
            raw[key] = ""
    return _typed(table, raw, written, findings)


def _meant(setting: Setting, item: Written, findings: Findings) -> Any:
    """The value behind a written choice or alias; an empty text when it is refused (the error is noted)."""
    if not isinstance(item.value, (str, int, float)):
        return item.value
    text = str(item.value).strip().casefold()
    for reason in (reason for name, reason in setting.refused_values if name == text):
        findings.errors.append(item.error(reason, setting.accepted()))
        return ""
    for meant in (meant for name, meant in setting.value_aliases if name == text):
        return meant
    if setting.type == "choice":
        return next((choice for choice in setting.choices if choice.casefold() == text), item.value)
    return item.value


def _typed(table: KeyTable, raw: dict[str, Any], written: Mapping[str, Written], findings: Findings) -> dict[str, Any]:
    from pydantic import ValidationError

    model = _model(table.settings)
    try:
        values: dict[str, Any] = model.model_validate(raw).model_dump(exclude_unset=True)
        return values
    except ValidationError as error:
        bad = {str(entry["loc"][0]): entry for entry in error.errors(include_url=False)}
    for key, entry in bad.items():
        setting = table.by_key[key]
        reason = _reason(entry["type"], entry["msg"])
        if len(setting.choices) == 1 and entry["type"] == "literal_error":
            reason = f"unsupported {setting.key}"
        elif setting.type == "choice" and (
            nearest := difflib.get_close_matches(str(raw[key]), setting.choices, n=1, cutoff=0.5)
        ):
            reason += f" (did you mean {nearest[0]}?)"
        if setting.fallback is None:
            findings.errors.append(written[key].error(reason, setting.accepted()))
            raw.pop(key)
        else:
            line = written[key].error(reason, setting.accepted())
            findings.notices.append(Notice("fallback", f"{line} {setting.fallback} is used", key))
            raw[key] = setting.fallback
    values = model.model_validate(raw).model_dump(exclude_unset=True)
    return values


_REASONS = {
    "int_type": "not a whole number",
    "int_parsing": "not a whole number",
    "int_from_float": "not a whole number",
    "int_parsing_size": "too large",
    "float_type": "not a number",
    "float_parsing": "not a number",
    "finite_number": "not a finite number",
    "bool_type": "neither true nor false",
    "bool_parsing": "neither true nor false",
    "string_type": "not a text",
    "dict_type": "not an object",
    "literal_error": "not known",
    "greater_than": "too small",
    "greater_than_equal": "too small",
    "less_than": "too large",
    "less_than_equal": "too large",
}


def _reason(kind: str, message: str) -> str:
    return _REASONS.get(kind, message.removeprefix("Value error, "))


@functools.cache
def _model(settings: tuple[Setting, ...]) -> Any:
    """The pydantic model of some declarations; every field may be absent."""
    from pydantic import ConfigDict, create_model

    fields: dict[str, Any] = {setting.key: (_annotation(setting), None) for setting in settings}
    return create_model("Settings", __config__=ConfigDict(extra="forbid"), **fields)


def _annotation(setting: Setting) -> Any:
    from typing import Annotated, Literal

    from pydantic import BeforeValidator, Field

    if setting.type in ("int", "float"):
        bounds: dict[str, Any] = {}
        if setting.minimum is not None:
            bounds["gt" if setting.exclusive_minimum else "ge"] = setting.minimum
        if setting.maximum is not None:
            bounds["lt" if setting.exclusive_maximum else "le"] = setting.maximum
        if setting.type == "float":
            bounds["allow_inf_nan"] = False
        number: Any = Annotated[int if setting.type == "int" else float, Field(**bounds), BeforeValidator(_no_bool)]
        return _number_or_word(number, setting.words) if setting.words else number
    if setting.type == "bool":
        return bool
    if setting.type == "choice":
        return Literal[setting.choices]
    if setting.type in ("str", "path"):
        text = _path if setting.type == "path" else _text_of_list if setting.joins_lists else _text_of_number
        return Annotated[str, BeforeValidator(text)]
    if setting.type == "object":
        return dict[str, Any]
    return Annotated[Any, BeforeValidator(_texts if setting.type == "list" else _path_or_list)]


def _number_or_word(number: Any, words: tuple[str, ...]) -> Any:
    """A number, or one of a few words; decided before pydantic sees it, so that an error has one reason, not two."""
    from typing import Annotated

    from pydantic import TypeAdapter, WrapValidator

    adapter = TypeAdapter(number)

    def validate(value: Any, _handler: Any) -> Any:
        return value if value in words else adapter.validate_python(value)

    return Annotated[Any, WrapValidator(validate)]


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _text_of_number(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _path(value: Any) -> Any:
    text = _text_of_number(value)
    if isinstance(text, str) and is_too_long(text):
        raise ValueError("too long for a path")
    return text


def _text_of_list(value: Any) -> Any:
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return ",".join(value) if is_list else _text_of_number(value)


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts; on the command line also JSON or a single text."""
    items = _as_list(value)
    if isinstance(items, str):
        items = [items]
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ValueError("not a list of texts")
    return tuple(items)


def _path_or_list(value: Any) -> str | tuple[Any, ...]:
    items = _as_list(value)
    if isinstance(items, (list, tuple)):
        return tuple(items)
    if not isinstance(items, str):
        raise ValueError("neither a path nor a list")
    return str(_path(items))


def _as_list(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"not valid JSON ({error})") from error
    return value
