"""Panel 7, Log: what happened, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Copied, Page, Panel
from acestep_tui.runs.log import LogEntry
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import ACCENT, ERROR, MUTED, SUCCESS, WARNING, Part, fit, join, text

# Cells of a time, with the clock of 24 hours and of 12.
_CLOCK, _CLOCK_12H = 8, 11
_STYLES = {"plain": "", "good": SUCCESS, "busy": ACCENT, "paused": WARNING, "warning": WARNING, "error": ERROR}


def live(state: RunState, *, warnings_only: bool = False, containing: str = "") -> Part:
    """Warnings of the run, events this version does not know, and what the log is filtered by."""
    parts: list[Part] = []
    if containing:
        parts.append((f"“{containing}”", ACCENT))
    if warnings_only:
        parts.append(("warnings only", ACCENT))
    if state.log.num_warnings:
        parts.append((f"▲ {fmt.plural(state.log.num_warnings, 'warning')}", MUTED))
    if state.num_unknown:
        parts.append((f"{fmt.plural(state.num_unknown, 'event')} of a newer version", MUTED))
    if state.num_unreadable:
        parts.append((f"{fmt.plural(state.num_unreadable, 'line')} unreadable", MUTED))
    spaced = [piece for index, part in enumerate(parts) for piece in (("  ", part) if index else (part,))]
    return join(*spaced) if parts else ""


def body(
    state: RunState,
    width: int,
    height: int,
    *,
    warnings_only: bool = False,
    containing: str = "",
) -> list[Content]:
    """The newest lines that match."""
    entries = state.log.newest(height, warnings_only=warnings_only, containing=containing)
    if not entries:
        return [fit((empty(state, warnings_only=warnings_only, containing=containing), MUTED), width)][:height]
    return [row(entry, width) for entry in entries]


def empty(state: RunState, *, warnings_only: bool, containing: str) -> str:
    """What the place says where no line is shown."""
    if containing:
        return f"Nothing matches “{containing}”. esc clears."
    if warnings_only and len(state.log):
        return "No warnings. ! shows all."
    return "No events yet."


def row(entry: LogEntry, width: int) -> Content:
    """One line: ``14:14:36 ✓ saved step 1,000, checked, 390 MB``."""
    when = fmt.time_of_day(entry.t, has_seconds=True)
    when = when.rjust(_CLOCK if len(when) <= _CLOCK else _CLOCK_12H)
    style = _STYLES[entry.severity]
    words = (entry.text, style if entry.severity == "error" else "")
    return fit(join((when, MUTED), " ", (entry.glyph, style), " ", words), width)


def line(entry: LogEntry) -> str:
    """A line as text, for copying."""
    return text(f"{fmt.time_of_day(entry.t, has_seconds=True)} {entry.glyph} {entry.text}").plain


class LogPanel(Panel):
    """Panel 7. The screen sets `warnings_only` and `containing` and calls `show`."""

    number = "7"
    name = "Log"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.warnings_only = False
        self.containing = ""

    def live(self, state: RunState, width: int, now: float) -> Part:
        """How many warnings, and what is filtered."""
        del width, now
        return live(state, warnings_only=self.warnings_only, containing=self.containing)

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """The newest lines."""
        del now
        return body(
            state,
            width,
            height,
            warnings_only=self.warnings_only,
            containing=self.containing,
        )

    def page(self) -> Page | None:
        """All lines that are kept, to scroll through."""
        from acestep_tui.screens.log_page import LogPage

        return LogPage(warnings_only=self.warnings_only, containing=self.containing)

    def copied(self) -> Copied | None:
        """The newest line."""
        found = (
            self.state.log.newest(1, warnings_only=self.warnings_only, containing=self.containing)
            if self.state is not None
            else []
        )
        return Copied(line(found[0]), "the newest line of the log") if found else None
