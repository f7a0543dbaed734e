"""What to do when memory runs out: the settings that help most, each with the value that it has now."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Sequence

from engine.contract.config import Config
from engine.contract.errors import OutOfMemoryError
from engine.contract.run_dir import RunDir, checkpoint_step
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


def memory_error(why: str, config: Config, *, saved_step: int | None, tried: Sequence[str] = ()) -> OutOfMemoryError:
    """The user's version of a memory that ran out.

    Args:
        why: What torch or Python said, in one line.
        config: Its settings are named with their values.
        saved_step: The newest step that a checkpoint holds; None = there is none.
        tried: What was done about it before, in order.
    """
    advice = [
        f"lower train_batch_size (now {config.train_batch_size})",
        f"set gradient_checkpointing true (now {str(config.gradient_checkpointing).lower()})",
        "use shorter pieces (audio.max_duration_seconds)",
    ]
    if config.base_model_precision == "no_change" and config.model_type == "lora":
        advice.append("set base_model_precision int8-quanto (now no_change)")
    if config.model_type == "lora" and not config.oom_allow_quantisation:
        advice.append("set oom_allow_quantisation true (now false), which lets that happen when it is needed")
    attempts = f"Tried: {', '.join(name.replace('_', ' ') for name in tried)}. " if tried else ""
    kept = "Nothing was saved yet." if saved_step is None else f"Step {saved_step:,} is saved: a start goes on from it."
    return OutOfMemoryError(
        f"memory ran out: {why}",
        hint=f"{attempts}Use less of it: {', or '.join(advice)}. {kept}",
    )
