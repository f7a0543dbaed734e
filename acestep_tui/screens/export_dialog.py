"""What came out of a run, where exporting to other formats will be asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from acestep_tui.paths import shown
from acestep_tui.screens.dialog import Choice, Dialog

if TYPE_CHECKING:
    from acestep_tui.app import AceStepApp


def copy_result(house: AceStepApp, path: Path) -> None:
    """Copy the path of what came out."""
    house.copy(str(path), "the path of the LoRA")


def show_export(house: AceStepApp, name: str, path: Path) -> None:
    """Say where the LoRA of the run ``name`` is; its path can be copied."""
    words = [
        "Other formats than this one come with a later version.",
        "What is there is read by ComfyUI and ACE-Step as it is:",
        shown(path),
    ]
    choices = [Choice("escape", "Close"), Choice("y", "Copy the path")]

    def answered(answer: str | None) -> None:
        if answer == "y":
            copy_result(house, path)

    house.push_screen(Dialog(f"Export {name}", words, choices), answered)
