"""Milliseconds of a training step through the real worker: real loader, cached files, random weights of the real sizes.

``python -m bench.speed --out DIR [ROW ...] [--profile] [--tiny]``. A loop that calls the model itself would leave out
what makes a run slow: loading, logging, clipping, waiting for the card.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NUM_STEPS, NUM_COMPARED, NUM_MEASURED = 50, 200, 20
SECONDS, TINY_SECONDS = 60.0, 2.0

_LORA = {
    "lora_rank": 64,
    "lora_dropout": 0.1,
    "caption_dropout_probability": 0.1,
    "acestep_lora_target": "attn_qkv+linear_qkv",
    "ace_step_ssl_loss_weight": 0.0,
    "compile": "on",
    "validation_step_interval": 0,
    "checkpointing_steps": 0,
    "validation_split": 0.0,
    "dataloader_num_workers": 4,
}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: In results and on the command line.
        batch: Songs of 60 s a step.
        settings: As a user writes them.
        goal: What the issue asks for, in words.
        num_steps: Of the run; the last are measured.
        has_features: Whether it trains with musical features (SSL losses) too.
        is_held: Whether weights stay where the row `TRAINED` has left them. Training drifts: two runs of one row are
            as far apart after some twenty steps as runs in other formats. What rounding alone does, these rows show.
    """

    name: str
    batch: int
    settings: Mapping[str, Any]
    goal: str = ""
    num_steps: int = NUM_STEPS
    has_features: bool = False
    is_held: bool = False


TRAINED = "1x60"
_HELD_RATE = 1e-12  # far below a float32 weight's last digit
_PLAIN, _RECOMPUTED = {"gradient_checkpointing": False}, {"gradient_checkpointing": True}
ROWS: tuple[Row, ...] = (
    Row("1x60", 1, _PLAIN, "≤ 35 ms, aim 30", NUM_COMPARED),
    Row("8x60", 8, _PLAIN, "≥ 3,200 audio-s/s, aim 3,700"),
    Row("8x60-recomputed", 8, _RECOMPUTED, "≥ 2,300 audio-s/s, ≤ 8 GiB"),
    Row("1x60-int8", 1, {**_RECOMPUTED, "base_model_precision": "int8-quanto"}, "≤ 55 ms"),
    Row("1x60-recomputed", 1, _RECOMPUTED),
    Row("1x60-ssl", 1, _PLAIN, has_features=True),
    Row("1x60-eager", 1, {**_PLAIN, "compile": "off"}, num_steps=NUM_COMPARED),
    Row("1x60-eager-fp32", 1, {**_PLAIN, "compile": "off", "mixed_precision": "no"}, num_steps=NUM_COMPARED),
    Row("1x60-eager-again", 1, {**_PLAIN, "compile": "off"}, num_steps=NUM_COMPARED),
    Row("1x60-held", 1, _PLAIN, num_steps=NUM_COMPARED, is_held=True),
    Row("1x60-held-eager", 1, {**_PLAIN, "compile": "off"}, num_steps=NUM_COMPARED, is_held=True),
    Row(
        "1x60-held-eager-fp32",
        1,
        {**_PLAIN, "compile": "off", "mixed_precision": "no"},
        num_steps=NUM_COMPARED,
        is_held=True,
    ),
    Row("8x60-eager", 8, {**_PLAIN, "compile": "off"}),
    Row("1x60-int8-eager", 1, {**_RECOMPUTED, "base_model_precision": "int8-quanto", "compile": "off"}),
    Row("1x60-warm", 1, _PLAIN, "warm-up ≤ 20 s with compiled code on disk"),
)


def settings_of(row: Row, checkpoint: Path, work: Path, *, is_tiny: bool) -> dict[str, Any]:
    """A row as a user would write it; songs are written in front of it."""
    from bench.vram_rows import CPU_SETTINGS, USUAL, feature_settings
    from bench.vram_songs import write_songs
    from engine.train.device import choose_device

    seconds = TINY_SECONDS if is_tiny else SECONDS
    songs = write_songs(work / "songs", seconds=seconds, count=8, num_channels=1)
    on_card = is_tiny is False or choose_device().type == "cuda"
    return {
        **USUAL,
        **_LORA,
        "pretrained_model_name_or_path": str(checkpoint),
        "instance_data_dir": str(songs),
        "cache_dir": str(work / "cache"),
        "train_batch_size": row.batch,
        "max_train_steps": row.num_steps,
        **row.settings,
        **(feature_settings(work) if row.has_features else {}),
        **({"init_lora": str(_trained(work)), "learning_rate": _HELD_RATE} if row.is_held else {}),
        **({} if on_card else CPU_SETTINGS),
    }


def _trained(work: Path) -> Path | None:
    from engine.contract.run_dir import RunDir

    return next(reversed(RunDir(work / "runs" / TRAINED).whole_checkpoints()), None)


def measure(row: Row, checkpoint: Path, work: Path, *, is_tiny: bool, profile: Path | None = None) -> dict[str, Any]:
    """Run a row's training and read its events: medians of the last steps."""
    from bench.vram_worker import Work, events_of, run_apart

    if profile is not None:
        os.environ["ACESTEP_BENCH_PROFILE"] = str(profile)
    try:
        settings = settings_of(row, checkpoint, work, is_tiny=is_tiny)
        ran = run_apart(Work("train", work / "runs" / row.name, settings), patience_s=400.0)
    finally:
        os.environ.pop("ACESTEP_BENCH_PROFILE", None)
    events = events_of(work / "runs" / row.name)
    result = {"row": row.name, "goal": row.goal, "exit_code": ran["exit_code"], "seconds": ran["seconds"]}
    steps = [event for event in events if event["kind"] == "step"][-NUM_MEASURED - 1 :]
    phases = {event["phase"]: event["seconds"] for event in events if event["kind"] == "phase_ended"}
    result["phases"] = phases
    result["compiled"] = [event for event in events if event["kind"] == "steps_compiled"]
    result["warnings"] = [f"{event['code']}: {event['message']}" for event in events if event["kind"] == "warning"]
    if len(steps) > NUM_MEASURED:
        spans = [after["t"] - before["t"] for before, after in itertools.pairwise(steps)]
        step_s = (steps[-1]["t"] - steps[0]["t"]) / NUM_MEASURED
        audio_s = statistics.mean(step["audio_s"] for step in steps[1:])
        result |= {
            "step_ms": round(statistics.median(spans) * 1000, 2),
            "step_ms_mean": round(step_s * 1000, 2),
            "step_ms_on_device": round(statistics.median(step["step_s"] for step in steps[1:]) * 1000, 2),
            "forward_ms": round(statistics.median(step["forward_s"] or 0 for step in steps[1:]) * 1000, 2),
            "backward_ms": round(statistics.median(step["backward_s"] or 0 for step in steps[1:]) * 1000, 2),
            "optimizer_ms": round(statistics.median(step["optimizer_s"] or 0 for step in steps[1:]) * 1000, 2),
            "data_ms": round(statistics.median(step["data_s"] for step in steps[1:]) * 1000, 2),
            "audio_s_per_s": round(audio_s / step_s, 1),
            "losses": ran["losses"],
        }
    # A captured step takes its memory when it is captured, in the warm-up.
    peaks = [ran["phases"].get(phase, {}) for phase in ("warmup", "train")]
    for name in ("peak", "reserved", "nvml"):
        result[f"{name}_gib"] = round(max(one.get(f"{name}_bytes", 0) for one in peaks) / 2**30, 2)
    result["first_step_s"] = _seconds_to_first_step(events)
    return result


def losses_apart(results: list[dict[str, Any]]) -> dict[str, float]:
    """Mean distance of the losses of runs on the same songs, noise and dropout: compiled and eager, bf16 and fp32."""
    losses = {result["row"]: result.get("losses", {}) for result in results}
    pairs = {
        "compiled and eager": ("1x60", "1x60-eager"),
        "bf16 and fp32": ("1x60-eager", "1x60-eager-fp32"),
        "eager and eager again": ("1x60-eager", "1x60-eager-again"),
        "compiled and eager, weights held": ("1x60-held", "1x60-held-eager"),
        "bf16 and fp32, weights held": ("1x60-held-eager", "1x60-held-eager-fp32"),
    }
    apart = {}
    for name, (first, second) in pairs.items():
        shared = losses.get(first, {}).keys() & losses.get(second, {}).keys()
        if shared:
            apart[name] = statistics.mean(abs(losses[first][step] - losses[second][step]) for step in shared)
    return apart


def _seconds_to_first_step(events: list[dict[str, Any]]) -> float | None:
    first = next((event for event in events if event["kind"] == "step"), None)
    return None if first is None else round(first["t"] - events[0]["t"], 2)


def main() -> None:
    """Measure rows; print a line each, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", help="all of them by default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("/dev/shm/acestep-speed"))
    parser.add_argument("--profile", action="store_true", help="write where the time of three steps goes")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds after which no row is begun")
    options = parser.parse_args()
    began = time.monotonic()
    from engine.__main__ import set_environment

    set_environment()  # as the worker does, whose own call comes too late where torch is there already
    from bench.vram_rows import write_feature_models
    from bench.vram_worker import choose_context, in_child

    options.out.mkdir(parents=True, exist_ok=True)
    options.work.mkdir(parents=True, exist_ok=True)
    choose_context()
    checkpoint = options.work / ("tiny" if options.tiny else "checkpoint")
    in_child(lambda: _write_checkpoint(checkpoint, is_tiny=options.tiny))
    print(f"[{time.monotonic() - began:6.1f}] checkpoint", flush=True)
    rows = [row for row in ROWS if not options.rows or row.name in options.rows]
    if any(row.has_features for row in rows):
        in_child(lambda: write_feature_models(options.work, is_tiny=options.tiny))
    results = []
    for row in rows:
        if time.monotonic() - began > options.budget:
            continue
        if row.is_held and _trained(options.work) is None:
            print(f"{row.name} starts from the LoRA of {TRAINED}, which is not there: left out", flush=True)
            continue
        profile = options.out / f"profile_{row.name}.txt" if options.profile else None
        result = measure(row, checkpoint, options.work, is_tiny=options.tiny, profile=profile)
        results.append(result)
        (options.out / "speed.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        shown = {key: value for key, value in result.items() if key not in ("losses", "goal")}
        print(f"[{time.monotonic() - began:6.1f}] {json.dumps(shown)}", flush=True)
    print("mean distance of losses:", losses_apart(results), flush=True)


def _write_checkpoint(folder: Path, *, is_tiny: bool) -> None:
    from bench.checkpoint import write_released_sizes
    from engine.model.tiny import write_tiny_checkpoint

    if is_tiny and folder.is_dir():
        return
    if is_tiny:
        write_tiny_checkpoint(folder)
    else:
        write_released_sizes(folder)


if __name__ == "__main__":
    main()
