"""Events about the memory of the device that trains, and about how fast its steps are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from engine.contract.event_base import Event


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryMeasured(Event):
    """What one real step on the longest songs took, before training begins; it takes the place of the plan's estimate.

    `peak_bytes` is the most that torch had allocated at once, `reserved_bytes` the most that its allocator held,
    `used_bytes` what the card held of all programs after it. `bucket` and `batch_size` say of what songs the step was.
    """

    kind: ClassVar[str] = "memory_measured"
    peak_bytes: int
    reserved_bytes: int | None = None
    used_bytes: int | None = None
    total_bytes: int | None = None
    step_s: float
    bucket: str
    batch_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MemorySteppedDown(Event):
    """Memory ran out; less of it is used from now on, and the work under way is done again.

    `rung` is what was done, `changes` the settings as they act now: name to the values before and after. `why` is what
    torch said, `needed_bytes` what it asked for and `free_bytes` what the card had left of `total_bytes`, where known.
    A warning says the same in words.
    """

    kind: ClassVar[str] = "memory_stepped_down"
    phase: str
    step: int
    rung: str
    changes: dict[str, list[Any]] = field(default_factory=dict)
    why: str = ""
    needed_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StepsCompiled(Event):
    """How steps are made fast: when the warm-up begins with `expected_s`, the seconds it may take; at its end with
    `took_s` and what came of it; then again when a further shape was compiled, `took_s` being that step's, and when
    something failed later on. Without a warm-up it says once why there is none.

    `is_compiled`: the model's blocks run as compiled code. `has_graphs`: whole steps are replayed as CUDA graphs. Both
    are None while that is being found out. `num_shapes` counts the shapes of batches that came so far (songs, frames,
    tokens of captions, tokens of lyrics), `num_lengths` the lengths of pieces that the run has. `is_dynamic`: one
    compilation serves all lengths. `reasons` says what is left out, and why.
    """

    kind: ClassVar[str] = "steps_compiled"
    is_compiled: bool | None = None
    has_graphs: bool | None = None
    expected_s: float | None = None
    took_s: float | None = None
    num_shapes: int | None = None
    num_lengths: int | None = None
    is_dynamic: bool = False
    reasons: tuple[str, ...] = ()
