"""The parts of the model's page: its two fields, the rows of what is here, the download, the words under it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.content import Content

from acestep_tui.commands import bindings
from acestep_tui.paths import absolute, shown
from acestep_tui.widgets.field_lines import Frame
from acestep_tui.widgets.paint import MUTED, Part
from acestep_tui.widgets.path_field import PathField
from acestep_tui.wizard.model_page import action_line, bar_line, message_lines, part_lines
from acestep_tui.wizard.setting_field import SettingField
from acestep_tui.wizard.steps.base import KeyRow, Passage

if TYPE_CHECKING:
    from acestep_tui.wizard.steps.model import ModelStep

MODEL_KEY = "pretrained_model_name_or_path"
# Room at the right for "● yours".
_FRAME = Frame(run_width=48)


class ModelField(PathField, SettingField):
    """A hub name, or a folder."""

    endings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, step: ModelStep) -> None:
        super().__init__(MODEL_KEY, step.draft, frame=_FRAME)
        self._step = step

    def reason(self) -> Part:
        """What tab could make of it; else what it may be."""
        return self.candidates() or ("A hub name, or a folder that already holds the model.", MUTED)

    def action_enter(self) -> None:
        """Begin the download that the footer offers, else go on."""
        if not self._step.download():
            super().action_enter()


class KeepField(PathField):
    """Where the hub client keeps what it downloads."""

    endings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, step: ModelStep) -> None:
        super().__init__("Keep it in", "text", frame=_FRAME, id="keep")
        self._step = step

    def value_text(self) -> str:
        """The folder."""
        return self._step.draft.hub_folder or self.placeholder()

    def placeholder(self) -> str:
        """The usual one."""
        usual = self._step.usual_folder
        return shown(usual) if usual is not None else ""

    def is_yours(self) -> bool:
        """Whether it is another one."""
        return bool(self._step.draft.hub_folder)

    def reason(self) -> Part:
        """Why there."""
        if self.is_yours():
            return self.candidates() or (f"{self.placeholder()} is usual; other programs look there.", MUTED)
        return self.candidates() or ("Shared with other programs, so it is downloaded once.", MUTED)

    def take(self, typed: str) -> str:
        """Another folder; an empty text and the usual one are the usual one."""
        usual = self._step.usual_folder
        is_usual = not typed.strip() or (usual is not None and absolute(typed) == usual)
        self._step.draft.hub_folder = "" if is_usual else typed.strip()
        return ""

    def restore(self) -> None:
        """The usual one."""
        self._step.draft.hub_folder = ""

    def action_enter(self) -> None:
        """Begin the download that the footer offers, else go on."""
        if not self._step.download():
            super().action_enter()


class Parts(Passage):
    """The four parts."""

    def __init__(self, step: ModelStep) -> None:
        super().__init__()
        self._step = step

    def drawn(self, width: int) -> Sequence[Content]:
        """A row each."""
        return part_lines(self._step.shown, width)


class DownloadRow(KeyRow):
    """The download: begun here, then its bar."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("download")
    DEFAULT_CSS = "DownloadRow { height: 1; }"

    def __init__(self, step: ModelStep) -> None:
        super().__init__()
        self._step = step

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The one row."""
        del height
        facts = self._step.shown
        if facts.is_downloading and not facts.is_asked:
            return [bar_line(facts.seen, width, is_focused=self.has_focus)]
        return [action_line(facts, width, is_focused=self.has_focus)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now."""
        del parameters
        return self._step.shown.is_downloading if action == "stop" else True

    def action_begin(self) -> None:
        """Enter: download, or on to the next page."""
        if not self._step.download():
            self._step.go_on_from(self)

    def action_stop(self) -> None:
        """Stop it; what arrived stays."""
        self._step.stop()

    def taken(self) -> None:
        """A click on the offer takes it."""
        if self._step.shown.can_download:
            self._step.download()


class Words(Passage):
    """What to know, and what to do."""

    def __init__(self, step: ModelStep) -> None:
        super().__init__()
        self._step = step

    def drawn(self, width: int) -> Sequence[Content]:
        """All lines at this width."""
        step = self._step
        return message_lines(step.shown, step.usual_folder or Path(), width)
