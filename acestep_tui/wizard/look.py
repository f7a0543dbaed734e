"""What the set-up has learned about this computer, the model and the songs: one object that all its pages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.contract.feature_models import FEATURE_MODELS

if TYPE_CHECKING:
    from acestep_tui.wizard.schedule_advice import Example
    from engine.hardware.machine import Device, Machine
    from engine.hardware.models import ModelStatus
    from engine.planning.facts import DataFacts
    from engine.planning.plan_view import PlanView
    from engine.planning.recommend import Recommendation
    from engine.planning.sizes import ModelSizes


@dataclass(frozen=True, slots=True)
class SongFacts:
    """The songs in a few numbers and names, as the review and the plan need them.

    Attributes:
        num_files: Audio files found.
        num_usable: Of them, those that will be trained.
        total_s: Seconds of those.
        num_left_out: Files that will not be trained, for whatever reason.
        without_lyrics: File names of usable songs that miss their lyrics (not those marked as without voice).
        unusable: (file name, reason) of files that cannot be trained: "it cannot be read", "it has no caption".
    """

    num_files: int = 0
    num_usable: int = 0
    total_s: float = 0.0
    num_left_out: int = 0
    without_lyrics: tuple[str, ...] = ()
    unusable: tuple[tuple[str, str], ...] = ()


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
        songs: The songs as scanned, in numbers and names; None before the first scan has ended.
        is_scanning: The songs are being looked at.
        data: The songs as they will be trained, for the plan.
        example: What the test song may be made of (`schedule_advice.example_of`), with `songs`.
        plan: What the draft will take.
        features_missing_bytes: What of the models for musical features is not on this computer.
        has_agreed: Their licences were accepted at another time.
    """

    machine: Machine | None = None
    device: Device | None = None
    recommendation: Recommendation | None = None
    model: ModelStatus | None = None
    sizes: ModelSizes | None = None
    is_downloading: bool = False
    songs: SongFacts | None = None
    is_scanning: bool = False
    data: DataFacts | None = None
    example: Example | None = None
    plan: PlanView | None = None
    features_missing_bytes: int = sum(model.download_bytes for model in FEATURE_MODELS)
    has_agreed: bool = False

    @property
    def download_bytes(self) -> int | None:
        """What is still to be downloaded of the model; None while that is not known."""
        return None if self.model is None else self.model.missing_bytes
