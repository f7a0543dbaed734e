"""What the parts of `make bench` left behind, as figures that fit one table, and what went wrong inside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.machine import GIB
from bench.prepare import GOALS
from bench.speed import ROWS, SECONDS, TINY_SECONDS, losses_apart

CLIP_GOAL = "≥ 150 × real time, codec included"
"""Of issue 6, for 27 steps; `bench.sample` says it too, and importing that takes seconds."""

FIRST_STEP_GOAL = "≤ 30 s with imports"


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Attributes:
        what: Was measured.
        values: By unit; one that could not be measured is left out.
        goal: For the released sizes on one H100; empty where none was set.
    """

    what: str
    values: Mapping[str, float]
    goal: str = ""


@dataclass
class Reading:
    """A part's result.

    Attributes:
        figures: In the order of the table.
        problems: What failed inside, though the program went on to its end.
    """

    figures: list[Figure] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, what: str, goal: str = "", /, **values: float | None) -> None:
        """Take a figure in; see `_UNITS` for the names of the values."""
        known = {_UNITS[name]: value for name, value in values.items() if value is not None}
        self.figures.append(Figure(what, known, goal))


_UNITS = {
    "ms": "ms",
    "step_ms": "ms/step",
    "audio": "audio-s/s",
    "gib": "GiB",
    "s": "s",
    "real_time": "× real time",
    "error": "relative error",
    "rate": "captions/s",
    "warmup_s": "s warm-up",
    "apart": "apart",
}


def read(name: str, result: Any, *, size: str, kind: str) -> Reading:
    """The figures of one part.

    Args:
        name: Of the part.
        result: What its JSON file holds.
        size: ``released`` or ``tiny``.
        kind: ``cuda``, ``mps`` or ``cpu``.

    Raises:
        KeyError, TypeError, ValueError: The file is not what this part writes.
    """
    reading = Reading()
    _READERS[name](reading, result, size, kind)
    return reading


def _speed(reading: Reading, result: Any, size: str, kind: str) -> None:
    songs = {row.name: (row.batch, TINY_SECONDS if size == "tiny" else SECONDS) for row in ROWS}
    for row in result:
        if row["exit_code"] != 0:
            reading.problems.append(f"row {row['row']} ended with exit code {row['exit_code']}")
        if "step_ms" not in row:
            continue
        batch, seconds = songs[row["row"]]
        reading.add(
            f"training step, {batch} × {seconds:g} s, {', '.join(_form(row))}",
            row["goal"],
            step_ms=row["step_ms"],
            audio=row["audio_s_per_s"],
            gib=row["peak_gib"] or None,
            warmup_s=row["phases"].get("warmup"),
        )
    for row in result:
        if row["row"] == "1x60-warm" and row["first_step_s"] is not None:
            reading.add(
                "start of the worker to the first step, compiled on disk", FIRST_STEP_GOAL, s=row["first_step_s"]
            )
    apart = losses_apart(result)
    for held in ("", ", weights held"):
        if f"compiled and eager{held}" in apart:
            own = apart.get(f"bf16 and fp32{held}")
            goal = "" if own is None else f"≤ {own:.3g} (eager bf16 and eager float32)"
            found = apart[f"compiled and eager{held}"]
            reading.add(f"losses of compiled and eager steps, on average{held}", goal, apart=found)
    if "eager and eager again" in apart:
        reading.add("losses of eager steps and the same again", "", apart=apart["eager and eager again"])


def _form(row: Mapping[str, Any]) -> list[str]:
    """How a row's steps were computed: what it asks for, then what became of ``compile on``."""
    asked = [word for word in row["row"].split("-")[1:] if word not in ("eager", "warm")]
    told = row["compiled"][-1] if row["compiled"] else {"is_compiled": False, "has_graphs": False}
    forms = [word for word, is_so in (("compiled", told["is_compiled"]), ("graphs", told["has_graphs"])) if is_so]
    warm = ["compiled code on disk"] if row["row"].endswith("-warm") else []
    return [*asked, *(forms or ["eager"]), *warm]


def _step(reading: Reading, result: Any, size: str, kind: str) -> None:
    for row in result["rows"]:
        recompute = ", recompute" if row["recompute"] else ""
        precision = "" if row["precision"] == "no_change" else f", {row['precision']}"
        reading.add(
            f"step alone, {row['batch']} × {row['seconds']:g} s, eager{precision}{recompute}",
            step_ms=row["step_ms"],
            audio=row["audio_s_per_s"],
            gib=row["peak_gib"],
        )


def _prepare(reading: Reading, result: Any, size: str, kind: str) -> None:
    for run in result["runs"]:
        if run["exit_code"] != 0:
            reading.problems.append(f"preparation ended with exit code {run['exit_code']}")
        if run.get("whole_real_time"):
            each_s = run["encoded_audio_s"] / run["songs"]
            reading.add(
                f"whole preparation, {run['songs']} mp3 songs of {each_s:g} s",
                GOALS["whole preparation"],
                s=run["whole_s"],
                real_time=run["whole_real_time"],
            )
    for stage in result.get("stages", ()):
        if stage["stage"] == "decode and resample all":
            reading.add("decoding and resampling, all cores", real_time=stage["real_time"])
    used = [row for row in result.get("forms", ()) if row["is_used"] and "real_time" in row]
    if used:  # first with the window in use, then with others
        reading.add(
            "codec's encoder, as used",
            GOALS["encode"],
            real_time=used[0]["real_time"],
            error=used[0]["relative_error"] or None,
        )
    if result.get("text"):
        best = max(result["text"], key=lambda row: float(row["captions_per_s"]))
        reading.add(f"captions, {best['batch']} at once", rate=best["captions_per_s"])


def _sample(reading: Reading, result: Any, size: str, kind: str) -> None:
    # Elsewhere a call that may be recorded is a plain one: the same figure again.
    forms = ("eager", "graphs", "compiled", "compiled + graphs") if kind == "cuda" else ("eager", "compiled")
    for clip in result["clips"]:
        if clip["calls"] in forms:
            seconds = round(clip["real_time"] * clip["seconds"])
            goal = CLIP_GOAL if clip["steps"] == 27 else ""
            what = f"clip of {seconds} s, {clip['steps']} steps, {clip['calls']}"
            reading.add(what, goal, s=clip["seconds"], real_time=clip["real_time"])
        reading.problems += [f"clip, {clip['calls']}: {words}" for words in clip["fallbacks"]]
    for call in result["network"]:
        if call["calls"] in forms:
            guided = ", both branches" if call["branches"] == 2 else ""
            reading.add(f"network call{guided}, {call['calls']}", ms=call["ms"])
    for part in result["decoding"]:
        if part["form"] == "as used":
            what = f"{part['part']}, as used"
            reading.add(what, ms=part["ms"], real_time=part["real_time"], error=part["relative_error"] or None)


def _features(reading: Reading, result: Any, size: str, kind: str) -> None:
    for row in result["rows"]:
        gib = None if row["peak_bytes"] is None else row["peak_bytes"] / GIB
        reading.add(f"{row['model']} hears {row['seconds']:g} s", real_time=row["real_time"], gib=gib)


def _scan(reading: Reading, result: Any, size: str, kind: str) -> None:
    songs = f"{result['songs']} songs of {result['seconds_a_song']:g} s"
    reading.add(f"scan --quick, {songs}", s=result["quick_s"])
    reading.add(f"scan, {songs}", s=result["standard_s"])


def _memory(reading: Reading, result: Any, size: str, kind: str) -> None:
    for row in result:
        reading.problems += [f"row {row['row']}: {words}" for words in row["problems"]]
        peak = row["whole"].get("peak_bytes")
        card = "" if row["card_gib"] is None else f" with {row['card_gib']:g} GB"
        if peak:
            reading.add(f"whole run{card}: {row['row']}", f"≤ {row['limit_gib']:g} GiB", gib=peak / GIB)


_READERS: dict[str, Callable[[Reading, Any, str, str], None]] = {
    "speed": _speed,
    "step": _step,
    "prepare": _prepare,
    "sample": _sample,
    "features": _features,
    "scan": _scan,
    "memory": _memory,
}
