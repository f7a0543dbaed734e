"""Panel 3, GPU: memory against the plan, load, warmth; a row a card where several train; the computer without one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from textual.content import Content

from acestep_tui import format as fmt
from acestep_tui.panels import host
from acestep_tui.panels.base import Panel
from acestep_tui.panels.pieces import BLOCK, TWO_BLOCKS, beside, figure, gigabytes, of_gigabytes, share_of
from acestep_tui.panels.throughput import is_preparing
from acestep_tui.runs.state import RunState
from acestep_tui.widgets.paint import ACCENT, BOLD, MUTED, WARNING, Part, bar, fit, join, text

_MAKER = re.compile(r"^(NVIDIA|AMD)\s+(GeForce\s+|Radeon\s+)?")
_HOT_CELSIUS = 85.0


def is_computer(state: RunState) -> bool:
    """Whether no graphics card trains, so that this panel shows the computer."""
    device = state.started.device if state.started is not None else ""
    if device:
        return device == "cpu" or device.startswith("processor")
    reading = state.hardware
    if reading is None:
        return False
    return reading.gpu_name is None and reading.vram_total_bytes is None and reading.vram_reserved_bytes is None


def name(state: RunState) -> str:
    """What the panel is called."""
    return "Computer" if is_computer(state) else "GPU"


def short_name(card: str) -> str:
    """A card's name without its maker: ``RTX 4070``."""
    return _MAKER.sub("", card)


def live(state: RunState) -> Part:
    """Which card it is; how many where there are several; the processor where none trains."""
    device = state.started.device if state.started is not None else ""
    if is_computer(state):
        return (device, MUTED)
    gpus = state.hardware.gpus if state.hardware is not None else ()
    if len(gpus) > 1:
        names = {short_name(str(card.get("name") or "card")) for card in gpus}
        return (f"{len(gpus)} × {names.pop()}" if len(names) == 1 else f"{len(gpus)} cards", MUTED)
    known = state.hardware.gpu_name if state.hardware is not None else None
    return (short_name(known or device), MUTED)


def body(state: RunState, width: int, height: int) -> list[Content]:
    """The rows under the title, for one block or two."""
    gpus = state.hardware.gpus if state.hardware is not None else ()
    if is_computer(state):
        lines = _in_blocks(
            [*host.memory_rows(state, BLOCK)],
            [*host.processor_rows(state, BLOCK), *host.disk_rows(state, BLOCK)],
            width,
        )
        lines = lines if lines else host.computer_rows(state, width)
    elif len(gpus) > 1:
        lines = card_rows(gpus, width, height, planned=state.planned_vram_bytes)
    else:
        memory, load = _memory_rows(state, min(width, BLOCK)), _load_rows(state, min(width, BLOCK))
        lines = _in_blocks(memory, load, width) or [*memory, *load]
        if width >= TWO_BLOCKS:
            lines += beside(host.memory_rows(state, BLOCK)[:1], host.disk_rows(state, BLOCK)[:1], width)
    return lines[:height]


def page(state: RunState, width: int, height: int) -> list[Content]:
    """The zoomed panel: the cards in full, the computer, the worker."""
    lines = body(state, width, height)
    if not is_computer(state):
        memory = [join(("Memory of the card", BOLD)), *_memory_facts(state)]
        computer = [join(("Computer", BOLD)), *host.computer_rows(state, BLOCK)]
        lines = [*_card_lines(state, width, height), Content(""), *_stacked(memory, computer, width)]
    worker = [join(("The training process", BOLD)), *host.worker_rows(state, min(width, BLOCK))]
    return [*lines, Content(""), *worker][:height]


def card_rows(gpus: tuple[dict[str, Any], ...], width: int, height: int, *, planned: int | None) -> list[Content]:
    """One row a card: memory bar with the plan, memory, load, and where there is room warmth and power."""
    shown = list(enumerate(gpus))
    more = len(shown) - height
    if more > 0:
        shown = shown[: height - 1]
    is_roomy = width >= TWO_BLOCKS
    rest = 2 + 16 + 6 + (19 if is_roomy else 0)
    rows = []
    for index, card in shown:
        used, total = _number(card.get("used_bytes")), _number(card.get("total_bytes"))
        warmth = f"  {_celsius(_number(card.get('celsius'))):>7}  {_watts(_number(card.get('watts')), None):>7}"
        row = join(
            (f"{index} ", MUTED),
            bar(width - rest, share_of(used, total), mark=share_of(planned, total)),
            fit(of_gigabytes(used, total), 16, align="right"),
            fit(host.percent_of(_number(card.get("percent"))), 6, align="right"),
            (warmth if is_roomy else "", MUTED),
        )
        rows.append(fit(row, width))
    if more > 0:
        rows.append(fit((f"… {more + 1} more, z shows all", MUTED), width))
    return rows


def _card_lines(state: RunState, width: int, height: int) -> list[Content]:
    gpus = state.hardware.gpus if state.hardware is not None else ()
    if len(gpus) > 1:
        return card_rows(gpus, width, max(height - 14, 4), planned=state.planned_vram_bytes)
    return _stacked(_memory_rows(state, min(width, BLOCK)), _load_rows(state, min(width, BLOCK)), width)


def _in_blocks(left: list[Content], right: list[Content], width: int) -> list[Content]:
    return beside(left, right, width) if width >= TWO_BLOCKS else []


def _stacked(left: list[Content], right: list[Content], width: int) -> list[Content]:
    return _in_blocks(left, right, width) or [*left, *right]


def _memory_rows(state: RunState, width: int) -> list[Content]:
    reading = state.hardware
    used, total = (reading.vram_used_bytes, reading.vram_total_bytes) if reading is not None else (None, None)
    if used is None and reading is not None:
        used = reading.vram_reserved_bytes  # Apple's memory is shared: only the part taken for training is known
    planned = state.planned_vram_bytes
    if is_preparing(state):
        planned = None  # the plan is training's; the encoders have their own, smaller need
    highest = state.vram_highest_bytes
    is_over = planned is not None and highest is not None and highest > planned * 1.1
    rows = [
        figure("Memory", of_gigabytes(used, total), width),
        bar(width, share_of(used, total), mark=share_of(planned, total)),
    ]
    if planned is not None or not is_preparing(state):
        told = f"highest {gigabytes(highest)}" + (f", {_basis(state)} {gigabytes(planned)}" if planned else "")
        rows.append(fit((told, WARNING if is_over else MUTED), width))
    return rows


def _load_rows(state: RunState, width: int) -> list[Content]:
    reading = state.hardware
    percent = reading.gpu_percent if reading is not None else None
    parts: list[Part] = []
    if reading is not None:
        if reading.gpu_celsius is not None:
            is_hot = reading.gpu_celsius >= _HOT_CELSIUS
            parts.append((_celsius(reading.gpu_celsius), WARNING if is_hot else MUTED))
        if reading.gpu_watts is not None:
            parts.append((_watts(reading.gpu_watts, reading.gpu_watts_limit), MUTED))
        if reading.gpu_fan_percent is not None:
            parts.append((f"fan {reading.gpu_fan_percent:.0f} %", MUTED))
    spaced = [piece for part in parts for piece in (part, "   ")]
    return [
        figure("Busy", host.percent_of(percent), width),
        bar(width, share_of(percent, 100.0), style=ACCENT),
        fit(join(*spaced) if parts else text(fmt.UNKNOWN, MUTED), width),
    ]


def _memory_facts(state: RunState) -> list[Content]:
    """The four numbers of a card's memory, each with what it means."""
    reading = state.hardware
    planned = "Planned, an estimate" if state.measured is None else "Measured with one step"
    numbers = (
        ("Used by all programs", reading.vram_used_bytes if reading is not None else None),
        ("Reserved by training", reading.vram_reserved_bytes if reading is not None else None),
        ("Highest of training", reading.vram_peak_bytes if reading is not None else None),
        (planned, state.planned_vram_bytes),
    )
    return [figure((label, MUTED), join((gigabytes(value), BOLD), (" GB", MUTED)), BLOCK) for label, value in numbers]


def _basis(state: RunState) -> str:
    return "planned about" if state.measured is None else "measured"


def _celsius(value: float | None) -> str:
    return fmt.UNKNOWN if value is None else f"{value:.0f} °C"


def _watts(value: float | None, limit: float | None) -> str:
    if value is None:
        return fmt.UNKNOWN
    return f"{value:.0f} W" if limit is None else f"{value:.0f} of {limit:.0f} W"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


class GpuPanel(Panel):
    """Panel 3."""

    number = "3"
    name = "GPU"

    def heading(self, state: RunState) -> str:
        """Computer where no card trains."""
        return name(state)

    def live(self, state: RunState, width: int, now: float) -> Part:
        """The card's name."""
        del width, now
        return live(state)

    def body(self, state: RunState, width: int, height: int, now: float) -> Sequence[Content]:
        """Memory and load; computer and worker too when zoomed."""
        del now
        return (page if self.is_zoomed else body)(state, width, height)
