"""Memory and time of single training steps, cell by cell: the table that the memory plan is fitted to.

Each model (precision × rank) is built once; the cells of it follow each other in one process, the allocator's cache
emptied in between. The table is written anew after every cell, so a run that is cut off keeps what it had, and one that
finds a table goes on with it.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import statistics
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from bench.step import random_batch
from bench.vram_cells import Wanted
from bench.vram_device import ProcessMemory, machine
from bench.vram_live import set_memory_means
from engine.batches.collate import Batch
from engine.cache.ssl_features import stored_name
from engine.contract.config import Config
from engine.contract.feature_models import FEATURE_MODELS_BY_NAME, FRAME_SAMPLES
from engine.contract.files import write_json
from engine.model.family import AceStepV1
from engine.model.load import read_transformer_config, resolve_checkpoint
from engine.objective.timesteps import sigma_table
from engine.train.device import choose_device, release_memory
from engine.train.setup import Built, build_model
from engine.train.step import StepResult, train_step
from engine.train.step_clock import StepClock

NUM_STEPS, NUM_TIMED_STEPS, NUM_WARM = 2, 10, 2
TINY_SHRINK = 60
"""With the tiny model a clip is so many times shorter: the same program, in seconds on a processor."""


class Grid:
    """Measures cells on one checkpoint.

    Args:
        checkpoint: Of `bench.checkpoint`, or the tiny one.
        out: The table; one that is there is gone on with.
        is_tiny: Shorten the clips.
        until: `time.monotonic()` after which nothing more is begun.
    """

    def __init__(self, checkpoint: Path, out: Path, *, is_tiny: bool = False, until: float = float("inf")) -> None:
        self.process = ProcessMemory()  # before anything of this process is on the card
        self.out, self.is_tiny, self.until = out, is_tiny, until
        self.device = choose_device()
        self.family = AceStepV1(resolve_checkpoint(checkpoint))
        self.table: dict[str, Any] = {**machine(), "command": "python -m bench.vram grid", "builds": [], "cells": []}
        if out.is_file():
            before = json.loads(out.read_text(encoding="utf-8"))
            kept = [row for row in before["cells"] if "error" not in row]
            self.table |= {"builds": before["builds"], "cells": kept}
        self._clock = StepClock(self.device)

    def run(self, cells: Sequence[Wanted]) -> dict[str, Any]:
        """Measure what is not measured yet; returns the table."""
        done = {row["name"] for row in self.table["cells"]}
        missing = [wanted for wanted in cells if wanted.cell.name not in done]
        for _, group in itertools.groupby(missing, key=lambda wanted: wanted.build):
            group_cells = list(group)
            if time.monotonic() > self.until:
                break
            self._run_build(group_cells)
            gc.collect()
            release_memory(self.device)
        self.table["missing"] = len(cells) - len(self.table["cells"])
        self._write()
        return self.table

    def _run_build(self, cells: Sequence[Wanted]) -> None:
        config = self._config(cells[0])
        started = time.perf_counter()
        self._reset()
        built = build_model(config, self.family, max_steps=1000, with_projectors=True, device=self.device)
        build = {
            "precision": cells[0].levels["precision"],
            "rank": cells[0].levels["rank"],
            "build_s": round(time.perf_counter() - started, 2),
            **self._load_peaks(),
        }
        self.table["builds"].append(build)
        print(f"built {build}", flush=True)
        for wanted in cells:
            if time.monotonic() > self.until:
                break
            row = self._measure(wanted, built)
            self.table["cells"].append({**row, **self._load_peaks(build)})
            self._write()
            print(_line(row), flush=True)

    def _measure(self, wanted: Wanted, built: Built) -> dict[str, Any]:
        cell, config = wanted.cell, self._config(wanted)
        row: dict[str, Any] = {"name": cell.name, **asdict(cell), "timed": wanted.timed, "oom": False}
        # A table that was gone on with has cells of several days.
        row |= {name: self.table[name] for name in ("date", "allocator")}
        try:
            row["swapped_bytes"] = set_memory_means(built.model, config, self.device)
            release_memory(self.device)
            self._reset()
            times, row["loss"] = self._steps(built, wanted, config)
            row["step_s"] = round(statistics.median(times[NUM_WARM:] or times[-1:]), 4)
            row |= self._peaks()
        except torch.OutOfMemoryError as error:
            row |= {"oom": True, "why": str(error).splitlines()[0][:200]} | self._peaks()
        except Exception as error:  # one means that fails must not cost the other cells their time on the card
            traceback.print_exc()
            row |= {"error": f"{type(error).__name__}: {error}"[:400], "peak_bytes": None}
        for optimizer in built.state.optimizers:
            optimizer.zero_grad(set_to_none=True)
        return row

    def _steps(self, built: Built, wanted: Wanted, config: Config) -> tuple[list[float], float]:
        """Seconds of each step, and the last one's loss. What a step held is let go of before this returns."""
        batch = self._batch(wanted)
        num_steps = NUM_TIMED_STEPS if wanted.timed and not self.is_tiny else NUM_STEPS
        results = [self._step(built, batch, config, has_ssl=wanted.cell.ssl) for _ in range(num_steps)]
        return [result.step_s for result in results], round(results[-1].loss, 4)

    def _step(self, built: Built, batch: Batch, config: Config, *, has_ssl: bool) -> StepResult:
        return train_step(
            built.state,
            [batch],
            family=self.family,
            config=config,
            sigmas=sigma_table(config.flow_schedule_shift).to(self.device),
            ssl_weight=0.1 if has_ssl else 0.0,
            device=self.device,
            clock=self._clock,
        )

    def _config(self, wanted: Wanted) -> Config:
        """The settings of a cell, for this checkpoint."""
        values = wanted.cell.config().to_dict()
        values |= {"pretrained_model_name_or_path": str(self.family.checkpoint.root), "lora_dropout": 0.0}
        if self.is_tiny:
            values["musubi_blocks_to_swap"] = min(wanted.levels["swap"], 1)
        if self.device.type == "cpu":
            values["mixed_precision"] = "no"
        return Config.from_dict(values)

    def _batch(self, wanted: Wanted) -> Batch:
        cell = wanted.cell
        seconds = cell.seconds / TINY_SHRINK if self.is_tiny else cell.seconds
        width = read_transformer_config(self.family.checkpoint.transformer).text_embedding_dim
        batch = random_batch(1 if self.is_tiny else cell.batch, seconds, text_width=width)
        return replace(batch, ssl_targets=random_features(self.family.ssl_widths, batch)) if cell.ssl else batch

    def _reset(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()

    def _peaks(self) -> dict[str, int | None]:
        """Since `_reset`; the driver's figure as it is now, while torch still holds all that it took."""
        if self.device.type != "cuda":
            return {"peak_bytes": None, "reserved_bytes": None, "nvml_bytes": None}
        return {
            "peak_bytes": torch.cuda.max_memory_allocated(),
            "reserved_bytes": torch.cuda.max_memory_reserved(),
            "nvml_bytes": self.process.read(),
        }

    def _load_peaks(self, build: Mapping[str, Any] | None = None) -> dict[str, int | None]:
        """What the model takes once it is there, and what its loading took at most."""
        if build is not None:
            return {name: build[name] for name in ("after_load_bytes", "load_peak_bytes")}
        on_card = self.device.type == "cuda"
        return {
            "after_load_bytes": torch.cuda.memory_allocated() if on_card else None,
            "load_peak_bytes": torch.cuda.max_memory_allocated() if on_card else None,
        }

    def _write(self) -> None:
        write_json(self.out, self.table)


def random_features(widths: Mapping[str, int], batch: Batch) -> dict[str, tuple[torch.Tensor | None, ...]]:
    """Features as cache entries hold them, of random numbers."""
    generator = torch.Generator().manual_seed(1)
    num_samples = len(batch.files)
    seconds = batch.audio_s / num_samples
    features: dict[str, tuple[torch.Tensor | None, ...]] = {}
    for name, width in widths.items():
        rate = FEATURE_MODELS_BY_NAME[stored_name(name)].sample_rate / FRAME_SAMPLES
        frames = max(1, int(seconds * rate))
        features[name] = tuple(torch.randn(frames, width, generator=generator) for _ in range(num_samples))
    return features


def _line(row: Mapping[str, Any]) -> str:
    if row["oom"] or "error" in row:
        return f"{row['name']}: {row.get('error', 'out of memory')}"
    peak = "–" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**30:.2f} GiB"
    return f"{row['name']}: {peak}, {row['step_s']} s"


def comparisons(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of the timed cells: × the step of bf16, and by how much of the swapped weights the peak fell."""
    timed = [row for row in rows if row.get("timed") and "step_s" in row]
    found = []
    for row in timed:
        line: dict[str, Any] = {"name": row["name"], "step_s": row["step_s"], "peak_bytes": row["peak_bytes"]}
        with contextlib.suppress(StopIteration):
            plain = next(one for one in timed if _alike(one, row, "precision") and one["precision"] == "no_change")
            line["of_bf16"] = round(row["step_s"] / plain["step_s"], 3)
        with contextlib.suppress(StopIteration):
            held = next(one for one in timed if _alike(one, row, "swap") and not one["swap"])
            if row["swap"] and row["swapped_bytes"] and row["peak_bytes"]:
                line["of_unswapped_step"] = round(row["step_s"] / held["step_s"], 3)
                line["fall_share"] = round((held["peak_bytes"] - row["peak_bytes"]) / row["swapped_bytes"], 3)
        found.append(line)
    return found


def _alike(one: Mapping[str, Any], other: Mapping[str, Any], but: str) -> bool:
    kinds = ("precision", "rank", "seconds", "batch", "recompute", "ssl", "swap", "offload")
    return all(one[kind] == other[kind] for kind in kinds if kind != but)
