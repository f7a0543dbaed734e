"""The plan beside or below a page: what the draft will take, in parts that add up, and how to run it in a shell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from textual import events
from textual.content import Content
from textual.message import Message

from acestep_tui.format import UNKNOWN
from acestep_tui.widgets.lines import Lines
from acestep_tui.widgets.paint import (
    ACCENT,
    BOLD,
    ERROR,
    MUTED,
    SUCCESS,
    WARNING,
    Part,
    bar,
    fit,
    join,
    spread,
    text,
    title,
    wrap,
)
from acestep_tui.wizard.plan_text import (
    AFTER_SONGS,
    Block,
    disk_block,
    memory_basis,
    memory_block,
    time_block,
    verdict_text,
)
from engine.planning.plan_view import PlanView

WIDE, MID = 35, 30
# Rows at which the blocks begin when nothing is longer than usual, so that nothing moves while one types.
_MEMORY_AT, _DISK_AT, _TIME_AT, _SHELL_AT = 2, 9, 16, 22
_NOTE = "Estimates. The first steps of the training measure and replace them."
_USED_END = 22
_STYLES = {"fits": SUCCESS, "tight": WARNING, "too big": ERROR}
_BARS = {"tight": WARNING, "too big": ERROR}


@dataclass(frozen=True, slots=True)
class Planned:
    """What the plan is drawn from.

    Attributes:
        view: The plan; None before this computer is known.
        kind: What trains: ``cuda``, ``mps`` or ``cpu``.
        command: The same without screens.
    """

    view: PlanView | None = None
    kind: str = "cuda"
    command: str = ""
    blocks: tuple[Block, Block, Block] = field(init=False)

    def __post_init__(self) -> None:
        if self.view is None:
            name = "Memory" if self.kind == "cpu" else "GPU memory"
            blocks = (_unknown(name), _unknown("Disk"), _unknown("Time"))
        else:
            blocks = (memory_block(self.view, self.kind), disk_block(self.view), time_block(self.view))
        object.__setattr__(self, "blocks", blocks)


def _unknown(name: str) -> Block:
    return Block(name, UNKNOWN, UNKNOWN, None)


class _ShowsPlan(Lines):
    def __init__(self) -> None:
        super().__init__()
        self._planned = Planned()

    def show(self, planned: Planned) -> None:
        """Show another plan."""
        self._planned = planned
        self.redraw()


class PlanPane(_ShowsPlan):
    """The plan at the right of a page, from 100 columns on."""

    DEFAULT_CSS = """
    PlanPane { width: 35; }
    """

    class CopyWanted(Message):
        """A click on the command."""

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The pane."""
        return pane_lines(self._planned, width, height)

    def on_click(self, event: events.Click) -> None:
        """The command is copied by a click too."""
        shown = self._shown[int(event.y)].plain if event.y < len(self._shown) else ""
        if "^y" in shown or (self._planned.command and shown.strip().startswith("acestep-tui")):
            self.post_message(self.CopyWanted())


class PlanLine(_ShowsPlan):
    """The plan in one row above the footer."""

    DEFAULT_CSS = """
    PlanLine { height: 1; background: $surface; }
    """

    def lines(self, width: int, height: int) -> Sequence[Content]:
        """The row."""
        del height
        return [plan_line(self._planned, width)]


def verdict(view: PlanView | None) -> Content:
    """``✓ fits``: the glyph in its colour, the word in it too where it warns."""
    said = verdict_text(view) if view is not None else ""
    if view is None or not said or view.verdict is None:
        return Content("")
    glyph, _, word = said.partition(" ")
    style = _STYLES[view.verdict]
    return join((glyph, style), " ", (word, "" if view.verdict == "fits" else style))


def bar_style(view: PlanView | None, total: str) -> str:
    """The colour of a bar: the accent, unless it warns."""
    judged = None if view is None else (view.memory if total == "memory" else view.disk).verdict
    return _BARS.get(judged or "", ACCENT)


def amount(shown: str) -> Content:
    """``6.5 of 11.6 GB free`` with the number that matters in bold."""
    head, of, rest = shown.partition(" of ")
    if not of:
        head, of, rest = shown.partition(" ± ")
    return join((head, BOLD), (of + rest, MUTED))


def pane_lines(planned: Planned, width: int, height: int) -> list[Content]:
    """The whole pane; on a low terminal without its empty rows."""
    view = planned.view
    is_roomy = height >= _SHELL_AT + 6
    lines = [title(width, "Plan", live=verdict(view))]
    memory, disk, time = planned.blocks
    for at, block, total in ((_MEMORY_AT, memory, "memory"), (_DISK_AT, disk, "disk"), (_TIME_AT, time, "")):
        if is_roomy:
            _skip_to(lines, at)
        lines += _block_lines(block, width, bar_style(view, total))
    if is_roomy:
        _skip_to(lines, _SHELL_AT)
    name = "The same without screens" if width >= WIDE else "Without screens"
    shell = [title(width, name, live=join(("^y", f"{BOLD} {ACCENT}"), (" copy", MUTED)))]
    shell += [text("")] * is_roomy + wrap(text(planned.command), width, indent=2)
    basis = f" {memory_basis(view)}" if view is not None and view.memory.amount is not None else ""
    shell += [text("")] * is_roomy + wrap(text(f"{_NOTE}{basis}", MUTED), width)
    return [*lines, *shell][:height]


def _skip_to(lines: list[Content], at: int) -> None:
    lines.extend([text("")] * max(at - len(lines), 1))


def _block_lines(block: Block, width: int, style: str) -> list[Content]:
    shown = block.amount or block.amount_or_when
    if len(block.title) + 1 + len(shown) > width:
        shown = shown.removesuffix(" free")
    value = amount(shown) if block.amount else text(shown, MUTED)
    lines = [spread(block.title, value, width)]
    if block.share is not None:
        lines.append(bar(width, block.share, style=style))
    indent = 2 if all(len(words) + len(size) + 3 <= width for words, size in block.parts) else 1
    for words, size in block.parts:
        fitted = words if len(words) + len(size) + 1 + indent <= width else words.replace("test clips", "clips")
        lines.append(spread(join(" " * indent, (fitted, MUTED)), (size, MUTED), width))
    return lines


def plan_line(planned: Planned, width: int) -> Content:
    """``Plan  GPU 6.5 of 11.6 GB   disk 3.8 of 204 GB   time about 1 h   ✓ fits``."""
    is_wide = width >= 100
    margin, gap = (3, "    ") if is_wide else (1, "   ")
    memory, disk, time = planned.blocks
    names = (memory.title if is_wide else "memory" if planned.kind == "cpu" else "GPU", "disk", "time")
    parts: list[Content] = []
    for name, block in zip(names, (memory, disk, time), strict=True):
        known = bool(block.amount)
        parts.append(join(f"{name} ", amount(block.short) if known else (AFTER_SONGS, MUTED)))
    short_disk = parts[1]
    if is_wide and disk.parts:
        parts[1] += text(f"  ({_in_short(disk)})", MUTED)
    said = verdict(planned.view)
    is_said = planned.view is not None and (bool(disk.amount and time.amount) or planned.view.verdict != "fits")
    head = join(" " * margin, ("Plan", f"{BOLD} {MUTED}"), "  ")
    tail = [said] if said.cell_length and is_said else []
    line = head + text(gap).join([*parts, *tail])
    if line.cell_length > width:
        parts[1] = short_disk
        line = head + text(gap).join([*parts, *tail])
    if line.cell_length > width and tail:
        line = head + text(gap).join([*parts[:2], *tail])
    return fit(line, width)


def _in_short(disk: Block) -> str:
    """The largest two parts of the disk in few words: ``songs 1.3, save points 2.3``."""
    names = {"prepared songs": "songs", "model download": "download"}
    found: list[tuple[str, str]] = []
    for words, size in disk.parts:
        name = names.get(words, "save points" if "save point" in words else "")
        if name:
            found.append((name, size.removesuffix(" GB")))
    return ", ".join(f"{name} {size}" for name, size in found)


def plan_rows(planned: Planned, width: int) -> list[Content]:
    """The plan on the page itself: a row each for memory, disk and time, with bars (the review at 80 columns)."""
    memory, disk, time = planned.blocks
    rows: list[Content] = []
    for block, total in ((memory, "memory"), (disk, "disk")):
        rest = f"of {block.free} free" if block.free else ""
        row = join(_ending_at(_USED_END, block.title, (block.used or UNKNOWN, BOLD)), "  ", fit((rest, MUTED), 24))
        room = width - row.cell_length
        rows.append(join(row, bar(min(room, 30), block.share, style=bar_style(planned.view, total))))
    known: Part = (time.used, BOLD) if time.amount else (AFTER_SONGS, MUTED)
    rows.append(
        join(_ending_at(_USED_END, time.title, known), "  ", (time.amount.removeprefix(time.used).strip(), MUTED))
    )
    return rows


def _ending_at(end: int, label: str, value: Part) -> Content:
    """A label and its value, whose right end is at a column."""
    return join(label, fit(value, max(end - len(label), 1), align="right"))
