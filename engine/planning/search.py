"""The search for values that suit a device, with the planner as the judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.contract.config import Config
from engine.contract.fields_base import Setting
from engine.hardware.cuda_support import BF16_CAPABILITY
from engine.hardware.machine import Device, Machine
from engine.planning.block_ring import HOST_LEFT_FREE_BYTES
from engine.planning.facts import DataFacts
from engine.planning.sizes import ModelSizes
from engine.planning.vram import GB, MemoryEstimate, estimate_memory, estimate_ram

Verdict = Literal["fits", "tight", "too big"]

WHOLE_SONG_S = 240.0
PIECES_S = (240.0, 120.0, 60.0, 30.0)
PRECISIONS = ("no_change", "int8-quanto", "int4-quanto")
BATCHES = (4, 2, 1)
FITS_SHARE = 0.9
"""A tenth of what is free stays free."""
ROOMY_SHARE = 0.7
"""More than one song at once only where much room is left: the estimate is one, and other programs come and go."""

INT8_BELOW_BYTES, INT4_BELOW_BYTES = 20 * GB, int(7.2 * GB)
"""Free memory below which the model is stored smaller at once (config-formats.md section 10, row 2: cards of 8 to 16
GB, and below 8), one song at a time and recomputing, though more may seem to fit: a card of that size often draws a
desktop too, and what an estimate is wrong by is a larger part of it."""

SWAPPED_SHARES = (1 / 3, 2 / 3, 5 / 6)
"""Shares of the blocks that may wait in main memory, where nothing quicker fits."""

_TIGHT_PIECE_S = 60.0  # nothing long where little is left
_CARD_SIZES_GB = (6, 8, 12, 16, 24, 32, 48, 80, 96, 141)


@dataclass(frozen=True, slots=True)
class Choice:
    """One point of the search."""

    piece_s: float
    precision: str
    batch_size: int
    recompute: bool
    number_format: str = "bf16"
    policy: str = "full"
    num_swapped: int = 0
    offloads: bool = False

    def values(self) -> dict[str, Any]:
        """The settings that make this choice."""
        is_whole = self.piece_s >= WHOLE_SONG_S
        return {
            "base_model_precision": self.precision,
            "mixed_precision": self.number_format,
            "train_batch_size": self.batch_size,
            "gradient_checkpointing": self.recompute,
            # Without a limit the model's own counts, and longer songs are cut there.
            "audio_max_duration_seconds": None if is_whole else self.piece_s,
            "long_clip": None if is_whole else "pieces",
            "gradient_checkpointing_policy": self.policy,
            "musubi_blocks_to_swap": self.num_swapped,
            "activation_offload": self.offloads,
        }


@dataclass(frozen=True)
class Search:
    """The search for one device: what it may choose from, and what each choice needs."""

    machine: Machine
    device: Device
    sizes: ModelSizes
    base: Mapping[str, Any]
    settings: Mapping[str, Setting]
    number_format: str
    _estimates: dict[Choice, MemoryEstimate] = field(default_factory=dict)

    def works(self, key: str) -> bool:
        """Whether a setting is declared and has its effect in this version."""
        setting = self.settings.get(key)
        return setting is not None and setting.status == "works"

    def values(self, choice: Choice) -> dict[str, Any]:
        """The settings that make a choice, those of them that work in this version."""
        return {key: value for key, value in choice.values().items() if self.works(key)}

    def needs(self, choice: Choice) -> int:
        """Bytes of the device's memory, estimated."""
        memory = self._memory(choice)
        is_cpu = self.device.kind == "cpu"
        return estimate_ram(memory, kind="cpu", sizes=self.sizes) if is_cpu else memory.used_bytes

    def _memory(self, choice: Choice) -> MemoryEstimate:
        if choice not in self._estimates:
            config = Config.from_dict({**self.base, **self.values(choice)})
            data = DataFacts(clip_s=(choice.piece_s,), bucket_s=(choice.piece_s,), num_captions=1)
            self._estimates[choice] = estimate_memory(
                config, data=data, sizes=self.sizes, kind=self.device.kind, card_bytes=self.device.total_bytes
            )
        return self._estimates[choice]

    def _can_wait(self, choice: Choice) -> bool:
        """Whether main memory has room for what a choice lets wait there: a run that lacks it is refused."""
        free = self.machine.ram_free_bytes
        if free is None or not (choice.num_swapped or choice.offloads):
            return True
        return self._memory(choice).host_bytes + HOST_LEFT_FREE_BYTES <= free

    def best(self) -> tuple[Choice, Verdict | None]:
        """The first choice that fits, else the first that just fits, else the one that needs least."""
        free = self.device.usable_bytes
        if free is None:
            return Choice(60.0, self._precisions()[0], 1, True, self.number_format), None
        for choice in self.candidates():
            share = ROOMY_SHARE if choice.batch_size > 1 else FITS_SHARE
            if self.needs(choice) <= share * free:
                return choice, "fits"
        for choice in self.candidates():
            if choice.piece_s <= _TIGHT_PIECE_S and choice.batch_size == 1 and self.needs(choice) <= free:
                return choice, "tight"
        return min(self.candidates(), key=self.needs), "too big"

    def candidates(self) -> Iterator[Choice]:
        """All choices, the preferred ones first: length, then precision, songs at once, speed."""
        for piece_s in self._pieces():
            for precision in self._precisions():
                for batch_size in self._batches():
                    for means in self._means(batch_size):
                        choice = Choice(piece_s, precision, batch_size, number_format=self.number_format, **means)
                        if self._can_wait(choice):
                            yield choice

    def _means(self, batch_size: int) -> Iterator[dict[str, Any]]:
        """Ways to save memory, the quickest first: nothing, keep a part, compute all again, blocks in main memory."""
        if not self._is_small:
            yield {"recompute": False}
        if self.works("gradient_checkpointing_policy") and not self._is_small:
            yield {"recompute": True, "policy": "selective"}
        yield {"recompute": True}
        if batch_size > 1 or self.device.kind != "cuda" or self.base.get("model_type") == "full":
            return
        if self.works("musubi_blocks_to_swap"):
            counts = [round(share * self.sizes.num_blocks) for share in SWAPPED_SHARES]
            yield from ({"recompute": True, "num_swapped": count} for count in counts)
            if self.works("activation_offload"):
                yield {"recompute": True, "num_swapped": counts[-1], "offloads": True}

    def _pieces(self) -> Sequence[float]:
        # A processor needs minutes for a step on a whole song.
        return PIECES_S if self.device.kind != "cpu" else PIECES_S[-1:]

    def _precisions(self) -> Sequence[str]:
        works = self.settings["base_model_precision"].working_choices
        # Widening weights anew for each product pays on a card alone; and a full fine-tune cannot train them.
        if self.device.kind != "cuda" or self.base.get("model_type") == "full":
            return PRECISIONS[:1]
        usual: Sequence[str] = PRECISIONS
        if self._is_small:
            free = self.device.free_bytes or 0
            usual = PRECISIONS[1:] if free >= INT4_BELOW_BYTES else PRECISIONS[2:]
        return [name for name in usual if name in works] or PRECISIONS[:1]

    def _batches(self) -> Sequence[int]:
        return BATCHES if self.device.kind == "cuda" and not self._is_small else BATCHES[-1:]

    @property
    def _is_small(self) -> bool:
        """Whether little is free on a card: see `INT8_BELOW_BYTES`."""
        free = self.device.free_bytes
        return self.device.kind == "cuda" and free is not None and free < INT8_BELOW_BYTES


def card_for(needed_bytes: int) -> int:
    """The memory, in GB as cards are sold, of the smallest usual card on which so much fits with room to spare."""
    wanted = needed_bytes / FITS_SHARE / GB
    return next((one for one in _CARD_SIZES_GB if one >= wanted), _CARD_SIZES_GB[-1])


def number_format_of(device: Device) -> str:
    """The value of ``mixed_precision`` that a device computes best in."""
    if device.kind == "cpu":
        return "no"  # processors are slower in 16 bits than in 32
    capability = device.card.capability if device.card is not None else None
    return "fp16" if capability is not None and capability < BF16_CAPABILITY else "bf16"
