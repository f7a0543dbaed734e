"""The short look at this computer that Home shows; for a thread, no screen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from acestep_tui import format as fmt
from acestep_tui.doctor import Check, free_of, machine_checks
from engine.contract.fields import SETTINGS_BY_KEY
from engine.hardware.machine import Machine, look_at_machine
from engine.hardware.models import model_status

_MODEL_KEY = "pretrained_model_name_or_path"


def look_for_home(folder: Path) -> tuple[list[Check], list[Check], Check]:
    """What newcomers are shown, what the others are, and the model's row.

    Args:
        folder: Where runs are kept.
    """
    machine = look_at_machine(folder)
    return home_checks(machine), in_use_checks(machine), model_check()


def home_checks(machine: Machine) -> list[Check]:
    """The checks with a word on what they mean for training, instead of a cure."""
    said = {"Memory": "enough", "Disk": "enough", "Audio": "nothing to install"}
    return [
        dataclasses.replace(check, cure=said[check.name])
        if check.state == "ok" and check.name in said
        else dataclasses.replace(check, cure=_good_for(machine))
        if check.name == "Graphics card"
        else check
        for check in machine_checks(machine)
    ]


def _good_for(machine: Machine) -> str:
    free = machine.devices()[0].free_bytes or 0
    if machine.devices()[0].kind == "cpu":
        return "good for the demo"
    return "good for a LoRA" if free >= 6 * fmt.GB else "good for the demo"


def in_use_checks(machine: Machine) -> list[Check]:
    """One short fact each: the card, the disk."""
    checks = []
    for card in machine.cards[:1]:
        used = None if card.total_bytes is None or card.free_bytes is None else card.total_bytes - card.free_bytes
        fact = free_of(used, card.total_bytes, word="used")
        checks.append(Check("ok", "Graphics card", f"{card.short_name.removeprefix('NVIDIA ')}  {fact}"))
    checks += [check for check in machine_checks(machine) if check.name == "Graphics card" and not machine.cards]
    disk = next(check for check in machine_checks(machine) if check.name == "Disk")
    return [*checks, Check(disk.state, "Disk", f"disk {fmt.size(machine.disk_free_bytes)} free")]


def model_check(name: str = "") -> Check:
    """Whether the model of the default settings is on this computer."""
    status = model_status(name or str(SETTINGS_BY_KEY[_MODEL_KEY].default))
    if status.is_whole:
        return Check("ok", "Model", "on this computer")
    left = status.missing_bytes
    size = f"{fmt.size(left)} to download" if left else "to be downloaded"
    return Check("warning", "Model", "not on this computer yet", size)
