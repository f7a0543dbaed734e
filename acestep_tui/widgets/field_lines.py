"""How a field is drawn: its row, and what stands under it. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content

from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, Part, fit, join, text, wrap
from acestep_tui.widgets.text_line import TextLine

LABEL_WIDTH, RUN_WIDTH = 17, 26
_LEAST_REASON_AT, _LEAST_REASON_WIDTH = 2, 30
_LEAST_RUN = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """Where things stand in a field.

    Attributes:
        label_width: Cells of the label; the focus mark follows, then the run.
        run_width: Cells of the panel-coloured run; 0 = to the right end.
        reason_at: Where what stands under the field begins; None = under the value.
    """

    label_width: int = LABEL_WIDTH
    run_width: int = RUN_WIDTH
    reason_at: int | None = None

    @property
    def mark_at(self) -> int:
        """Where the focus mark stands."""
        return self.label_width

    @property
    def run_at(self) -> int:
        """Where the run begins."""
        return self.label_width + 1

    @property
    def value_at(self) -> int:
        """Where the value begins."""
        return self.label_width + 2

    def run_in(self, width: int) -> int:
        """Cells of the run in a field of this width."""
        room = max(width - self.run_at, 0)
        return min(self.run_width or max(room, _LEAST_RUN), room)

    def value_in(self, width: int, sign: str) -> int:
        """Cells of the value in a field of this width."""
        drawn = text(sign).cell_length  # in ASCII some signs take more than one cell
        return max(self.run_in(width) - 2 - (drawn + 1 if sign else 0), 1)


def row(
    frame: Frame,
    width: int,
    *,
    label: str,
    value: Content,
    sign: str,
    is_focused: bool,
    is_open: bool,
    after: Part = "",
    is_yours: bool = False,
) -> Content:
    """``Rank             ▌ 64                     ±   ● yours``."""
    style = f"{BOLD} {ACCENT}" if is_focused else "" if is_open else MUTED
    mark = ("▌", ACCENT) if is_focused else " "
    inner = join(" ", fit(value, frame.value_in(width, sign)), " ")
    run = fit(join(inner, (sign, MUTED), " ") if sign else inner, frame.run_in(width))
    ground = "on $block-cursor-background" if is_focused else "on $panel" if is_open else ""
    left = join(fit((label, style), frame.label_width), mark, run.stylize(ground) if ground else run)
    right = join(" ", after) if after else ""
    line = join(left, right)
    if is_yours:
        marks = (join("  ", ("●", ACCENT), (" yours", MUTED)), join(" ", ("●", ACCENT)))
        # The word gives way where what follows the run needs the room; the sign says the same.
        line += next((mark for mark in marks if line.cell_length + mark.cell_length <= width), Content(""))
    return fit(line, width)


def under(frame: Frame, said: Part, width: int) -> list[Content]:
    """What stands under a field: under its value, in as many rows as it takes; further left where too few words fit."""
    content = join(said)
    at = frame.reason_at
    if at is None:
        at = frame.value_at
        if width - at < min(_LEAST_REASON_WIDTH, content.cell_length):
            at = min(at, max(width // 8, _LEAST_REASON_AT))
    return [line.pad_left(at) for line in wrap(content, max(width - at, 8))]


def typed(line: TextLine, room: int) -> Content:
    """A text under the cursor: ``▏`` at its end, the letter reversed inside."""
    visible, place = line.view(room)
    if place >= len(visible):
        return join((visible, BOLD), ("▏", ACCENT))
    return join((visible[:place], BOLD), (visible[place], f"{BOLD} reverse"), (visible[place + 1 :], BOLD))


def hint(placeholder: str, *, has_cursor: bool) -> Content:
    """What stands in an empty field."""
    shown = text(placeholder, MUTED)
    return join(("▏", ACCENT), shown) if has_cursor else shown
