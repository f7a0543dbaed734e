"""Saving a draft as a preset: asks where, writes in a thread, and knows the command that starts the same run."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_tui.paths import absolute, shown
from acestep_tui.recent import remember_preset
from acestep_tui.screens.dialog import Choice, Dialog
from acestep_tui.screens.value_dialog import ValueDialog
from acestep_tui.widgets.paint import BOLD, join
from acestep_tui.wizard.draft import SOURCE_KEYS, Draft
from acestep_tui.wizard.fields import STEP_IDS
from acestep_tui.wizard.preset import command, open_preset, preset_name, preset_place, save_preset, to_preset
from engine.contract.errors import UserError
from engine.contract.fields import SETTINGS
from engine.planning.advice import Advice

if TYPE_CHECKING:
    from acestep_tui.screens.wizard import WizardScreen

_PRESETS = "~/acestep/presets"


@dataclass(frozen=True, slots=True)
class _Job:
    """One saving, for a thread.

    Attributes:
        typed: The place as typed.
        draft: The draft as it is now; what is changed meanwhile does not reach the thread.
        own: The file that may be replaced without a word: it was saved from here.
        copies: Copy the command afterwards.
    """

    typed: str
    draft: Draft
    own: Path | None
    copies: bool


class PresetSaver:
    """The preset of one set-up.

    Attributes:
        path: Where it was saved last.
    """

    def __init__(self, screen: WizardScreen) -> None:
        self._screen = screen
        self.path: Path | None = None
        self._saved_preset: dict[str, Any] | None = None

    @property
    def is_current(self) -> bool:
        """Whether what is saved at `path` is what is on the screen."""
        return self.path is not None and self._saved_preset == to_preset(self._screen.draft)

    @property
    def command(self) -> str:
        """The same run without screens."""
        return command(self._screen.draft, self.path)

    @property
    def _place(self) -> str:
        return shown(self.path) if self.path is not None else f"./{preset_place(self._screen.draft)}"

    def ask(self) -> None:
        """Ask for the place."""
        reason = f"Or {_PRESETS}/{preset_name(self._screen.draft)}. acestep-tui --run starts it from there."
        dialog = ValueDialog("Save preset", self._place, reason, parse=_checked)
        self._screen.app.push_screen(dialog, self._named)

    def _named(self, typed: str | None) -> None:
        if typed is not None:
            self._begin(typed, copies=False)

    def copy_command(self) -> None:
        """Copy the command; the preset that it names is saved first, so that it works."""
        self._begin(self._place, copies=True)

    def _begin(self, typed: str, *, copies: bool) -> None:
        self._run(_Job(typed, deepcopy(self._screen.draft), self.path, copies))

    def _run(self, job: _Job) -> None:
        self._screen.run_worker(lambda: self._save(job), thread=True, exit_on_error=False, group="preset")

    def _save(self, job: _Job) -> None:
        """In a thread."""
        call = self._screen.app.call_from_thread
        try:
            path = absolute(job.typed)
            is_there = _holds(path, job.draft)
            if not is_there:
                if path.exists() and path != job.own:
                    call(self._ask_to_replace, job, path)
                    return
                path.parent.mkdir(parents=True, exist_ok=True)
                save_preset(job.draft, path)
            remember_preset(path)
        except (UserError, OSError) as error:
            said = error.message if isinstance(error, UserError) else f"{job.typed}: {error.strerror or error}"
            call(self._screen.house.toast, "error", "The preset could not be saved.", said)
            return
        call(self._saved, job, path, is_there)

    def _ask_to_replace(self, job: _Job, path: Path) -> None:
        cost = "nothing is saved, nothing is copied" if job.copies else "nothing is saved"
        dialog = Dialog(
            "Replace the file?",
            [join((shown(path), BOLD), " is there already, and holds something else.")],
            [Choice("escape", "Leave it", cost), Choice("r", "Replace it", "what it holds is lost")],
        )

        def answered(answer: str | None) -> None:
            if answer == "r":
                self._run(replace(job, own=path))
            elif job.copies:
                self._screen.house.toast("info", "Nothing was copied.", "^s saves the preset under another name.")

        self._screen.app.push_screen(dialog, answered)

    def _saved(self, job: _Job, path: Path, was_there: bool) -> None:
        self.path, self._saved_preset = path, to_preset(job.draft)
        self._screen.redraw_pages("plan")
        house, place = self._screen.house, shown(path)
        if not job.copies:
            house.toast("done", f"Saved {place}.", f"The same run: {self.command}")
            return
        line = command(job.draft, path)
        if was_there:
            house.copy(line, f"the command; {place} is saved")
            return
        house.copy_to_clipboard(line)
        house.toast("done", f"Saved {place}, copied the command.", line)


def _holds(path: Path, draft: Draft) -> bool:
    """Whether a file is this very preset, whoever saved it."""
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")) == to_preset(draft))
    except (OSError, ValueError):
        return False


def read_preset(source: str) -> tuple[Draft | None, tuple[str, ...]]:
    """A preset or configuration as a draft at the review, with what is to be said; None when it cannot be read.

    For a thread.
    """
    try:
        opened = open_preset(source, cwd=Path.cwd())
    except (UserError, OSError) as error:
        said = (error.message, error.hint) if isinstance(error, UserError) else (str(error), "")
        return None, tuple(part for part in said if part)
    _hold_to_defaults(opened.draft)
    opened.draft.visited = list(STEP_IDS)
    opened.draft.step = "review"
    return opened.draft, tuple(notice.message for notice in opened.notices)


def _hold_to_defaults(draft: Draft) -> None:
    """What a file leaves out has its default, as on the command line: proposals stay proposals."""
    held = draft.layers["preset"]
    for setting in SETTINGS:
        if setting.key not in held and setting.key not in (*SOURCE_KEYS, "output_dir"):
            held[setting.key] = Advice(setting.default, "")
    if draft.value("num_train_epochs"):
        held["max_train_steps"] = Advice(0, "")  # the length is given once


def _checked(typed: str) -> str:
    """The place as typed, with its ending.

    Raises:
        ValueError: Nothing was typed, or a folder.
    """
    name = typed.strip()
    if not name or name.endswith("/"):
        raise ValueError("a file name, such as ./night.json")
    return name if name.endswith(".json") else f"{name}.json"
