"""Memory on a card: the grid that the plan is fitted to, what is promised for small cards, the ladder under real caps.

``python -m bench.vram all --out FOLDER`` does everything on a bare machine, in order of weight, and writes after every
cell and run; called again with the same folder it goes on with what is missing, also where another machine wrote what
stands there. ``--tiny`` is the same program with the tiny model, on a processor too. Parts: ``rows``, ``ladder``,
``grid``, ``tests`` (those of tests/gpu, in what is left of the time); ``cells`` writes the grid's list again.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.__main__ import set_environment

PARTS = ("rows", "ladder", "grid", "tests")
TESTS_S = 60.0
"""Left for the tests at the end of ``all``; the most they are given."""
ROOM_IN_MEMORY_BYTES = 30 * 2**30


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m bench.vram", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("all", *PARTS, "cells"))
    parser.add_argument("checkpoint", type=Path, nargs="?", help="of bench.checkpoint; written when it is not there")
    parser.add_argument("--out", type=Path, default=Path("bench/results/vram"), help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder for checkpoint, songs, caches and runs; 30 GB")
    parser.add_argument("--only", nargs="+", help="names of rows, or phases of the ladder")
    parser.add_argument("--cells", type=int, help="measure only the first so many cells")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds after which nothing more is begun")
    parser.add_argument("--tiny", action="store_true", help="the tiny model and short songs")
    options = parser.parse_args(arguments)
    if options.part == "cells":
        from bench.vram_cells import write_cells

        chosen, left_out = write_cells()
        print(f"{len(chosen)} cells; {len(left_out)} left out")
        return
    set_environment()  # as the worker does; its own call comes too late where a cap is set before
    # Else asking whether there is a card keeps every later fork from using it.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    bench = Bench(
        options.out,
        options.work or work_folder(),
        checkpoint=options.checkpoint,
        is_tiny=options.tiny,
        until=time.monotonic() + options.budget,
    )
    bench.run(PARTS if options.part == "all" else (options.part,), only=options.only, num_cells=options.cells)
    if bench.failed:
        raise SystemExit(f"failed: {', '.join(bench.failed)}")


def work_folder() -> Path:
    """In memory where there is room: a disk takes a minute for the checkpoint."""
    shared = Path("/dev/shm")
    in_memory = shared.is_dir() and shutil.disk_usage(shared).free > ROOM_IN_MEMORY_BYTES
    return (shared if in_memory else Path(tempfile.gettempdir())) / "acestep-vram"


class Bench:
    """Everything on one checkpoint, each part in children of this process, which itself never touches the card.

    Args:
        out: Folder of the results; those of the tiny model stand in a folder ``tiny`` of it.
        work: Folder for everything else; each size of the models has its own in it.
        checkpoint: What to measure; written below ``work`` when None or not there.
        is_tiny: The tiny model, short songs.
        until: `time.monotonic()` after which nothing more is begun.
    """

    def __init__(
        self, out: Path, work: Path, *, checkpoint: Path | None, is_tiny: bool = False, until: float = float("inf")
    ) -> None:
        from engine.hardware.gpu import list_gpus

        # Checkpoints, feature models, caches and results of both sizes bear the same names.
        work = work / ("tiny" if is_tiny else "released")
        out = out / "tiny" if is_tiny else out
        self.out, self.work, self.is_tiny, self.until = out, work, is_tiny, until
        self.checkpoint = checkpoint or work / "checkpoint"
        self.on_card = bool(list_gpus()) and os.environ.get("ACESTEP_DEVICE") != "cpu"
        self.failed: list[str] = []
        self._began = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)

    def run(self, parts: Sequence[str], *, only: Sequence[str] | None = None, num_cells: int | None = None) -> None:
        """The parts, in this order."""
        self._import()
        self._apart("checkpoint", self._write_checkpoint)
        for part in parts:
            leave_s = TESTS_S if part == "grid" and "tests" in parts else 0.0
            if part == "rows":
                self._run_rows(only)
            elif part == "ladder":
                self._run_ladder(only)
            elif part == "grid":
                self._apart("grid", functools.partial(self._run_grid, num_cells, self.until - leave_s))
            elif self.on_card:
                from bench.vram_tests import run_card_tests

                self._apart("tests", functools.partial(run_card_tests, self.out, self._left_s(TESTS_S)))

    def _left_s(self, most_s: float) -> float:
        """Seconds that something may take, the budget considered."""
        return max(0.0, min(most_s, self.until - time.monotonic()))

    def _import(self) -> None:
        """What every child needs: imported once, here."""
        import diffusers
        import transformers

        import engine.train.run

        self.say(
            f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, {engine.train.run.__name__}"
        )

    def _write_checkpoint(self) -> None:
        if self.is_tiny:
            from engine.model.tiny import write_tiny_checkpoint

            if not self.checkpoint.is_dir():
                write_tiny_checkpoint(self.checkpoint)
            return
        from bench.checkpoint import write_released_sizes

        write_released_sizes(self.checkpoint)

    def _run_rows(self, only: Sequence[str] | None) -> None:
        from bench.vram_rows import ROWS, Rows

        rows = Rows(self.checkpoint, self.work, is_tiny=self.is_tiny, on_card=self.on_card)
        self._apart("feature models", rows.write_feature_models)
        table = Table(self.out / "rows.json")
        for row in ROWS:
            if (only is None and table.has("row", row.name)) or (only is not None and row.name not in only):
                continue
            if time.monotonic() > self.until:
                self.say(f"no time for row {row.name}")
                continue
            result = rows.run(row)
            table.add(result)
            peak = result["whole"].get("peak_bytes", 0) / 2**30
            problems = "; ".join(map(str, result["problems"]))[:600]
            holds = {True: "holds", False: f"does not hold: {problems}", None: "not measured"}[result["holds"]]
            self.say(f"row {row.name}: peak {peak:.2f} GiB of {row.limit_gib:g} in {result['seconds']} s; {holds}")

    def _run_grid(self, num_cells: int | None, until: float) -> None:
        from bench.vram_cells import read_cells
        from bench.vram_grid import Grid, comparisons
        from engine.contract.files import write_json

        grid = Grid(self.checkpoint, self.out / "grid.json", is_tiny=self.is_tiny, until=until)
        table = grid.run(read_cells()[:num_cells])
        compared = comparisons(table["cells"])
        write_json(self.out / "compared.json", compared)
        for line in compared:
            print(line, flush=True)
        errors = [row["name"] for row in table["cells"] if "error" in row]
        if errors:
            raise SystemExit(f"these cells failed: {', '.join(errors)}")

    def _run_ladder(self, only: Sequence[str] | None) -> None:
        from bench.vram_ladder import FAULTS, Ladder

        ladder = Ladder(self.checkpoint, self.work, is_tiny=self.is_tiny, on_card=self.on_card)
        self._apart("shallow checkpoint", ladder.write_shallow)
        table = Table(self.out / "ladder.json")
        if (baseline := table.find("fault", None)) is None:
            if time.monotonic() > self.until:
                self.say("no time for the ladder")
                return
            baseline = table.add(ladder.baseline())
        self.say(f"ladder: undisturbed in {baseline['seconds']} s, exit {baseline['exit_code']}: {baseline['losses']}")
        for phase, share in FAULTS:
            if table.has("fault", [phase, share]) or (only is not None and phase not in only):
                continue
            if time.monotonic() > self.until:
                self.say(f"no time for the fault in {phase}")
                continue
            result = table.add(ladder.disturbed(phase, share, baseline))
            steps = [f"{event.get('rung')}" for event in result.get("steps_down", ())]
            self.say(
                f"ladder: {phase} given {share:.0%}: exit {result.get('exit_code')}, steps down {steps}, losses differ "
                f"by {result.get('largest_difference')}, {result.get('seconds')} s {result.get('skipped', '')}"
            )

    def _apart(self, name: str, function: Callable[[], None]) -> None:
        from bench.vram_worker import in_child

        started = time.monotonic()
        try:
            in_child(function)
        except RuntimeError as error:  # the other parts are worth having all the same
            self.failed.append(name)
            self.say(f"{name} failed: {error}")
        self.say(f"{name}: {time.monotonic() - started:.1f} s")

    def say(self, words: str) -> None:
        """A line of progress, with the seconds since the start."""
        print(f"[{time.monotonic() - self._began:6.1f}] {words}", flush=True)


class Table:
    """Results in a JSON file that is written anew with each."""

    def __init__(self, path: Path) -> None:
        import json

        self.path = path
        self.rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []

    def find(self, key: str, value: Any) -> dict[str, Any] | None:
        """The row of this value."""
        return next((row for row in self.rows if row[key] == value), None)

    def has(self, key: str, value: Any) -> bool:
        """Whether there is one."""
        return self.find(key, value) is not None

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Put a row in, over an older one of the same name; returns it as it stands in the file."""
        import json

        key = "row" if "row" in row else "fault"
        self.rows = [one for one in self.rows if one[key] != row[key]] + [row]
        self.path.write_text(json.dumps(self.rows, indent=1), encoding="utf-8")
        again = self.find(key, row[key])
        assert again is not None
        return dict(json.loads(json.dumps(again)))


if __name__ == "__main__":
    main()
