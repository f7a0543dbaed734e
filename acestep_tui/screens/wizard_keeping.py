"""The draft of a set-up on disk: written within a second of each change, said in the header."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message
from textual.timer import Timer

from acestep_tui.widgets.paint import MUTED, WARNING, Part, join, text
from acestep_tui.wizard.draft import Draft
from acestep_tui.wizard.keeper import DraftKeeper

if TYPE_CHECKING:
    from acestep_tui.screens.wizard import WizardScreen

# With the time of writing, the draft is on disk within a second of each change.
_SAVE_AFTER_S = 0.8


@dataclass
class DraftKept(Message):
    """The draft was written, or could not be, for this reason."""

    problem: str


class Keeping:
    """Keeps one set-up's draft.

    Args:
        screen: The set-up.
        draft: Its draft.
        path: The draft's file, if it has one.
    """

    def __init__(self, screen: WizardScreen, draft: Draft, path: Path | None) -> None:
        self._screen = screen

        def tell(problem: str) -> None:
            screen.post_message(DraftKept(problem))

        self._keeper = DraftKeeper(draft, path, tell)
        self._timer: Timer | None = None
        self.is_kept = path is not None
        self.problem = ""

    @property
    def path(self) -> Path | None:
        """The draft's file."""
        return self._keeper.path

    @property
    def will_be_kept(self) -> bool:
        """Whether the draft is on disk, or will be once the screen is closed."""
        return self.is_kept or self._timer is not None

    def touch(self) -> None:
        """The draft differs from what is on disk."""
        if self._timer is None:
            self._timer = self._screen.set_timer(_SAVE_AFTER_S, self._save)

    def arrived(self) -> None:
        """Another page is up; a look around that chose nothing leaves no draft."""
        if self.will_be_kept or self._keeper.draft.has_choices:
            self.touch()

    def flush(self) -> None:
        """However one leaves, the last change is written."""
        if self._timer is not None:
            self._timer.stop()
            self._save()

    def _save(self) -> None:
        self._timer = None
        self._keeper.save()

    def told(self, message: DraftKept) -> None:
        """Remember how the last writing went."""
        self.is_kept, self.problem = not message.problem, message.problem

    def forget(self) -> None:
        """The run has started: the draft goes. For a thread."""
        self._keeper.remove()

    @property
    def words(self) -> Part:
        """What the header says; a blank while nothing was written."""
        if self.problem:
            return join((f"draft not saved: {self.problem}", WARNING))
        return text("draft saved", MUTED) if self.is_kept else " "
