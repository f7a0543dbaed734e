"""The mock-ups' computer and songs for the set-up; made up, never in code."""

from __future__ import annotations

from pathlib import Path

from acestep_tui.screens.wizard import WizardScreen
from acestep_tui.wizard.draft import Draft
from engine.hardware.logout import LogOut
from engine.hardware.machine import AUDIO_FORMATS, Card, Machine

GB = 2**30
MACHINE = Machine(
    cards=(Card(0, "NVIDIA GeForce RTX 4070", 12 * GB, int(11.6 * GB), 41.0, 0.0, (8, 9)),),
    driver="580.95",
    driver_cuda="13.0",
    torch_cuda="13.0",
    ram_total_bytes=64 * GB,
    ram_free_bytes=51 * GB,
    num_cores=16,
    folder=Path("/home/mara"),
    disk_free_bytes=212 * GB,
    audio_formats=AUDIO_FORMATS,
    log_out=LogOut(kills=True, has_linger=False, user="mara"),
    has_compiler=True,
)


def wizard(draft: Draft | None = None, *, machine: Machine = MACHINE, path: Path | None = None) -> WizardScreen:
    """A set-up that finds this computer instead of the real one."""
    screen = WizardScreen(draft, path=path)
    screen.look = lambda folder: machine  # type: ignore[assignment]
    return screen
