"""Measured steps of the released sizes (`measured_memory.json`), and whether a plan lies among them.

`bench.vram` writes the table on a card; `bench.fit_vram` fits the coefficients of the plan to half of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from engine.contract.config import Config
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.optimizers import optimizer_name
from engine.planning.activations import policy_of
from engine.planning.facts import USUAL_LYRIC_TOKENS, USUAL_TEXT_TOKENS, DataFacts, DeviceKind
from engine.planning.memory_terms import MemoryTerms
from engine.planning.sizes import ModelSizes, published_sizes
from engine.planning.vram import MemoryEstimate, estimate_memory
from engine.planning.weights import num_swapped, plain_bytes

Basis = Literal["measured", "computed"]

MEASURED_FILE = Path(__file__).with_name("measured_memory.json")
_NOT_VARIED = (
    "mixed_precision",
    "base_model_default_dtype",
    "gradient_checkpointing_interval",
    "gradient_accumulation_steps",
    "gradient_precision",
    "set_grads_to_none",
    "acestep_lora_target",
    "peft_lora_target_modules",
    "lyrics_embedder_train",
    "use_ema",
    "scheduled_sampling_max_step_offset",
)
"""Settings that change what a step takes, and that every cell has as they come."""

TOLERANCE_SHARE, TOLERANCE_BYTES = 0.05, 300_000_000
"""By how much a plan may be off where it was measured: the larger of a share and so many bytes."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured combination; steps of a LoRA (or of all weights) in bf16 at the released sizes.

    Attributes:
        precision: Value of ``base_model_precision``.
        rank: Of the adapter; None = every weight is trained.
        seconds, batch: Of the songs of a step.
        recompute: ``none``, ``selective`` or ``full``.
        ssl: Whether the loss from musical features took part.
        swap, offload: Blocks in main memory; inputs of blocks in main memory.
        text_tokens, lyric_tokens: Conditions of each song.
        projectors_held: The projectors lay in memory though no such loss took part.
        peak_bytes, reserved_bytes, nvml_bytes: Allocated, held by torch, taken from the card; None where not read.
    """

    precision: str
    rank: int | None
    seconds: float
    batch: int
    recompute: str
    ssl: bool = False
    swap: int = 0
    offload: bool = False
    text_tokens: int = USUAL_TEXT_TOKENS
    lyric_tokens: int = USUAL_LYRIC_TOKENS
    projectors_held: bool = True
    peak_bytes: int = 0
    reserved_bytes: int | None = None
    nvml_bytes: int | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """A row of the table; what else stands in it (times, sizes after loading) is for people."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})

    @property
    def name(self) -> str:
        """For messages."""
        rank = "full" if self.rank is None else f"r{self.rank}"
        more = f"{' ssl' if self.ssl else ''}{f' swap {self.swap}' if self.swap else ''}"
        more += " offload" if self.offload else ""
        return f"{self.precision} {rank} {self.batch} x {self.seconds:g} s, recompute {self.recompute}{more}"

    def config(self) -> Config:
        """The settings that make this cell."""
        values: dict[str, Any] = {
            "mixed_precision": "bf16",
            "base_model_precision": self.precision,
            "train_batch_size": self.batch,
            "gradient_checkpointing": self.recompute != "none",
            "gradient_checkpointing_policy": self.recompute if self.recompute != "none" else "full",
            "musubi_blocks_to_swap": self.swap,
            "activation_offload": self.offload,
        }
        values |= {"model_type": "full"} if self.rank is None else {"lora_rank": self.rank}
        return Config.from_dict({key: value for key, value in values.items() if key in SETTINGS_BY_KEY})

    def data(self) -> DataFacts:
        """Its songs."""
        return DataFacts(
            clip_s=(self.seconds,),
            bucket_s=(self.seconds,),
            num_captions=1,
            has_features=self.ssl,
            num_text_tokens=self.text_tokens,
            num_lyric_tokens=self.lyric_tokens,
        )


@cache
def measured_cells(path: Path = MEASURED_FILE) -> tuple[Cell, ...]:
    """The cells of a table that did not run out of memory."""
    rows = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return tuple(Cell.from_dict(row) for row in rows if not row.get("oom") and row.get("peak_bytes"))


def planned(cell: Cell, *, sizes: ModelSizes | None = None, terms: MemoryTerms | None = None) -> dict[str, int]:
    """What the plan says of a cell: ``peak_bytes``, ``reserved_bytes``, ``nvml_bytes`` of its steps."""
    config, data, sizes = *_facts(cell), sizes or published_sizes()
    memory: MemoryEstimate = estimate_memory(config, data=data, sizes=sizes, kind="cuda", terms=terms)
    idle = 0 if cell.ssl or not cell.projectors_held else int(sizes.num_projectors * plain_bytes(config))
    peak = memory.train_bytes + idle
    reserved = peak + memory.slack_bytes
    return {"peak_bytes": peak, "reserved_bytes": reserved, "nvml_bytes": reserved + memory.base_bytes}


@cache
def _facts(cell: Cell) -> tuple[Config, DataFacts]:
    return cell.config(), cell.data()


def tolerance(measured_bytes: int) -> float:
    """Bytes by which the plan of a measured step may be off."""
    return max(TOLERANCE_SHARE * measured_bytes, TOLERANCE_BYTES)


def basis_of(config: Config, *, data: DataFacts, sizes: ModelSizes, kind: DeviceKind) -> Basis:
    """Whether steps like these were measured: the same kind of run, between the smallest and the largest measured."""
    published = published_sizes()
    same_model = (sizes.num_blocks, sizes.inner_dim) == (published.num_blocks, published.inner_dim)
    if kind != "cuda" or not same_model or _differs(config):
        return "computed"
    is_full = config.model_type == "full"
    num_waiting = num_swapped(config, sizes)
    alike = [
        cell
        for cell in measured_cells()
        if (cell.rank is None) == is_full
        and cell.precision == ("no_change" if is_full else config.base_model_precision)
        and cell.recompute == policy_of(config)
        and bool(cell.swap) == bool(num_waiting)
        and cell.offload == bool(config.get("activation_offload"))
        and cell.ssl == data.has_features
    ]
    if not alike:
        return "computed"
    here = [data.longest_s, config.train_batch_size, data.longest_s * config.train_batch_size, num_waiting]
    there = [[cell.seconds, cell.batch, cell.seconds * cell.batch, cell.swap] for cell in alike]
    if not is_full:
        here.append(config.lora_rank)
        there = [[*row, cell.rank or 0] for row, cell in zip(there, alike, strict=True)]
    within = all(
        min(column) <= value <= max(column) for value, column in zip(here, zip(*there, strict=True), strict=True)
    )
    # Fewer tokens than were measured take less, by little; more may take much.
    most_text, most_lyrics = max(cell.text_tokens for cell in alike), max(cell.lyric_tokens for cell in alike)
    within = within and data.num_text_tokens <= most_text and data.num_lyric_tokens <= most_lyrics
    return "measured" if within else "computed"


def _differs(config: Config) -> bool:
    """Whether a setting that no cell varies is otherwise than in the cells."""
    plain = Config.from_dict({"mixed_precision": "bf16"})
    if optimizer_name(config.optimizer) != optimizer_name(plain.optimizer):
        return True
    return any(config[key] != plain[key] for key in _NOT_VARIED)
