"""Panel 6, Saves: the save points (checkpoints) with their held-out loss, and which of them is the best."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels.base import Copied, Page, Panel
from acestep_tui.panels.header import moment
from acestep_tui.panels.pieces import TWO_BLOCKS, is_over
from acestep_tui.paths import shown
from acestep_tui.runs.diary import file_size
from acestep_tui.runs.save_points import SavePoint, save_points
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import ACCENT, BOLD, ERROR, MUTED, SUCCESS, Part, fit, join, spread, text, wrap

_STEP = 7


def interval(state: RunState) -> str:
    """How often the run saves: ``every 250 steps``; empty when not known."""
    steps, minutes = state.config.get("checkpointing_steps"), state.config.get("checkpoint_minutes_interval")
    if isinstance(steps, int) and steps > 0:
        return f"every {fmt.plural(steps, 'step')}"
    return f"every {minutes} min" if isinstance(minutes, int) and minutes > 0 else ""


def live(state: RunState) -> str:
    """How often it saves; in the end how many were written and how many are left."""
    if state.ended is None or not state.checkpoints:
        return "" if is_over(state) else interval(state)
    facts = state.folder_facts
    told = f"{len({saved.step for saved in state.checkpoints})} written"
    return f"{told}, {len(facts.checkpoints)} kept" if facts is not None and not facts.is_gone else told


def glyph(point: SavePoint) -> tuple[str, str]:
    """The sign of a save point and its style."""
    if point.is_damaged:
        return ("✗", ERROR)
    if point.is_proved:
        return ("✓", SUCCESS)
    return ("○", MUTED)


def state_word(point: SavePoint) -> Part:
    """What is special about a save point: damaged, best, kept, rolling; empty for nothing."""
    if point.is_damaged:
        return ("✗ damaged", ERROR)
    if point.is_best:
        return ("◆ best", f"bold {ACCENT}")
    return ("kept" if point.is_kept else "rolling" if point.is_rolling else "", MUTED)


def held_out(point: SavePoint) -> Content:
    """The held-out loss of a save point with its label."""
    value = fmt.loss(point.held_out) if point.held_out is not None else fmt.UNKNOWN
    return join(("held-out ", MUTED), value)


def body(state: RunState, width: int, height: int) -> list[Content]:
    """The rows under the title."""
    points = save_points(state)
    if not points:
        return wrap((empty(state), MUTED), width)[:height]
    has_ended = is_over(state)
    rows = [
        _row(point, width, has_ended=has_ended, is_newest=index == 0) for index, point in enumerate(points[:height])
    ]
    best = next((index for index, point in enumerate(points) if point.is_best), None)
    if best is not None and len(rows) > 1 and best >= len(rows):
        rows[-1] = _row(points[best], width, has_ended=has_ended)  # the best one stays in sight
    return rows


def empty(state: RunState) -> str:
    """What the place says while there is no save point."""
    if is_over(state):
        return "Nothing was saved."
    every = state.config.get("checkpointing_steps")
    if isinstance(every, int) and every > 0 and state.phase == "train":
        return f"First save at step {fmt.count((state.step_now // every + 1) * every)}. s saves now."
    return f"Nothing saved yet; {interval(state)}." if interval(state) else "Nothing saved yet."


def _row(point: SavePoint, width: int, *, has_ended: bool, is_newest: bool = False) -> Content:
    step = (fmt.count(point.step), BOLD if is_newest and not has_ended else "")
    if has_ended and width < TWO_BLOCKS:
        # No sign in front: a damaged one is told at the right end, where the best one is too.
        row = join(fit(step, _STEP - 1, align="right"), "  ", held_out(point), "  ", state_word(point))
        return fit(row, width)
    row = join(glyph(point), fit(step, _STEP, align="right"), "  ", fit(held_out(point), 15))
    if width < TWO_BLOCKS:
        return spread(row, state_word(point), width)
    when = fmt.time_of_day(point.saved_t) if point.saved_t is not None else fmt.UNKNOWN
    row = join(row, "   ", fit((file_size(point.bytes), MUTED), 8, align="right"), "   ", (f"saved {when}", MUTED))
    return spread(row, state_word(point), width)


def list_heading(width: int) -> Content:
    """The names of the columns on the page of save points."""
    return fit((f"{'Step':>10}{'Held-out':>11}{'Size':>17}   Saved", MUTED), width)


def list_row(point: SavePoint, width: int, *, note: Part, is_selected: bool, now: float) -> Content:
    """One save point on its page."""
    value = fmt.loss(point.held_out) if point.held_out is not None else fmt.UNKNOWN
    when = moment(point.saved_t, now) if point.saved_t is not None else fmt.UNKNOWN
    row = join(
        ("❯" if is_selected else " ", f"bold {ACCENT}"),
        glyph(point),
        fit((fmt.count(point.step), BOLD if is_selected else ""), 8, align="right"),
        fit(value, 11, align="right"),
        fit(("  ◆ best" if point.is_best else "", f"bold {ACCENT}"), 8),
        fit((file_size(point.bytes), MUTED), 9, align="right"),
        "   ",
        fit((when, MUTED), 17),
        note,
    )
    row = fit(row, width)
    return row.stylize("on $block-cursor-background") if is_selected else row


def note(point: SavePoint, *, is_resumed: bool) -> Part:
    """The one thing to know of a save point, the worst first."""
    if point.is_damaged:
        return ("✗ damaged", ERROR)
    if point.is_kept:
        return ("kept for ever", ACCENT)
    if is_resumed:
        return ("resuming starts here", MUTED)
    if point.is_rolling:
        return ("the next one replaces it", MUTED)
    if point.check is not None and point.check.is_whole:
        return ("✓ whole", SUCCESS)
    return ""


def rule(state: RunState) -> str:
    """Which save points stay."""
    limit = state.config.get("checkpoints_total_limit")
    if not isinstance(limit, int):
        return ""
    if limit < 1:
        return "All save points stay."
    newest = "The newest one stays" if limit == 1 else f"The newest {limit} stay"
    return f"{newest}, the best one, and those you keep; older ones make room."


def told_lines(point: SavePoint, width: int) -> list[Content]:
    """What is known of the selected save point, and where it lies."""
    if point.is_damaged:
        why = point.check.problem if point.check is not None and point.check.problem else "its save was interrupted"
        told = text(f"✗ Step {fmt.count(point.step)} is damaged: {why}.", ERROR)
    elif point.check is not None and point.check.is_whole:
        told = text(f"✓ Step {fmt.count(point.step)} is whole: every file matches its checksum.", SUCCESS)
    elif point.is_verified:
        told = text("It was read back and compared when it was saved. v does so again.", MUTED)
    else:
        told = text("v reads it and compares every file with its checksum.", MUTED)
    lines = [Content(""), *wrap(told, width)[:2]]
    if point.path is not None:
        lines.append(
            spread(
                join(("Folder  ", MUTED), _tail_of(shown(point.path), width - 16)),
                join(("y", f"bold {ACCENT}"), (" copy", MUTED)),
                width,
            )
        )
    return lines


def _tail_of(path: str, width: int) -> str:
    """The end of a path, which tells more than its beginning."""
    return path if len(path) <= width else f"…{path[len(path) - max(width - 1, 1) :]}"


class SavesPanel(Panel):
    """Panel 6."""

    number = "6"
    name = "Saves"

    def live(self, state: RunState, width: int, now: float) -> Part:
        """How often it saves, or how many there are."""
        del width, now
        return (live(state), MUTED)

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """A row a save point."""
        del now
        return body(state, width, height)

    def page(self) -> Page | None:
        """The save points in full: verify, keep, delete."""
        from acestep_tui.screens.saves_page import SavesPage

        return SavesPage()

    def copied(self) -> Copied | None:
        """The folder of the best save point, else of the newest."""
        points = save_points(self.state) if self.state is not None else []
        point = next((point for point in points if point.is_best), points[0] if points else None)
        if point is None or point.path is None:
            return None
        return Copied(str(point.path), f"the folder of step {fmt.count(point.step)}")
