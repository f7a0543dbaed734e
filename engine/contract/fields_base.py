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
WizardStep = Literal["hardware", "model", "dataset", "method", "schedule", "review"]
# How the arrow keys change a number: by 1; to the double or half; along 1, 2, 5, 10; by a quarter of its size; by 0.05;
# by 5 s; along the lengths of a piece.
Stepping = Literal["", "one", "double", "1-2-5", "quarter", "share", "seconds", "pieces"]
Value = int | float | bool | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a configuration file.

    ``minimum`` and ``maximum`` are inclusive unless the matching ``exclusive_…`` is set. ``words`` are texts that a
    number accepts besides (``auto``). ``value_aliases`` and ``refused_values`` map a written text to the value meant
    or to the reason why not; ``later_values`` are choices known but not built yet. ``fallback`` is used with a notice
    instead of an invalid value, where the format says so; ``null_value`` is what a written null means when it is not
    simply "not written". A text with ``joins_lists`` may be written as a list of texts too.

    The rest is for the set-up screens: ``step`` is the page it stands on (empty: its section's), ``main_order`` its
    place among the at most five fields of that page (0: under "More settings"), ``short`` its label there, ``suits`` a
    few words that follow an error ("64 suits a voice"), ``value_words`` what a value (``null``, ``true``, a choice) is
    called, and ``stepping`` how the arrow keys change it.
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
    joins_lists: bool = False
    fallback: Value = None
    null_value: Value = None
    status: Status = "works"
    status_note: str = ""
    on_resume: OnResume = "free"
    step: WizardStep | Literal[""] = ""
    main_order: int = 0
    short: str = ""
    suits: str = ""
    value_words: tuple[tuple[str, str], ...] = ()
    stepping: Stepping = ""

    @property
    def working_choices(self) -> tuple[str, ...]:
        """The choices that do something in this version, as declared."""
        return tuple(choice for choice in self.choices if choice not in self.later_values)

    @property
    def is_offered(self) -> bool:
        """Whether the set-up screens offer it: it works in this version, and there is something to choose."""
        if self.status != "works":
            return False
        return not self.choices or len(self.working_choices) + self.nullable > 1 or self.main_order > 0

    @property
    def wizard_step(self) -> WizardStep:
        """The page of the set-up on which it stands."""
        return self.step or _SECTION_STEPS.get(self.section, "review")

    def accepted(self) -> str:
        """The accepted values in words, for errors and the reference page; of what does not work, the default."""
        if self.status in ("later", "refused"):
            return "null (leave it out)" if self.default is None else _written(self.default)
        text = _ACCEPTED[self.type]
        if self.type == "choice":
            text = ", ".join(self.working_choices)
        elif self.type in ("int", "float"):
            text += _range(self)
            text = ", ".join([text, *self.words])
        return f"{text}, or null" if self.nullable else text


# Where a section's settings stand unless they say otherwise; one that is new and not named here comes at the end.
_SECTION_STEPS: dict[str, WizardStep] = {
    "Model": "model",
    "Memory": "hardware",
    "Data": "dataset",
    "Cache": "dataset",
    "Training": "schedule",
    "Optimizer": "schedule",
    "Flow and losses": "method",
    "LoRA": "method",
    "Average of weights": "method",
    "Lyrics embedder": "method",
    "Scheduled sampling": "method",
    "Test clips": "schedule",
    "Checkpoints": "schedule",
}

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


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _range(setting: Setting) -> str:
    parts = []
    if setting.minimum is not None:
        parts.append(f"{'above' if setting.exclusive_minimum else 'from'} {setting.minimum:.12g}")
    if setting.maximum is not None:
        parts.append(f"{'below' if setting.exclusive_maximum else 'to'} {setting.maximum:.12g}")
    return "".join(f" {part}" for part in parts)
