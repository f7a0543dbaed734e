"""Milliseconds of a training step at the released sizes: forward, backward, clip, optimizer; medians.

``python -m bench.step DIR --batch 1 4 --seconds 60 --rank 64 --precision no_change int8-quanto --out FILE``; DIR is a
checkpoint of `bench.checkpoint`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch

from engine.batches.collate import Batch
from engine.contract.config import Config
from engine.model.card import CODEC_RATE, FRAME_SAMPLES
from engine.model.family import AceStepV1
from engine.model.load import resolve_checkpoint
from engine.objective.timesteps import sigma_table
from engine.train.device import choose_device, describe
from engine.train.setup import build_model
from engine.train.step import train_step
from engine.train.step_clock import StepClock

WARM_UP, MEASURED = 3, 12


def measure(
    checkpoint: Path,
    *,
    batch_size: int,
    seconds: float,
    rank: int,
    recompute: bool,
    precision: str = "no_change",
) -> dict[str, Any]:
    """Time steps of a LoRA run in bf16 on random data of one length."""
    device = choose_device()
    config = Config.from_dict(
        {
            "pretrained_model_name_or_path": str(checkpoint),
            "lora_rank": rank,
            "lora_dropout": 0.0,
            "mixed_precision": "bf16" if device.type != "cpu" else "no",
            "gradient_checkpointing": recompute,
            "base_model_precision": precision,
            "train_batch_size": batch_size,
        }
    )
    family = AceStepV1(resolve_checkpoint(checkpoint))
    built = build_model(config, family, max_steps=1000, with_projectors=False, device=device)
    sigmas = sigma_table(config.flow_schedule_shift).to(device)
    batch = random_batch(batch_size, seconds, text_width=built.model.config.text_embedding_dim)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clock, times = StepClock(device), []
    for _ in range(WARM_UP + MEASURED):
        started = time.perf_counter()
        train_step(
            built.state,
            [batch],
            family=family,
            config=config,
            sigmas=sigmas,
            ssl_weight=0.0,
            device=device,
            clock=clock,
        )
        times.append(time.perf_counter() - started)
    step_s = statistics.median(times[WARM_UP:])
    return {
        "batch": batch_size,
        "seconds": seconds,
        "rank": rank,
        "recompute": recompute,
        "precision": precision,
        "step_ms": round(step_s * 1000, 1),
        "audio_s_per_s": round(batch_size * seconds / step_s, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.type == "cuda" else None,
    }


def random_batch(batch_size: int, seconds: float, *, text_width: int) -> Batch:
    """B samples of one length with 128 text and 512 lyric tokens."""
    frames = int(seconds * CODEC_RATE / FRAME_SAMPLES)
    generator = torch.Generator().manual_seed(0)
    return Batch(
        latents=torch.randn(batch_size, 8, 16, frames, generator=generator),
        frame_mask=None,
        text_states=torch.randn(batch_size, 128, text_width, generator=generator),
        text_mask=torch.ones(batch_size, 128, dtype=torch.int64),
        lyric_ids=torch.randint(3, 6000, (batch_size, 512), generator=generator),
        lyric_mask=torch.ones(batch_size, 512, dtype=torch.int64),
        noise=torch.randn(batch_size, 8, 16, frames, generator=generator),
        timestep_index=torch.randint(0, 1000, (batch_size,), generator=generator),
        ssl_targets=None,
        files=tuple(f"random_{index}" for index in range(batch_size)),
        positions=tuple(range(batch_size)),
        audio_s=batch_size * seconds,
        bucket=f"{seconds:g}s",
    )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    head = "| batch × s | rank | precision | recompute | ms/step | audio-s/s | peak GiB |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in rows:
        peak = "–" if row["peak_gib"] is None else row["peak_gib"]
        lines.append(
            f"| {row['batch']} × {row['seconds']:g} | {row['rank']} | {row['precision']} "
            f"| {'yes' if row['recompute'] else 'no'} | {row['step_ms']} | {row['audio_s_per_s']} | {peak} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every combination asked for; print Markdown, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.step", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0])
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--precision", nargs="+", default=["no_change"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = [
        measure(
            options.checkpoint,
            batch_size=batch,
            seconds=seconds,
            rank=options.rank,
            recompute=recompute,
            precision=precision,
        )
        for precision, batch, seconds, recompute in product(
            options.precision, options.batch, options.seconds, (False, True)
        )
    ]
    print(table(rows))
    if options.out:
        machine = {"device": describe(choose_device()), "torch": torch.__version__}
        options.out.write_text(json.dumps({**machine, "rows": rows}, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
