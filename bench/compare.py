"""Milliseconds of a step of runs that are there: ours by their events, the reference trainer's by its TensorBoard log.

``python -m bench.compare FOLDER [FOLDER ...] [--seconds 60] [--steps 100]``. A folder is a run of ours (it holds
events.jsonl) or one that the reference trainer logged to; both tell the time at which each step was over. The first
steps are left out: that trainer makes a clip of four minutes in its first, ours compiles in front of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.run_dir import RunDir

REFERENCE_TAG = "train/loss"
"""What the reference trainer logs in every step."""


@dataclass(frozen=True)
class Speed:
    """Of the last steps of a run.

    Attributes:
        num_steps: That were counted.
        median_ms: From the end of a step to the end of the next, in the middle.
        audio_s_per_s: Seconds of music a second, over all of them.
    """

    num_steps: int
    median_ms: float
    audio_s_per_s: float


def read_times(folder: Path, *, seconds: float) -> list[tuple[float, float]]:
    """When each step was over, and the seconds of music in it.

    Args:
        folder: Of a run of ours, or of the reference trainer's log.
        seconds: Of each of the reference trainer's songs; its steps are of one song.

    Raises:
        ValueError: No step is told there.
    """
    events = RunDir(folder).events_jsonl
    if events.is_file():
        lines = [line for line in events.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        found = [(event["t"], event["audio_s"]) for event in map(json.loads, lines) if event["kind"] == "step"]
    else:
        # A second, and ours do not need it.
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        logged = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
        is_told = REFERENCE_TAG in logged.Tags()["scalars"]
        found = [(scalar.wall_time, seconds) for scalar in logged.Scalars(REFERENCE_TAG)] if is_told else []
    if not found:
        raise ValueError(
            f"{folder}: no steps; neither events.jsonl of a run nor a TensorBoard log with {REFERENCE_TAG}"
        )
    return found


def speed_of(times: Sequence[tuple[float, float]], *, num_steps: int) -> Speed:
    """The speed of the last steps.

    Args:
        times: Of `read_times`.
        num_steps: To count; fewer where the run has fewer, but the first never counts.

    Raises:
        ValueError: There are fewer than three steps.
    """
    counted = times[1:][-num_steps - 1 :]
    if len(counted) < 2:
        raise ValueError(f"{len(times)} steps are too few")
    spans = [after - before for (before, _), (after, _) in itertools.pairwise(counted)]
    audio_s = sum(seconds for _, seconds in counted[1:])
    whole_s = counted[-1][0] - counted[0][0]
    return Speed(len(spans), 1000 * statistics.median(spans), audio_s / whole_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table; 1 when a folder tells no steps."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each song in the reference trainer's steps")
    parser.add_argument("--steps", type=int, default=100, help="that are counted, from the last backwards")
    options = parser.parse_args(arguments)
    print("| run | steps | ms/step | audio-s/s |\n|---|---|---|---|")
    code = 0
    for folder in options.folders:
        try:
            speed = speed_of(read_times(folder, seconds=options.seconds), num_steps=options.steps)
        except ValueError as error:
            print(error, file=sys.stderr)
            code = 1
            continue
        print(f"| {folder} | {speed.num_steps} | {speed.median_ms:.1f} | {speed.audio_s_per_s:,.1f} |")
    return code


if __name__ == "__main__":
    sys.exit(main())
