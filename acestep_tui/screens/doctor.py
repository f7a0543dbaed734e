"""This computer in full: each thing that matters for training, whether it is fine, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from acestep_tui.commands import bindings
from acestep_tui.doctor import Check, machine_checks, network_check, report_lines, write_speed_check
from acestep_tui.doctor_training import training_checks
from acestep_tui.paths import absolute
from acestep_tui.screens.base import HouseScreen
from acestep_tui.widgets.paint import BOLD, MUTED, fit, join, text, title, wrap
from acestep_tui.widgets.rows import Rows
from engine.hardware.machine import look_at_machine

_NAME_WIDTH = 16
_WAITING = ("Graphics card", "Memory", "Disk", "Audio", "Writing", "Network")


class DoctorScreen(HouseScreen):
    """The report; everything is looked at in a thread."""

    CSS_PATH = Path(__file__).with_name("doctor.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings("doctor")
    scopes = ("doctor",)
    help_title = "This computer"

    @dataclass
    class Looked(Message):
        """More is known."""

        checks: list[Check]
        is_all: bool

    def __init__(self) -> None:
        super().__init__()
        self.checks: list[Check] = []
        self._is_all = False
        self._lines: list[Content] = []

    def compose_body(self) -> Iterable[Widget]:
        """One scrolling page."""
        yield Rows(self._draw, shows_cursor=False, id="page")

    def on_mount(self) -> None:
        """Look."""
        self.show_header(("This computer", BOLD))
        self.query_one("#page", Rows).focus()
        self.look()

    def on_resize(self, event: object) -> None:
        """Another width is another page."""
        super().on_resize(event)  # type: ignore[arg-type]
        self._fill()

    @work(thread=True, exclusive=True, exit_on_error=False, group="doctor")
    def look(self) -> None:
        """What is quickly known first, then disk and network."""
        folder = absolute(self.house.settings["runs_folder"])
        machine = look_at_machine(folder)
        checks = machine_checks(machine)
        self.post_message(self.Looked(list(checks), False))
        checks += [write_speed_check(folder), network_check(), *training_checks(machine)]
        self.post_message(self.Looked(checks, True))

    def on_doctor_screen_looked(self, message: Looked) -> None:
        """Show it."""
        self.checks, self._is_all = message.checks, message.is_all
        self._fill()

    def _fill(self) -> None:
        margin = 1 if self.size.width < 100 else 3
        inner = self.size.width - 2 * margin
        lines = page_lines(self.checks, inner, is_all=self._is_all)
        self._lines = [line.pad_left(margin) for line in lines]
        self.query_one("#page", Rows).set_rows(len(self._lines))

    def _draw(self, index: int, width: int, is_selected: bool) -> Content:
        del is_selected
        return fit(self._lines[index], width)

    def action_again(self) -> None:
        """Look again."""
        self._is_all = False
        self._fill()
        self.look()

    def action_copy(self) -> None:
        """The report as text."""
        self.house.copy("\n".join(report_lines(self.checks)), "the report")

    def action_back(self) -> None:
        """Back to where one came from."""
        self.app.pop_screen()


def page_lines(checks: Sequence[Check], width: int, *, is_all: bool) -> list[Content]:
    """The report: a line a fact, what to do under it."""
    live = text("looked just now" if is_all else "looking …", MUTED)
    lines = [title(width, "This computer", live=live, is_focused=True), Content("")]
    for check in checks:
        facts = wrap(check.fact, width - _NAME_WIDTH - 2)
        head = join((check.glyph, check.style), " ", (check.name.ljust(_NAME_WIDTH), BOLD))
        lines.append(head + facts[0])
        lines += [line.pad_left(_NAME_WIDTH + 2) for line in facts[1:]]
        lines += [
            line.pad_left(_NAME_WIDTH + 2)
            for line in (wrap((check.cure, MUTED), width - _NAME_WIDTH - 2) if check.cure else [])
        ]
    known = {check.name for check in checks}
    waiting = [name for name in _WAITING if name not in known] if not is_all else []
    lines += [join((f"– {name}", MUTED)) for name in waiting]
    return lines
