"""What a setting is: one frozen declaration that help, flags, the set-up screens, validation and the docs all read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SettingType = Literal["int", "float", "bool", "str", "path", "choice", "list", "path_or_list", "object"]
# works: does what it says. ignored: accepted and reported once when it differs from the default.
# later: accepted at its default; anything else is an error, so that nothing asked for is silently left out.
# refused: as later, but not planned.
Status = Literal["works", "ignored", "later", "refused"]
# May the value differ from the frozen one when a run goes on? ask: only with i_know_what_i_am_doing. fixed: never.
OnResume = Literal["free", "ask", "fixed"]
Value = int | float | bool | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a configuration file.

    ``minimum`` and ``maximum`` are inclusive unless the matching ``exclusive_…`` is set. ``words`` are texts that a
    number accepts besides (``auto``). ``value_aliases`` and ``refused_values`` map a written text to the value meant
    or to the reason why not; ``later_values`` are choices known but not built yet. ``fallback`` is used with a notice
    instead of an invalid value, where the format says so; ``null_value`` is what a written null means when it is not
    simply "not written".
    """

    key: str
    type: SettingType
    default: Value
    section: str
    label: str
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    value_aliases: tuple[tuple[str, str], ...] = ()
    refused_values: tuple[tuple[str, str], ...] = ()
    later_values: tuple[str, ...] = ()
    nullable: bool = False
    empty_ok: bool = False
    fallback: Value = None
    null_value: Value = None
    status: Status = "works"
    status_note: str = ""
    on_resume: OnResume = "free"

    def accepted(self) -> str:
        """The accepted values in words, for error messages and the reference page."""
        text = _ACCEPTED[self.type]
        if self.type == "choice":
            text = ", ".join(choice for choice in self.choices if choice not in self.later_values)
        elif self.type in ("int", "float"):
            text += _range(self)
            text = ", ".join([text, *self.words])
        return f"{text}, or null" if self.nullable else text


_ACCEPTED: dict[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true, false",
    "str": "a text",
    "path": "a path",
    "choice": "",
    "list": "a list of texts",
    "path_or_list": "a path or a list",
    "object": "an object",
}


def _range(setting: Setting) -> str:
    parts = []
    if setting.minimum is not None:
        parts.append(f"{'above' if setting.exclusive_minimum else 'from'} {setting.minimum:.12g}")
    if setting.maximum is not None:
        parts.append(f"{'below' if setting.exclusive_maximum else 'to'} {setting.maximum:.12g}")
    return "".join(f" {part}" for part in parts)
