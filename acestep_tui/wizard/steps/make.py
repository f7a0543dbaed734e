"""The pages by their keys, each imported when it is needed."""

from __future__ import annotations

from acestep_tui.wizard.steps.base import Step
from engine.contract.fields_base import WizardStep


def make_step(key: WizardStep) -> Step:
    """A page."""
    if key == "hardware":
        from acestep_tui.wizard.steps.hardware import HardwareStep

        return HardwareStep()
    if key == "model":
        from acestep_tui.wizard.steps.model import ModelStep

        return ModelStep()
    if key == "dataset":
        from acestep_tui.wizard.steps.dataset import DatasetStep

        return DatasetStep()
    if key == "method":
        from acestep_tui.wizard.steps.method import MethodStep

        return MethodStep()
    if key == "schedule":
        from acestep_tui.wizard.steps.schedule import ScheduleStep

        return ScheduleStep()
    from acestep_tui.wizard.steps.review import ReviewStep

    return ReviewStep()
