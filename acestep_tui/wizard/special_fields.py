"""Fields that stand for more than one setting, or need more than one row to be edited."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from acestep_tui import format as fmt
from acestep_tui.widgets.field_lines import RUN_WIDTH, Frame
from acestep_tui.widgets.fields import Kind
from acestep_tui.widgets.paint import MUTED, Part, text
from acestep_tui.widgets.path_field import PathField
from acestep_tui.wizard import forms
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.setting_field import SettingField, kind_of
from engine.contract.errors import ModelError
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.fields_base import Setting
from engine.contract.lora_header import find_lora, read_lora_header

_PASSES = re.compile(r"(.+?)\s*(?:pass|passes|epoch|epochs|times|×|x)", re.IGNORECASE)
_TIMES = re.compile(r"(\d+)\s*[x×*]\s*(\d+)", re.IGNORECASE)
_EDITED = ("validation_lyrics",)


def field_for(key: str, draft: Draft, *, label_width: int) -> SettingField:
    """The field of a setting under "More settings", with its help under it."""
    kind = kind_of(SETTINGS_BY_KEY[key])
    made = EditedField if key in _EDITED else SettingPathField if kind == "path" else SettingField
    frame = Frame(label_width, RUN_WIDTH if kind in ("list", "number") else 0, reason_at=2)
    return made(key, draft, with_help=True, frame=frame)


class SettingPathField(PathField, SettingField):
    """A setting that is a path."""

    def reason(self) -> Part:
        """What tab could make of it, else the usual words."""
        return self.candidates() or super().reason()


class LoraField(SettingPathField):
    """The LoRA to start from; its header is read as soon as it is named, so that a wrong file shows here."""

    endings = (".safetensors",)

    @property
    def rank(self) -> int | None:
        """The rank of the LoRA that is chosen; None = there is none, or it cannot be read now."""
        wanted = self.value
        if not wanted:
            return None
        if self._read is None or self._read[0] != wanted:
            try:
                found: int | None = read_lora_header(find_lora(wanted, cwd=Path.cwd())).rank
            except ModelError:
                found = None
            self._read = (wanted, found)
        return self._read[1]

    _read: tuple[str, int | None] | None = None

    def take(self, typed: str) -> str:
        """A LoRA that is here, or nothing."""
        wanted = typed.strip()
        if wanted:
            try:
                path = find_lora(wanted, cwd=Path.cwd())
            except ModelError:
                return "no LoRA file, folder or fetched repository has this name"
            try:
                read_lora_header(path)
            except ModelError:
                return f"{path.name} is no LoRA for this model"
        return super().take(typed)

    def reason(self) -> Part:
        """What the file is."""
        if not self.is_open or self.rank is None or self.candidates():
            return super().reason()
        return text(f"Its rank counts: {self.rank}.", MUTED)


class StepsField(SettingField):
    """The length of the run in steps; ``90 passes`` gives it in passes over the songs."""

    def __init__(self, draft: Draft, **rest: Any) -> None:
        super().__init__("max_train_steps", draft, **rest)
        # A file writes 0 where the other one gives the length; here one field is both.
        self.setting = replace(self.setting, minimum=1)
        self._passes = replace(SETTINGS_BY_KEY["num_train_epochs"], minimum=1)

    @property
    def is_in_passes(self) -> bool:
        """Whether the length is given in passes."""
        return bool(self.draft.value("num_train_epochs"))

    def value_text(self) -> str:
        """Steps, or passes."""
        if self.is_in_passes:
            return fmt.plural(self.draft.value("num_train_epochs"), "pass", "passes")
        return super().value_text()

    def is_yours(self) -> bool:
        """Whether either differs."""
        return self.draft.is_yours("num_train_epochs") or (not self.is_in_passes and super().is_yours())

    def take(self, typed: str) -> str:
        """Steps, or passes."""
        found = _PASSES.fullmatch(typed.strip())
        if found is None:
            if not typed.strip():
                self.restore()
            return super().take(typed)
        parsed = forms.parse(self._passes, found[1])
        if not parsed.error and not parsed.is_empty:
            self.draft.set("num_train_epochs", parsed.value)
        return parsed.error

    def step(self, direction: int) -> None:
        """More or fewer of what is shown."""
        if self.is_in_passes:
            passes = forms.step_value(self._passes, self.draft.value("num_train_epochs"), direction)
            self.draft.set("num_train_epochs", passes)
        else:
            super().step(direction)

    def restore(self) -> None:
        """The proposed steps."""
        self.draft.unset("num_train_epochs")
        self.draft.unset("max_train_steps")

    def explained(self) -> tuple[Setting, ...]:
        """Both."""
        return (SETTINGS_BY_KEY[self.setting.key], SETTINGS_BY_KEY[self._passes.key])


class SongsPerStepField(SettingField):
    """``1 × 4``: songs at once, times how often before each change of the model."""

    def __init__(self, draft: Draft, **rest: Any) -> None:
        super().__init__("gradient_accumulation_steps", draft, **rest)
        self._at_once = SETTINGS_BY_KEY["train_batch_size"]

    def value_text(self) -> str:
        """Both numbers."""
        return f"{self.draft.value('train_batch_size')} × {self.draft.value('gradient_accumulation_steps')}"

    def placeholder(self) -> str:
        """What is recommended."""
        recommended = self.draft.recommended
        return f"{recommended('train_batch_size')} × {recommended('gradient_accumulation_steps')}"

    def is_yours(self) -> bool:
        """Whether either differs."""
        return super().is_yours() or self.draft.is_yours("train_batch_size")

    def take(self, typed: str) -> str:
        """Both numbers, written as a product."""
        if not typed.strip():
            self.restore()
            return ""
        found = _TIMES.fullmatch(typed.strip())
        if found is None:
            return "write it as a product: 1 × 4"
        for setting, number in ((self._at_once, found[1]), (self.setting, found[2])):
            parsed = forms.parse(setting, number)
            if parsed.error:
                return parsed.error
            self._put(setting.key, parsed.value)
        return ""

    def _put(self, key: str, value: Any) -> None:
        if value == self.draft.recommended(key):
            self.draft.unset(key)
        if value != self.draft.value(key):
            self.draft.set(key, value)

    def restore(self) -> None:
        """Both recommendations."""
        self.draft.unset("train_batch_size")
        self.draft.unset("gradient_accumulation_steps")

    def explained(self) -> tuple[Setting, ...]:
        """Both."""
        return (self._at_once, self.setting)


class EditedField(SettingField):
    """A text of several lines; Enter opens it in a box."""

    def _kind(self, setting: Setting) -> Kind:
        del setting
        return "editor"

    def value_text(self) -> str:
        """The first line, and how many there are."""
        lines = str(self.value or "").splitlines()
        if not lines:
            return forms.show(self.setting, None)
        return lines[0] if len(lines) == 1 else f"{lines[0]} …  {fmt.plural(len(lines), 'line')}"

    def edit(self) -> None:
        """Open the box."""
        from acestep_tui.screens.editor import EditorDialog

        self.app.push_screen(EditorDialog(self.label, str(self.value or ""), self.setting.help), self._edited)

    def _edited(self, text: str | None) -> None:
        if text is not None:
            self.put_value(text.strip("\n") or None)
            self.changed()
            self.show()
