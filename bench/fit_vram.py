"""Fit the coefficients of the memory plan to a measured table; half of the cells fits, the other half tests.

``python -m bench.fit_vram [engine/planning/measured_memory.json]`` writes `engine/planning/memory_terms.json` and
prints the error of every cell. The coefficients are those of `engine.planning.memory_terms`; the fit starts at the
committed ones and stays near them where the cells do not say otherwise.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.planning.measured import MEASURED_FILE, Cell, measured_cells, planned, tolerance
from engine.planning.memory_terms import TERMS_FILE, MemoryTerms, memory_terms

SEED = 20_261_125
FIGURES = ("peak_bytes", "reserved_bytes", "nvml_bytes")
_ROUNDS = 30
_NUDGE = 1e-3
_PRIOR = 0.05  # a coefficient twice as large costs as much as one cell off by a thirtieth of what it may be
_SMALLEST_DAMPING = 1e-6

Vector = NDArray[np.float64]


def halves(cells: Sequence[Cell], seed: int = SEED) -> tuple[list[Cell], list[Cell]]:
    """The cells that fit and those that test: of each two that are most alike, one drawn at random for either half.

    A draw from all cells leaves a half without the few that train all weights and recompute nothing.
    """
    draw = random.Random(seed)
    order = sorted(range(len(cells)), key=lambda i: _likeness(cells[i]))
    fitting = {draw.choice(order[first : first + 2]) for first in range(0, len(order), 2)}
    return [cells[i] for i in sorted(fitting)], [cells[i] for i in range(len(cells)) if i not in fitting]


def _likeness(cell: Cell) -> tuple[object, ...]:
    rank = -1 if cell.rank is None else cell.rank
    return (cell.rank is None, cell.recompute, cell.precision, cell.batch * cell.seconds, rank, cell.name)


def errors(cells: Sequence[Cell], terms: MemoryTerms) -> Vector:
    """By how much the plan is off, in what it may be off (`tolerance`), for each figure of each cell that was read."""
    off: list[float] = []
    for cell in cells:
        plan = planned(cell, terms=terms)
        for figure in FIGURES:
            measured = getattr(cell, figure)
            if measured:
                off.append((plan[figure] - measured) / tolerance(measured))
    return np.array(off)


def fit(cells: Sequence[Cell], start: MemoryTerms) -> MemoryTerms:
    """Least squares over the logarithms of the coefficients (Levenberg and Marquardt), so none turns negative."""
    names = list(asdict(start))
    base = np.array([max(value, 1e-6) for value in asdict(start).values()])

    def terms_at(logs: Vector) -> MemoryTerms:
        return replace(start, **dict(zip(names, (base * np.exp(logs)).tolist(), strict=True)))

    def residuals(logs: Vector) -> Vector:
        return np.concatenate([errors(cells, terms_at(logs)), _PRIOR * logs])

    logs, damping = np.zeros(len(names)), 1.0
    here = residuals(logs)
    for _ in range(_ROUNDS):
        columns = [(residuals(logs + _NUDGE * unit) - here) / _NUDGE for unit in np.eye(len(names))]
        slope = np.stack(columns, axis=1)
        step = np.linalg.solve(slope.T @ slope + damping * np.eye(len(names)), -slope.T @ here)
        there = residuals(logs + np.clip(step, -0.5, 0.5))
        if there @ there < here @ here:
            logs, here, damping = logs + np.clip(step, -0.5, 0.5), there, max(damping / 3, _SMALLEST_DAMPING)
        else:
            damping *= 4
    return terms_at(logs)


def report(title: str, cells: Sequence[Cell], terms: MemoryTerms) -> list[str]:
    """A line for each cell, the worst last, and how many are off by too much."""
    rows = []
    for cell in cells:
        plan = planned(cell, terms=terms)
        off = plan["peak_bytes"] - cell.peak_bytes
        rows.append((abs(off) / tolerance(cell.peak_bytes), off, cell))
    rows.sort(key=lambda row: row[0])
    lines = [f"{title}: {len(rows)} cells, {sum(share > 1 for share, _, _ in rows)} off by more than allowed"]
    lines += [
        f"  {'✗' if share > 1 else '✓'} {off / 1e6:+7.0f} MB {100 * off / cell.peak_bytes:+6.1f} %  {cell.name}"
        for share, off, cell in rows
    ]
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.fit_vram", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", type=Path, nargs="?", default=MEASURED_FILE)
    parser.add_argument("--out", type=Path, default=TERMS_FILE)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    head = json.loads(options.table.read_text(encoding="utf-8"))
    fitting, testing = halves(measured_cells(options.table))
    terms = fit(fitting, memory_terms())
    print("\n".join([*report("fitted", fitting, terms), *report("tested", testing, terms)]))
    written = {
        "basis": f"fitted to {len(fitting)} of {len(fitting) + len(testing)} cells measured {head.get('date')}",
        "card": head.get("device"),
        "seed": SEED,
        "coefficients": {name: float(f"{value:.5g}") for name, value in asdict(terms).items()},
    }
    if not options.dry:
        options.out.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
