"""Which settings stand on which page of the set-up: read from their declarations, so a new one appears by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.contract.fields import SETTINGS
from engine.contract.fields_base import Setting, WizardStep

MAX_MAIN_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One page of the set-up: its identifier, its name in the stepper, the question at its top."""

    id: WizardStep
    name: str
    question: str


STEPS: tuple[Step, ...] = (
    Step("hardware", "Hardware", "What will train?"),
    Step("model", "Model", "Which model?"),
    Step("dataset", "Dataset", "Your songs"),
    Step("method", "Method", "What should it learn?"),
    Step("schedule", "Schedule", "How long, and how will you hear it?"),
    Step("review", "Review", "Ready to start"),
)
STEP_IDS: tuple[WizardStep, ...] = tuple(step.id for step in STEPS)


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """Settings that stand together under "More settings"."""

    section: str
    settings: tuple[Setting, ...]


def label(setting: Setting) -> str:
    """What a setting is called on its page."""
    return setting.short or setting.label


def main_fields(
    step: WizardStep, settings: Sequence[Setting] = SETTINGS, *, with_coming: bool = False
) -> tuple[Setting, ...]:
    """The at most five fields of a page, in their order.

    Args:
        step: The page.
        settings: All declarations.
        with_coming: Also those that do nothing in this version, in the place they will have; never to be changed.
    """
    there = [one for one in settings if one.wizard_step == step and one.main_order > 0]
    shown = [one for one in there if one.is_offered or (with_coming and one.status == "later")]
    return tuple(sorted(shown, key=lambda one: one.main_order)[:MAX_MAIN_FIELDS])


def more_fields(step: WizardStep, settings: Sequence[Setting] = SETTINGS, *, text: str = "") -> tuple[FieldGroup, ...]:
    """Everything else that works and belongs to a page, by section; empty groups are left out.

    Args:
        step: The page.
        settings: All declarations.
        text: Only settings whose label, key or help holds every word of this.
    """
    main = {one.key for one in main_fields(step, settings)}
    words = text.casefold().split()
    groups: dict[str, list[Setting]] = {}
    for setting in settings:
        # A negative order: the page has its own way to choose it (the goal's list, the table of songs).
        if setting.wizard_step != step or not setting.is_offered or setting.main_order < 0 or setting.key in main:
            continue
        haystack = f"{label(setting)} {setting.label} {setting.key} {setting.help} {setting.section}".casefold()
        if all(word in haystack for word in words):
            groups.setdefault(setting.section, []).append(setting)
    return tuple(FieldGroup(section, tuple(group)) for section, group in groups.items())
