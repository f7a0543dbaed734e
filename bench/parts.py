"""The parts of `make bench`: what each measures, how it is called on a machine, and where it leaves its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import Machine
from bench.speed import ROWS

ROOM_FOR_RELEASED_GIB = 20.0
"""Free on a card, so that the released sizes are measured: most rows of `bench.speed`, and four songs at once."""

ROOM_ON_DISK_GIB = 30.0
"""For a checkpoint of the released sizes, songs, caches and runs."""

_ROOM_OF_ROWS_GIB = {"8x60": 48.0, "8x60-eager": 36.0, "1x60-eager-fp32": 30.0, "1x60-held-eager-fp32": 30.0}
"""What rows of `bench.speed` reserve on a card, where that is more than `ROOM_FOR_RELEASED_GIB`."""

_TINY_ROWS = ("1x60", "1x60-eager")
"""One pair says that both forms run and agree; a processor compiles a minute for each further row."""


@dataclass(frozen=True)
class Place:
    """Where a part finds and leaves things.

    Attributes:
        out: Folder of its results alone.
        work: Folder for songs, caches and runs, which the parts share.
        checkpoint: Folder of the model, written before the parts that read it.
    """

    out: Path
    work: Path
    checkpoint: Path


@dataclass(frozen=True)
class Part:
    """One program of `bench`.

    Attributes:
        name: On the command line and in results.
        module: Run with ``python -m``.
        what: What it measures, for people.
        result: Its JSON file, in its folder.
        released: Words behind the module for the released sizes; {out}, {work}, {checkpoint} are of a `Place`.
        tiny: The same for the tiny model; None = it says nothing there.
        reads_checkpoint: It is given one that lies ready, at this size or at both.
    """

    name: str
    module: str
    what: str
    result: str
    released: str
    tiny: str | None
    reads_checkpoint: tuple[str, ...] = ()

    def arguments(self, machine: Machine, size: str, place: Place) -> list[str]:
        """The words of its call, without the interpreter."""
        words = self.released if size == "released" else self.tiny or ""
        places = {"out": str(place.out), "work": str(place.work), "checkpoint": str(place.checkpoint)}
        rows = speed_rows(machine) if self.name == "speed" and size == "released" else []
        return ["-m", self.module, *(word.format(**places) for word in words.split()), *rows]


PARTS: tuple[Part, ...] = (
    Part(
        *("speed", "bench.speed", "training steps through the real worker, loader and cache", "speed.json"),
        released="--work {work} --out {out}",
        tiny=f"--tiny --work {{work}} --out {{out}} {' '.join(_TINY_ROWS)}",
        reads_checkpoint=("released",),
    ),
    Part(
        *("step", "bench.step", "one step alone, eager: the forms in which the frozen model can lie", "step.json"),
        released="{checkpoint} --batch 1 4 --seconds 60 --precision no_change int8-quanto --out {out}/step.json",
        tiny="{checkpoint} --batch 1 4 --seconds 10 --out {out}/step.json",
        reads_checkpoint=("released", "tiny"),
    ),
    Part(
        *("prepare", "bench.prepare", "songs to the cache: decoding, codec, captions", "prepare.json"),
        released="--out {out}",
        tiny="--tiny --out {out}",
    ),
    Part(
        *("sample", "bench.sample", "test clips: network, autoencoder, vocoder", "sample.json"),
        released="--checkpoint {checkpoint} --compiled --out {out}",
        tiny="--tiny --out {out}",
        reads_checkpoint=("released",),
    ),
    Part(
        *("features", "bench.features", "musical features: MERT and mHuBERT", "features.json"),
        released="--seconds 60 240 --out {out}/features.json",
        tiny="--tiny --seconds 10 --out {out}/features.json",
    ),
    Part(
        *("scan", "bench.scan", "`acestep-tui scan` of many songs", "scan.json"),
        released="--songs 1000 --seconds 200 --out {out}/scan.json",
        tiny="--songs 40 --seconds 20 --out {out}/scan.json",
    ),
    Part(
        *("memory", "bench.vram", "whole runs in the memory of smaller cards", "rows.json"),
        released="rows {checkpoint} --work {work} --out {out}",
        tiny=None,
        reads_checkpoint=("released",),
    ),
)


def part_named(name: str) -> Part | None:
    """The part of this name."""
    return next((part for part in PARTS if part.name == name), None)


def size_for(machine: Machine, *, disk_gib: float, is_tiny: bool = False) -> tuple[str, str]:
    """``released`` or ``tiny``, and why.

    Args:
        machine: Where.
        disk_gib: Free in the work folder.
        is_tiny: The tiny model is asked for.
    """
    if is_tiny:
        return "tiny", "asked for"
    if machine.kind != "cuda" or machine.free_gib is None:
        return "tiny", "no CUDA card here"
    if machine.free_gib < ROOM_FOR_RELEASED_GIB:
        return "tiny", f"{machine.free_gib:g} GiB free on the card, {ROOM_FOR_RELEASED_GIB:g} are needed"
    if disk_gib < ROOM_ON_DISK_GIB:
        return "tiny", f"{disk_gib:.0f} GiB free in the work folder, {ROOM_ON_DISK_GIB:g} are needed (--work, TMPDIR)"
    return "released", f"{machine.free_gib:g} GiB free on the card"


def choose(names: Sequence[str], size: str, reason: str) -> tuple[list[Part], dict[str, str]]:
    """The parts to run, in the order of `PARTS`, and those that say nothing at this size, each with the reason.

    Args:
        names: Asked for; all of them when empty.
        size: Of `size_for`.
        reason: Why it is that size.
    """
    wanted = [part for part in PARTS if not names or part.name in names]
    left_out = {
        part.name: f"measures the released sizes on a CUDA card alone: {reason}"
        for part in wanted
        if size == "tiny" and part.tiny is None
    }
    return [part for part in wanted if part.name not in left_out], left_out


def speed_rows(machine: Machine) -> list[str]:
    """Rows of `bench.speed` that find room on this card; empty where all do, which is what no name means to it."""
    free_gib = machine.free_gib or 0.0
    fitting = [row.name for row in ROWS if _ROOM_OF_ROWS_GIB.get(row.name, 0.0) <= free_gib]
    return [] if len(fitting) == len(ROWS) else fitting
