"""What the set-up has learned about this computer, the model and the songs: one object that all its pages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acestep_tui.wizard.schedule_advice import Example
    from acestep_tui.wizard.songs import Songs
    from engine.hardware.machine import Device, Machine
    from engine.hardware.models import ModelStatus
    from engine.planning.facts import DataFacts
    from engine.planning.plan_view import PlanView
    from engine.planning.recommend import Recommendation
    from engine.planning.sizes import ModelSizes


@dataclass
class WizardFacts:
    """Facts, each None until whoever looks for it has found it.

    Attributes:
        machine: The computer.
        device: What will train, as chosen on the first page.
        recommendation: What suits that device.
        model: What of the model is on this computer.
        sizes: The model's sizes, once it is on this computer; the plan takes the published ones before that.
        is_downloading: The model is on its way, so a start has to wait.
        songs: The songs as scanned; while the scan runs, those found so far.
        is_scanning: The songs are being looked at.
        data: The songs as they will be trained, for the plan.
        example: What the test song may be made of (`schedule_advice.example_of`), with `songs`.
        plan: What the draft will take.
    """

    machine: Machine | None = None
    device: Device | None = None
    recommendation: Recommendation | None = None
    model: ModelStatus | None = None
    sizes: ModelSizes | None = None
    is_downloading: bool = False
    songs: Songs | None = None
    is_scanning: bool = False
    data: DataFacts | None = None
    example: Example | None = None
    plan: PlanView | None = None

    @property
    def download_bytes(self) -> int | None:
        """What is still to be downloaded of the model; None while that is not known."""
        return None if self.model is None else self.model.missing_bytes
