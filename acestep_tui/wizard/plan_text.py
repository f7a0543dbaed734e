"""A plan in words: the line above the footer, the pane beside the page, the bars of the review."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from acestep_tui import format as fmt
from engine.planning.measured import TOLERANCE_BYTES, TOLERANCE_SHARE
from engine.planning.plan_view import UNCERTAINTY, Part, PlanView, Total
from engine.planning.search import Verdict

AFTER_SONGS = "after step 3"
_GLYPHS: dict[Verdict, str] = {"fits": "✓", "tight": "▲", "too big": "✗"}
_MINUTE_S, _HOUR_S = 60, 3600


@dataclass(frozen=True, slots=True)
class Block:
    """One total in words.

    Attributes:
        title: ``GPU memory``, ``Memory``, ``Disk``, ``Time``.
        amount: ``6.5 of 11.6 GB``; empty while it is not known.
        short: For the line: ``6.5 of 11.6 GB`` or ``after step 3``.
        used, free: ``6.5 GB`` and ``11.6 GB``; empty where not known.
        share: Filled part of the bar, 0 to 1; None without a bar.
        parts: Words and amount of each part; the amounts add up to the total.
    """

    title: str
    amount: str
    short: str
    share: float | None
    used: str = ""
    free: str = ""
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def amount_or_when(self) -> str:
        """The amount, or when it will be known."""
        return self.amount or f"known {AFTER_SONGS}"


def memory_block(view: PlanView, kind: str) -> Block:
    """Memory of what trains; ``kind`` is the device's."""
    title = "Memory" if kind == "cpu" else "GPU memory"
    return _bytes_block(title, view.memory)


def memory_basis(view: PlanView) -> str:
    """How sure the memory is, as a sentence."""
    if view.basis == "measured":
        off = fmt.size(max(TOLERANCE_BYTES, TOLERANCE_SHARE * (view.memory.amount or 0)))
        return f"Memory ± {off}: steps like these were measured."
    return "Memory is computed: steps like these were not measured."


def disk_block(view: PlanView) -> Block:
    """Disk until the end of the run."""
    return _bytes_block("Disk", view.disk)


def time_block(view: PlanView) -> Block:
    """The length of the run, rounded as coarsely as it is known."""
    total = view.seconds.amount
    if total is None or not math.isfinite(total):
        return Block("Time", "", AFTER_SONGS, None)
    grid, unit = _time_grid(total)
    rounded = max(grid, round(total / grid) * grid)
    shares = _shares([part.amount for part in view.seconds.parts], rounded, unit)
    parts = [
        (_time_words(part), fmt.duration(share))
        for part, share in zip(view.seconds.parts, shares, strict=True)
        if share
    ]
    about = f"about {fmt.duration(rounded)}"
    return Block("Time", f"{about} ± {round(100 * UNCERTAINTY)} %", about, None, used=about, parts=tuple(parts))


def verdict_text(view: PlanView) -> str:
    """``✓ fits``, ``▲ tight`` or ``✗ too big by 1.2 GB``; empty while nothing is known."""
    if view.verdict is None:
        return ""
    over = max(view.memory.over, view.disk.over)
    by = f" by {fmt.size(over)}" if view.verdict == "too big" else ""
    return f"{_GLYPHS[view.verdict]} {view.verdict}{by}"


def plan_line(view: PlanView, kind: str) -> str:
    """Everything in one line, without the verdict."""
    blocks = ("GPU" if kind != "cpu" else "memory", memory_block(view, kind)), ("disk", disk_block(view))
    parts = [f"{name} {block.short}" for name, block in (*blocks, ("time", time_block(view)))]
    return "   ".join(parts)


def part_words(part: Part) -> str:
    """What a part of memory or disk is called."""
    if part.kind == "song":
        return _song_words(part)
    is_full = part.detail == "full"
    return {
        "model": f"model, {part.detail}",
        "adapter": "gradients and optimizer" if is_full else "LoRA and optimizer",
        "prepare": "more while preparing songs",
        "clip": "more for a test clip",
        "spare": "driver and spare",
        "download": "model download",
        "cache": "prepared songs",
        "checkpoints": fmt.plural(part.count, "save point"),
        "output": "test clips and model" if is_full else "test clips and LoRA file",
    }[part.kind]


def _bytes_block(title: str, total: Total) -> Block:
    if total.amount is None:
        return Block(title, "", AFTER_SONGS, None)
    unit, decimals, word = _bytes_unit(total.amount)
    rounded = round(total.amount / unit, decimals) * unit
    used, free = f"{rounded / unit:,.{decimals}f} {word}", ""
    amount = used
    if total.free is not None:
        free_unit, free_decimals, free_word = _bytes_unit(total.free)
        free = f"{total.free / free_unit:,.{free_decimals}f} {free_word}"
        # The unit is said once where both have the same.
        amount = f"{used.removesuffix(f' {word}') if word == free_word else used} of {free}"
    shares = _shares([part.amount for part in total.parts], rounded, unit / 10**decimals)
    parts = [
        # What is too little for the total's unit has its own.
        (part_words(part), f"{share / unit:,.{decimals}f} {word}" if share else fmt.size(part.amount))
        for part, share in zip(total.parts, shares, strict=True)
        if part.amount
    ]
    share = min(1.0, total.amount / total.free) if total.free else None
    long = f"{amount} free" if free else amount
    return Block(title, long, amount, share, used=used, free=free, parts=tuple(parts))


def _bytes_unit(amount: float) -> tuple[float, int, str]:
    """Unit, decimals and its word: tenths of a GB, whole ones from 100 on, MB below 0.95 GB."""
    if amount < 0.95 * fmt.GB:
        return fmt.MB, 0, "MB"
    return fmt.GB, 0 if amount >= 99.95 * fmt.GB else 1, "GB"


def _shares(amounts: Sequence[float], total: float, unit: float) -> list[float]:
    """Amounts rounded to a unit so that they add up to a rounded total: the largest rests are rounded up."""
    whole = sum(amounts)
    if whole <= 0:
        return [0.0 for _ in amounts]
    exact = [amount * total / whole / unit for amount in amounts]
    counts = [math.floor(one + 1e-9) for one in exact]
    missing = round(total / unit) - sum(counts)
    for index in sorted(range(len(exact)), key=lambda i: counts[i] - exact[i])[: max(missing, 0)]:
        counts[index] += 1
    return [count * unit for count in counts]


def _time_grid(seconds: float) -> tuple[float, float]:
    """How coarsely a length is shown, and its parts."""
    if seconds < 2 * _MINUTE_S:
        return 5, 1
    if seconds < 20 * _MINUTE_S:
        return _MINUTE_S, 10
    if seconds < 2 * _HOUR_S:
        return 5 * _MINUTE_S, _MINUTE_S
    if seconds < 10 * _HOUR_S:
        return 15 * _MINUTE_S, _MINUTE_S
    return _HOUR_S, 5 * _MINUTE_S


def _time_words(part: Part) -> str:
    if part.kind == "train":
        return f"train {fmt.plural(part.count, 'step')}"
    if part.kind == "clips":
        return f"{fmt.plural(part.count, 'round')} of test clips" if part.count else "held-out songs"
    return {"cache": "prepare songs", "load": "load the model"}[part.kind]


def _song_words(part: Part) -> str:
    seconds = float(part.detail)
    if seconds < _MINUTE_S:
        length = f"{seconds:.0f} s"
    elif seconds % _MINUTE_S == 0:
        length = f"{seconds / _MINUTE_S:.0f} min"
    else:
        length = fmt.song_length(seconds)
    if part.count == 1:
        return f"{'an' if length.startswith('8') else 'a'} {length} song in flight"
    return f"{part.count} songs of {length} in flight"
