"""Saving a draft as a preset: asks where, writes in a thread, and knows the command that starts the same run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from acestep_tui.paths import absolute, shown
from acestep_tui.recent import remember_preset
from acestep_tui.screens.dialog import Choice, Dialog
from acestep_tui.screens.value_dialog import ValueDialog
from acestep_tui.widgets.paint import BOLD, join
from acestep_tui.wizard.draft import SOURCE_KEYS, Draft, slug
from acestep_tui.wizard.fields import STEP_IDS
from acestep_tui.wizard.preset import command, open_preset, save_preset
from engine.contract.errors import UserError
from engine.contract.fields import SETTINGS
from engine.planning.advice import Advice

if TYPE_CHECKING:
    from acestep_tui.screens.wizard import WizardScreen

_PRESETS = "~/acestep/presets"


class PresetSaver:
    """The preset of one set-up.

    Attributes:
        path: Where it was saved last.
        is_current: What is saved there is what is on the screen.
    """

    def __init__(self, screen: WizardScreen) -> None:
        self._screen = screen
        self.path: Path | None = None
        self.is_current = False

    @property
    def command(self) -> str:
        """The same run without screens."""
        return command(self._screen.draft, self.path if self.is_current else None)

    def ask(self) -> None:
        """Ask for the place."""
        name = f"{slug(self._screen.draft.name) or 'preset'}.json"
        proposed = shown(self.path) if self.path is not None else f"./{name}"
        reason = f"Or {_PRESETS}/{name}. acestep-tui --run starts it from there."
        dialog = ValueDialog("Save preset", proposed, reason, parse=_checked)
        self._screen.app.push_screen(dialog, self._named)

    def _named(self, typed: str | None) -> None:
        if typed is None:
            return
        path = absolute(typed)
        self._screen.run_worker(
            lambda: self._save(path, replaces=path == self.path), thread=True, exit_on_error=False, group="preset"
        )

    def _save(self, path: Path, *, replaces: bool) -> None:
        """In a thread."""
        call = self._screen.app.call_from_thread
        if path.exists() and not replaces:
            call(self._ask_to_replace, path)
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_preset(self._screen.draft, path)
            remember_preset(path)
        except (UserError, OSError) as error:
            said = error.message if isinstance(error, UserError) else f"{path}: {error.strerror or error}"
            call(self._screen.house.toast, "error", "The preset could not be saved.", said)
            return
        call(self._saved, path)

    def _ask_to_replace(self, path: Path) -> None:
        dialog = Dialog(
            "Replace the file?",
            [join((shown(path), BOLD), " is there already.")],
            [Choice("escape", "Leave it", "nothing is saved"), Choice("r", "Replace it", "what it holds is lost")],
        )

        def answered(answer: str | None) -> None:
            if answer == "r":
                self._screen.run_worker(
                    lambda: self._save(path, replaces=True), thread=True, exit_on_error=False, group="preset"
                )

        self._screen.app.push_screen(dialog, answered)

    def _saved(self, path: Path) -> None:
        self.path, self.is_current = path, True
        self._screen.show_plan()
        self._screen.house.toast("done", f"Saved {shown(path)}.", f"The same run: {self.command}")

    def copy_command(self) -> None:
        """Copy the command; say what is still missing for it to work."""
        self._screen.house.copy(self.command, "the command")
        if not self.is_current:
            self._screen.house.toast("info", "Its file is not saved yet: ^s saves it.")


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
