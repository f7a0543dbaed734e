"""A field that is one setting of the draft: everything about it comes from the setting's declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from acestep_tui.format import UNKNOWN
from acestep_tui.widgets.choice_list import Option
from acestep_tui.widgets.field_lines import Frame
from acestep_tui.widgets.fields import Field, Kind
from acestep_tui.widgets.paint import MUTED, WARNING, Part, join
from acestep_tui.wizard import forms
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.fields import label
from engine.contract.fields import SETTINGS, SETTINGS_BY_KEY
from engine.contract.fields_base import Setting

LATER_REASON = "Changing this comes with a later version."
_LONGEST_REASON = 55


class DraftValues(Mapping[str, Any]):
    """A draft's values, read as they are asked for."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def __getitem__(self, key: str) -> Any:
        return self._draft.value(key)

    def __iter__(self) -> Iterator[str]:
        return iter(setting.key for setting in SETTINGS)

    def __len__(self) -> int:
        return len(SETTINGS)


class SettingField(Field):
    """One setting.

    Args:
        key: The setting's.
        draft: What is being set up.
        frame: Where things stand, see `Field`.
        with_help: Say the setting's help where there is no reason.
        reason: Words under it that depend on more than this setting; an empty text falls back to the usual ones.
        after: What follows the run.
        is_known: Whether there is a value to show yet; until then its place is kept.
    """

    def __init__(
        self,
        key: str,
        draft: Draft,
        *,
        frame: Frame | None = None,
        with_help: bool = False,
        reason: Callable[[], Part] | None = None,
        after: Part = "",
        is_known: Callable[[], bool] = lambda: True,
    ) -> None:
        setting = SETTINGS_BY_KEY[key]
        super().__init__(
            label(setting),
            self._kind(setting),
            frame=frame,
            after=after,
            is_open=setting.is_offered,
            id=f"field-{key}",
        )
        self.setting, self.draft = setting, draft
        self._values = DraftValues(draft)
        self._with_help = with_help
        self._reason = reason
        self._is_known = is_known
        self._off_reason = ""

    def _kind(self, setting: Setting) -> Kind:
        return kind_of(setting)

    def close(self, reason: str) -> None:
        """Let nobody change it, for a reason; with an empty one it is open again."""
        self._off_reason = reason
        self.is_open = self.can_focus = self.setting.is_offered and not reason
        self.show()

    def explained(self) -> tuple[Setting, ...]:
        """The settings that F1 explains."""
        return (self.setting,)

    @property
    def value(self) -> Any:
        """The draft's value."""
        return self.draft.value(self.setting.key)

    def value_text(self) -> str:
        """The value in words."""
        if not self._is_known():
            return UNKNOWN
        if self.value is None and self.kind in ("text", "path"):
            return ""
        return forms.show(self.setting, self.value, self._values)

    def placeholder(self) -> str:
        """The recommended value."""
        return forms.show(self.setting, self.draft.recommended(self.setting.key), self._values)

    def is_yours(self) -> bool:
        """Whether it differs from what is recommended."""
        return self.draft.is_yours(self.setting.key)

    def reason(self) -> Part:
        """Why this value; of one of yours, what is recommended instead."""
        if not self.is_open:
            return join((self._off_reason or LATER_REASON, MUTED))
        if not self._is_known():
            return ""
        said = forms.note(self.setting, self.value)
        if said:
            return join(("▲ ", WARNING), (said, MUTED))
        computed = self._reason() if self._reason is not None else ""
        if computed:
            return computed
        return join((self._plain_reason(), MUTED))

    def _plain_reason(self) -> str:
        if self.is_yours():
            said = f"{self.placeholder()} is recommended; ⌫ in the empty field brings it back."
            if self.kind == "list":
                said = f"{self.placeholder()} is recommended; ⌫ brings it back."
            return said if len(said) <= _LONGEST_REASON else f"{self.placeholder()} is recommended."
        said = self.draft.reason(self.setting.key)
        return said or (self.setting.help if self._with_help or len(self.setting.help) <= _LONGEST_REASON else "")

    def options(self) -> Sequence[Option]:
        """The values of this version, then those of a later one that have a name."""
        words = dict(self.setting.value_words)
        later = [Option(value, words[value], is_later=True) for value in self.setting.later_values if value in words]
        return [
            *(Option(choice.value, choice.word) for choice in forms.choices(self.setting, self._values)),
            *later,
        ]

    def current(self) -> Any:
        """The value."""
        return self.value

    def choose(self, value: Any) -> None:
        """Take an option; the recommended one is not yours."""
        self.put_value(value)

    def put_value(self, value: Any) -> None:
        """Set the draft's value."""
        key = self.setting.key
        if value == self.draft.recommended(key) and self.draft.origin(key) == "yours":
            self.draft.unset(key)
        if value != self.draft.value(key):
            self.draft.set(key, value)

    def take(self, typed: str) -> str:
        """Read a typed text."""
        parsed = forms.parse(self.setting, typed, self._values)
        if parsed.is_empty:
            self.draft.unset(self.setting.key)
        elif not parsed.error:
            self.put_value(parsed.value)
        return parsed.error

    def step(self, direction: int) -> None:
        """One step up or down; from a value that is not a number (the model's own limit) to the number beside it."""
        stepped = forms.step_value(self.setting, self.value, direction)
        was_none = self.value is None
        self.put_value(stepped)
        if was_none and self.value is None:
            self.put_value(forms.step_value(self.setting, stepped, direction))

    def restore(self) -> None:
        """The recommendation."""
        self.draft.unset(self.setting.key)


def kind_of(setting: Setting) -> Kind:
    """How a setting is changed."""
    if setting.type in ("bool", "choice"):
        return "list"
    if setting.type in ("int", "float"):
        return "number"
    return "path" if setting.type == "path" else "text"
