"""Which combinations `bench.vram grid` measures: every pair of levels that can occur does, in about 130 cells.

``python -m bench.vram cells`` writes the list again to bench/vram_cells.json (committed; the same levels give the same
list). A cell that would take more than `LARGEST_BYTES` by the plan is left out and named there.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.planning.measured import Cell, planned

CELLS_FILE = Path(__file__).with_name("vram_cells.json")
LARGEST_BYTES = 75 * 2**30
NUM_CELLS = 130

SWAPPED = 16
"""Blocks of the 24 that wait in main memory, in the cells with block swap."""

# Level → how often it is wanted beside the others of its kind, once every pair is there. What few people use is
# measured a few times.
LEVELS: dict[str, dict[Any, float]] = {
    "precision": {"no_change": 1.0, "int8-quanto": 1.0, "int4-quanto": 1.0},
    "rank": {16: 1.0, 64: 1.0, 256: 1.0, None: 0.5},
    "seconds": {10.0: 1.0, 30.0: 1.0, 60.0: 1.0, 120.0: 1.0, 240.0: 1.0},
    "batch": {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0},
    "recompute": {"none": 1.0, "selective": 0.3, "full": 1.0},
    "ssl": {False: 1.0, True: 1.0},
    "swap": {0: 1.0, SWAPPED: 0.15},
    "offload": {False: 1.0, True: 0.1},
}

# Steps per second are compared for these; they are measured first of their kind, over more steps.
TIMED: tuple[dict[str, Any], ...] = tuple(
    {"precision": precision, "rank": 64, "seconds": 60.0, "batch": 1, "recompute": recompute, **more}
    for precision in LEVELS["precision"]
    for recompute, more in (("none", {}), ("full", {}), ("full", {"swap": SWAPPED}))
)
# The rows of the promise as bare steps.
PROMISED: tuple[dict[str, Any], ...] = (
    {"precision": "int8-quanto", "rank": 64, "seconds": 240.0, "batch": 1, "recompute": "full", "ssl": True},
    {"precision": "int8-quanto", "rank": 16, "seconds": 60.0, "batch": 1, "recompute": "full"},
    {"precision": "int4-quanto", "rank": 16, "seconds": 60.0, "batch": 1, "recompute": "full"},
    {"precision": "no_change", "rank": 16, "seconds": 60.0, "batch": 1, "recompute": "full", "swap": SWAPPED},
    {"precision": "no_change", "rank": 64, "seconds": 60.0, "batch": 8, "recompute": "full"},
)

Pair = tuple[tuple[str, Any], tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of the list.

    Attributes:
        levels: Of every kind in `LEVELS`.
        timed: Whether more steps are measured, for their time.
    """

    levels: Mapping[str, Any]
    timed: bool = False

    @property
    def cell(self) -> Cell:
        """As the planner knows it, nothing measured yet."""
        return Cell(**self.levels)

    @property
    def build(self) -> tuple[str, int | None]:
        """Which model it needs: precision and rank. Cells of one build share a model."""
        return self.levels["precision"], self.levels["rank"]


def is_feasible(levels: Mapping[str, Any]) -> bool:
    """Whether such a run exists: all weights are trained as they are; frozen blocks alone wait in main memory."""
    is_full = levels["rank"] is None
    if is_full and (levels["precision"] != "no_change" or levels["swap"]):
        return False
    # Both move what full recomputing leaves to be moved: weights between two passes, the inputs of blocks.
    return levels["recompute"] == "full" or not (levels["swap"] or levels["offload"])


def pairs_of(levels: Mapping[str, Any]) -> Iterator[Pair]:
    """Every two levels that occur together."""
    return itertools.combinations(((kind, levels[kind]) for kind in LEVELS), 2)


def every_combination() -> list[dict[str, Any]]:
    """All that are feasible."""
    kinds = list(LEVELS)
    combined = (dict(zip(kinds, values, strict=True)) for values in itertools.product(*LEVELS.values()))
    return [levels for levels in combined if is_feasible(levels)]


def feasible_pairs(combinations: Sequence[Mapping[str, Any]]) -> set[Pair]:
    """Pairs of levels that can occur together."""
    return {pair for levels in combinations for pair in pairs_of(levels)}


def choose_cells(num_cells: int = NUM_CELLS) -> tuple[list[Wanted], list[Cell]]:
    """The list, grouped by the model that is built, and the cells that are left out because they are too large.

    First what is promised and timed; then, one by one, the combination with the most pairs that nothing holds yet; then
    the one whose pairs are rarest, by the weights of `LEVELS`.
    """
    too_large = [levels for levels in every_combination() if planned(Cell(**levels))["peak_bytes"] > LARGEST_BYTES]
    open_ones = [levels for levels in every_combination() if levels not in too_large]
    plain = {"ssl": False, "swap": 0, "offload": False}
    chosen = [Wanted(plain | levels, timed=True) for levels in TIMED]
    chosen += [Wanted(plain | levels) for levels in PROMISED]
    counts = Counter(pair for wanted in chosen for pair in pairs_of(wanted.levels))
    missing = feasible_pairs(open_ones) - counts.keys()
    taken = [dict(wanted.levels) for wanted in chosen]
    remaining = [levels for levels in open_ones if levels not in taken]
    while len(chosen) < num_cells or missing:
        best = max(remaining, key=lambda levels: _worth(levels, counts, missing))
        remaining.remove(best)
        chosen.append(Wanted(best))
        counts.update(pairs_of(best))
        missing.difference_update(pairs_of(best))
    builds = list(dict.fromkeys((precision, rank) for precision in LEVELS["precision"] for rank in LEVELS["rank"]))
    chosen.sort(key=lambda wanted: (builds.index(wanted.build), not wanted.timed, _sound(wanted)))
    return chosen, [Cell(**levels) for levels in too_large]


def _sound(wanted: Wanted) -> float:
    return float(wanted.levels["seconds"] * wanted.levels["batch"])


def _worth(levels: Mapping[str, Any], counts: Counter[Pair], missing: set[Pair]) -> tuple[int, float]:
    pairs = list(pairs_of(levels))
    rarity = 0.0
    for pair in pairs:
        (kind, level), (other_kind, other) = pair
        # Squared: a pair that is there often enough counts for next to nothing.
        wanted = LEVELS[kind][level] * LEVELS[other_kind][other]
        rarity += wanted / (1 + counts[pair] / (10 * wanted)) ** 2
    return sum(pair in missing for pair in pairs), rarity


def write_cells(path: Path = CELLS_FILE) -> tuple[list[Wanted], list[Cell]]:
    """Choose and write the list, one cell a line."""
    chosen, left_out = choose_cells()
    lines = [json.dumps({**wanted.levels, "timed": wanted.timed}) for wanted in chosen]
    body = ",\n  ".join(lines)
    names = ",\n  ".join(json.dumps(cell.name) for cell in left_out)
    head = f'"written_by": "python -m bench.vram cells",\n "larger_than_gib": {LARGEST_BYTES // 2**30}'
    path.write_text(f'{{{head},\n "left_out": [\n  {names}\n ],\n "cells": [\n  {body}\n ]\n}}\n', encoding="utf-8")
    return chosen, left_out


def read_cells(path: Path = CELLS_FILE) -> list[Wanted]:
    """The committed list."""
    rows = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [Wanted({kind: row[kind] for kind in LEVELS}, timed=row["timed"]) for row in rows]
