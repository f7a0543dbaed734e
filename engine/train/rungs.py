"""The rungs of the ladder: what takes less memory, from what costs least to what costs most. Pure decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.contract.config import Config
from engine.train.relief import Relief

SMALLER_PRECISION = {"no_change": "int8-quanto", "int8-quanto": "int4-quanto"}
"""The next smaller value of ``base_model_precision``."""

QUARTERS = {1: "A quarter", 2: "Half", 3: "Three quarters"}


@dataclass(frozen=True, slots=True)
class Situation:
    """What a rung is chosen by.

    Attributes:
        config: As it acts now, what was done before included.
        relief: What was done before.
        device_kind: ``cuda``, ``mps`` or ``cpu``.
        num_blocks: Of the model.
        batch: Most samples that the work under way takes at once.
        effective_batch: Samples of a step.
        is_compiled: The blocks are compiled, which they are not while a part of them is recomputed.
    """

    config: Config
    relief: Relief
    device_kind: str
    num_blocks: int = 0
    batch: int = 1
    effective_batch: int = 1
    is_compiled: bool = False


@dataclass(frozen=True, slots=True)
class Rung:
    """One step down.

    Attributes:
        name: Short, for the event.
        relief: What is done from now on, all in all.
        words: A sentence for people: what now is otherwise, and what it costs.
        changes: Settings that now act otherwise: the values before and after.
    """

    name: str
    relief: Relief
    words: str
    changes: Mapping[str, list[Any]] = field(default_factory=dict)


RungOf = Callable[[Situation], Rung | None]
"""The next rung of one kind, or None where there is none left."""


def next_rung(kinds: Iterable[RungOf], now: Situation) -> Rung | None:
    """The first that is left."""
    return next((rung for kind in kinds if (rung := kind(now)) is not None), None)


def smaller_micro_batch(now: Situation) -> Rung | None:
    """Half as many samples at once, accumulated so that the step's batch stays: the loss is the mean over samples."""
    if now.batch <= 1:
        return None
    size = now.batch // 2
    parts = -(-now.effective_batch // now.batch), -(-now.effective_batch // size)
    return Rung(
        "smaller_micro_batch",
        replace(now.relief, micro_batch=size),
        f"A step's songs are now worked on {size} at a time instead of {now.batch}: same batch, slower steps",
        {"train_batch_size": [now.batch, size], "gradient_accumulation_steps": list(parts)},
    )


def recompute(now: Situation) -> Rung | None:
    """Inner results are computed again instead of kept: the cheap part first, then all; compiled blocks all at once."""
    config = now.config
    if not config.gradient_checkpointing and not now.is_compiled:
        return _settings(
            "recompute_selective",
            now,
            {"gradient_checkpointing": True, "gradient_checkpointing_policy": "selective"},
            "Part of the inner results is now computed again instead of kept: same result, slower steps",
        )
    if not _recomputes_all(now) or (config.gradient_checkpointing_interval or 1) > 1:
        return _settings(
            "recompute_full",
            now,
            _RECOMPUTE_ALL,
            "All inner results are now computed again instead of kept: same result, slower steps",
        )
    return None


def offload(now: Situation) -> Rung | None:
    """The inputs of the blocks wait in main memory; no gain where that is the device's own."""
    if now.config.activation_offload or now.device_kind != "cuda" or not _recomputes_all(now):
        return None
    words = "Inner results now wait in main memory: same result, slower steps"
    return _settings("activation_offload", now, {"activation_offload": True}, words)


def swap_blocks(now: Situation) -> Rung | None:
    """A quarter, half, three quarters of a frozen model's blocks wait in main memory."""
    return _swapped(now, {}) if _recomputes_all(now) else None


def recompute_and_swap(now: Situation) -> Rung | None:
    """As `swap_blocks`, with the recomputation that it wants: for work without which there is no run."""
    return _swapped(now, {} if _recomputes_all(now) else _RECOMPUTE_ALL)


_RECOMPUTE_ALL: Mapping[str, Any] = {
    "gradient_checkpointing": True,
    "gradient_checkpointing_policy": "full",
    "gradient_checkpointing_interval": None,
}


def _swapped(now: Situation, more: Mapping[str, Any]) -> Rung | None:
    config = now.config
    if config.model_type != "lora" or now.device_kind != "cuda":
        return None
    for quarters, share in QUARTERS.items():
        num = min(now.num_blocks * quarters // 4, now.num_blocks - 1)
        if num > config.musubi_blocks_to_swap:
            also = ", and inner results are computed again instead of kept" if more else ""
            words = f"{share} of the model now waits in main memory{also}: same result, slower steps"
            return _settings("block_swap", now, {**more, "musubi_blocks_to_swap": num}, words)
    return None


def quantise(now: Situation) -> Rung | None:
    """The frozen model in int8, then int4: other results, so only with consent."""
    config = now.config
    if config.model_type != "lora" or not config.oom_allow_quantisation:
        return None
    smaller = SMALLER_PRECISION.get(config.base_model_precision)
    if smaller is None:
        return None
    name = smaller.partition("-")[0]
    words = f"The model is now stored in {name}, as oom_allow_quantisation allows: results differ a little"
    return _settings(f"quantise_{name}", now, {"base_model_precision": smaller}, words)


def smaller_encoder_batch(now: Situation) -> Rung | None:
    """Half as many songs and captions are prepared at once."""
    sizes = {name: now.config[name] for name in ("vae_batch_size", "text_encoder_batch_size")}
    if max(sizes.values()) <= 1:
        return None
    halves = {name: max(1, size // 2) for name, size in sizes.items()}
    words = f"Songs are now prepared {halves['vae_batch_size']} at a time: same result, slower"
    return _settings("smaller_encoder_batch", now, halves, words)


def prepare_on_processor(now: Situation) -> Rung | None:
    """The encoders run on the processor."""
    if now.config.offload_during_startup or now.device_kind == "cpu":
        return None
    words = "Songs are now prepared on the processor: same result, slower"
    return _settings("prepare_on_processor", now, {"offload_during_startup": True}, words)


def decode_in_blocks(now: Situation) -> Rung | None:
    """Test clips are decoded in cross-faded blocks."""
    if now.config.vae_enable_tiling:
        return None
    words = "Test clips are now decoded in short pieces, faded into each other"
    return _settings("decode_in_blocks", now, {"vae_enable_tiling": True}, words)


def decode_on_processor(now: Situation) -> Rung | None:
    """Test clips are decoded on the processor."""
    if now.relief.clips_on_processor or now.device_kind == "cpu":
        return None
    relief = replace(now.relief, clips_on_processor=True)
    return Rung("decode_on_processor", relief, "Test clips are now decoded on the processor: slower")


TRAINING: Sequence[RungOf] = (smaller_micro_batch, recompute, offload, swap_blocks, quantise)
LOADING: Sequence[RungOf] = (recompute_and_swap, quantise)
PREPARING: Sequence[RungOf] = (smaller_encoder_batch, prepare_on_processor)
CLIPS: Sequence[RungOf] = (decode_in_blocks, decode_on_processor, swap_blocks)
MEASURING: Sequence[RungOf] = (smaller_micro_batch, swap_blocks)
FINISHING: Sequence[RungOf] = (recompute_and_swap,)


def _recomputes_all(now: Situation) -> bool:
    return bool(now.config.gradient_checkpointing) and now.config.gradient_checkpointing_policy == "full"


def _settings(name: str, now: Situation, settings: Mapping[str, Any], words: str) -> Rung:
    changes = {key: [now.config[key], value] for key, value in settings.items() if now.config[key] != value}
    return Rung(name, now.relief.with_settings(settings), words, changes)
