"""What to do when memory runs out: the settings that help most, each with the value that it has now."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Sequence

from engine.contract.config import Config
from engine.contract.errors import OutOfMemoryError
from engine.contract.run_dir import RunDir, checkpoint_step
from engine.train.relief import shown
from engine.train.rungs import SMALLER_PRECISION
from engine.train.worker import is_out_of_memory


@contextlib.contextmanager
def memory_advice(config: Config, run_dir: RunDir) -> Iterator[None]:
    """Turn a memory that runs out inside the block into what can be done about it; worker.log gets the details.

    Raises:
        OutOfMemoryError: In place of torch's or Python's own error.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.print_exception(error, file=sys.stderr)
        saved = [checkpoint_step(folder) for folder in run_dir.whole_checkpoints()]
        lines = str(error).strip().splitlines()
        why = lines[0] if lines else type(error).__name__
        raise memory_error(why, config, saved_step=saved[-1] if saved else None) from error


def memory_error(
    why: str,
    config: Config,
    *,
    saved_step: int | None,
    tried: Sequence[str] = (),
    micro_batch: int | None = None,
    device_kind: str = "",
) -> OutOfMemoryError:
    """The user's version of a memory that ran out.

    Args:
        why: What torch or Python said, in one line.
        config: As it acts; its settings are named with their values.
        saved_step: The newest step that a checkpoint holds; None = there is none.
        tried: What was done about it before, in order.
        micro_batch: So many songs of a step are worked on at once already; None = all of a batch.
        device_kind: ``cuda``, ``mps`` or ``cpu``, where it is known.
    """
    attempts = f"Tried: {', '.join(name.replace('_', ' ') for name in tried)}. " if tried else ""
    helps, spent = _batch_and_recompute(config, micro_batch)
    helps += _what_else_helps(config, device_kind)
    no_use = f" These save nothing more: {', '.join(spent)}." if spent else ""
    kept = "Nothing was saved yet." if saved_step is None else f"Step {saved_step:,} is saved: a start goes on from it."
    return OutOfMemoryError(
        f"memory ran out: {why}", hint=f"{attempts}Use less of it: {', or '.join(helps)}.{no_use} {kept}"
    )


def _batch_and_recompute(config: Config, micro_batch: int | None) -> tuple[list[str], list[str]]:
    """The two settings of the quickstart: as what still helps, or as what has nothing more to give."""
    helps, spent = [], []
    batch = f"train_batch_size (now {config.train_batch_size})"
    if min(config.train_batch_size, micro_batch or config.train_batch_size) > 1:
        helps.append(f"lower {batch}")
    else:
        spent.append(batch if config.train_batch_size == 1 else f"{batch}, which is worked on one at a time")
    recompute = f"gradient_checkpointing true (now {shown(config.gradient_checkpointing)})"
    if not config.gradient_checkpointing:
        helps.append(f"set {recompute}")
    else:
        spent.append(recompute)
        if config.gradient_checkpointing_policy != "full":
            helps.append(f"set gradient_checkpointing_policy full (now {config.gradient_checkpointing_policy})")
    return helps, spent


def _what_else_helps(config: Config, device_kind: str) -> list[str]:
    longest = config.audio_max_duration_seconds
    # Without long_clip, songs above the limit would be left out.
    pieces = "" if config.long_clip == "pieces" else " with long_clip pieces"
    now = "no limit" if longest is None else f"{longest:g}"
    helps = [f"use shorter pieces: audio_max_duration_seconds (now {now}){pieces}"]
    if config.model_type != "lora":
        return helps
    recomputes_all = config.gradient_checkpointing and config.gradient_checkpointing_policy == "full"
    if device_kind == "cuda" and recomputes_all and not config.musubi_blocks_to_swap:
        helps.append("let blocks wait in main memory: musubi_blocks_to_swap 12 (now 0)")
    smaller = SMALLER_PRECISION.get(config.base_model_precision)
    if smaller is not None:
        helps.append(f"set base_model_precision {smaller} (now {config.base_model_precision})")
        if not config.oom_allow_quantisation:
            helps.append("set oom_allow_quantisation true (now false), which lets that happen when it is needed")
    return helps
