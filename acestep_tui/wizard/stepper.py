"""The row of pages on top of the set-up: ``✓ Hardware  2 Model  3 Dataset …``; a click goes to a page seen before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message

from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import ACCENT, BOLD, ERROR, HAIRLINE, MUTED, SUCCESS, join, text
from acestep_tui.wizard.fields import STEPS
from engine.contract.fields_base import WizardStep

_ROOMY = 100
_LEAST = 64


class Stepper(Lines):
    """The pages with what is done, where one is, and where something is wrong."""

    DEFAULT_CSS = """
    Stepper { height: 1; }
    """

    @dataclass
    class Wanted(Message):
        """A click on a page seen before."""

        step: WizardStep

    def __init__(self) -> None:
        super().__init__()
        self._current: WizardStep = "hardware"
        self._visited: Collection[WizardStep] = ()
        self._wrong: Collection[WizardStep] = ()

    def show(self, current: WizardStep, visited: Collection[WizardStep], wrong: Collection[WizardStep]) -> None:
        """Show where one is, which pages were seen, and which have a problem."""
        self._current, self._visited, self._wrong = current, tuple(visited), frozenset(wrong)
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The row."""
        del height
        return [self._gap(width).join(self._names(width))]

    def _gap(self, width: int) -> Content:
        return join(" ", ("───", HAIRLINE), " ") if width >= _ROOMY - 6 else text("  ")

    def _names(self, width: int) -> list[Content]:
        # Without room only the current page keeps its name.
        is_tight = width < _LEAST
        return [
            step_name(
                number,
                "" if is_tight and step.id != self._current else step.name,
                is_current=step.id == self._current,
                is_visited=step.id in self._visited,
                is_wrong=step.id in self._wrong,
            )
            for number, step in enumerate(STEPS, start=1)
        ]

    def on_click(self, event: events.Click) -> None:
        """Go to a page that was seen."""
        start, gap = 0, self._gap(self.size.width).cell_length
        for step, name in zip(STEPS, self._names(self.size.width), strict=True):
            end = start + name.cell_length
            if start <= event.x < end and step.id in self._visited and step.id != self._current:
                self.post_message(self.Wanted(step.id))
            start = end + gap


def step_name(number: int, name: str, *, is_current: bool, is_visited: bool, is_wrong: bool) -> Content:
    """One page in the row."""
    if is_wrong:
        style = f"{BOLD} {ERROR}" if is_current else ERROR
        return join(("✗ ", ERROR), (f"{number} {name}".rstrip(), style))
    if is_current:
        return join((f"{number} {name}", f"{BOLD} {ACCENT}"))
    if is_visited:
        return join(("✓", SUCCESS), f" {name}" if name else "")
    return join((str(number), HAIRLINE), (f" {name}" if name else "", MUTED))
