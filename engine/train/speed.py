"""What makes the steps of a run fast (compiled blocks, CUDA graphs), and why it is left out where it is."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from engine.batches.collate import Batch
from engine.contract.config import Config
from engine.contract.events import RunWarning, StepsCompiled
from engine.contract.files import write_json
from engine.contract.paths import compiled_code
from engine.hardware.machine import has_c_compiler
from engine.memory.compile import is_compiled, keep_compiled_code, set_compiled
from engine.memory.graphs import MicroStepGraphs, has_graphs
from engine.memory.runner import runner_of
from engine.model.transformer import AceStepTransformer
from engine.telemetry.emitter import Emitter
from engine.train.state import TrainState

T = TypeVar("T")

FEWEST_STEPS = 300
"""Fewer are over before a compilation has paid for itself (config-formats.md 1.13)."""

MOST_STATIC_LENGTHS = 8
"""Lengths of pieces that are compiled one by one; with more of them one compilation serves all."""

MOST_STATIC_SHAPES = 32
"""Shapes of batches that are compiled one by one, before one compilation serves all that are still to come."""

CONDITION_MULTIPLE = 128
"""Captions and lyrics are padded to multiples of so many tokens where steps are compiled: few shapes, little to do."""

_OF_THE_COMPILER = ("torch._dynamo", "torch._inductor", "torch._functorch", "torch.fx", "triton")
_WAITS = "weights or inner results wait in main memory"
_COLD_S, _WARM_S = 60.0, 15.0
"""Seconds of the warm-up while nothing is known of it: without compiled code on the disk, and with it."""


def why_not_compiled(config: Config, device: torch.device, *, num_steps: int) -> str | None:
    """Why a run is not compiled, in a few words; None = it is.

    Args:
        config: Its ``compile`` is asked.
        device: Where it trains.
        num_steps: Steps of this start.
    """
    if config.compile == "off":
        return "compile is off"
    if device.type == "mps":
        return "the compiler does not pay on an Apple GPU"
    if config.gradient_checkpointing and config.gradient_checkpointing_policy == "selective":
        return "recomputing a part of a block (gradient_checkpointing_policy selective) is not compiled"
    if not has_c_compiler():
        return "no C compiler is installed"
    if config.compile == "auto" and num_steps <= FEWEST_STEPS:
        return f"{num_steps:,} steps are over before it pays (compile on does it all the same)"
    return None


def why_no_graphs(config: Config, device: torch.device, state: TrainState) -> str | None:
    """Why the steps of a compiled run are not captured as CUDA graphs; None = they are."""
    runner = runner_of(state.model)
    if not has_graphs(device):
        return "CUDA graphs need an NVIDIA card"
    if config.model_type != "lora":
        return "a full fine-tune's gradients would have to stay in memory"
    if state.scaler is not None:
        return "the loss scaler of fp16 looks at every step"
    if not runner.is_all_here:
        return _WAITS
    return None


@dataclass
class Speed:
    """The fast ways of one run.

    Attributes:
        model: Whose blocks are compiled.
        emitter: Told what became of them.
        graphs: CUDA graphs of micro-steps, where they are used.
        reasons: What is left out, and why.
        folder: Where compiled code is kept.
        num_lengths: Different lengths of the run's pieces.
        is_dynamic: One compilation serves all lengths.
    """

    model: AceStepTransformer
    emitter: Emitter
    graphs: MicroStepGraphs | None = None
    reasons: list[str] = field(default_factory=list)
    folder: Path | None = None
    num_lengths: int | None = None
    is_dynamic: bool = False
    _shapes: set[tuple[int, ...]] = field(default_factory=set)
    _is_warming_up: bool = False

    @classmethod
    def of(
        cls,
        config: Config,
        state: TrainState,
        device: torch.device,
        emitter: Emitter,
        *,
        num_steps: int,
        num_lengths: int,
    ) -> Speed:
        """Make a model's steps as fast as its run allows.

        Args:
            config: The run's.
            state: Its model, with adapter and means of saving memory.
            device: Where it trains.
            emitter: Of the run.
            num_steps: Steps of this start.
            num_lengths: Different lengths of its pieces.
        """
        speed = cls(state.model, emitter, num_lengths=num_lengths)
        reason = why_not_compiled(config, device, num_steps=num_steps)
        if reason is None:
            speed.folder = compiled_code(config)
            keep_compiled_code(speed.folder)
            speed.is_dynamic = num_lengths > MOST_STATIC_LENGTHS
            set_compiled(state.model, True, dynamic=speed.is_dynamic)
            reason = why_no_graphs(config, device, state)
            if reason is None:
                speed.graphs = MicroStepGraphs(list(state.trainable.values()), device)
        if reason is not None:
            speed.reasons.append(reason)
        return speed

    @property
    def is_compiled(self) -> bool:
        """Whether blocks are compiled."""
        return is_compiled(self.model)

    @property
    def num_warm_ups(self) -> int:
        """Steps to take before one that is as all later ones: to compile, and to capture."""
        return int(self.is_compiled) + int(self.graphs is not None)

    def make_room(self) -> None:
        """Give up the memory that graphs hold, for something else than a step; they are captured again."""
        if self.graphs is not None:
            self.graphs.clear()

    def seen(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Count the shapes of what a step is about to work on; gives the same batches back."""
        self._shapes.update(_shape_of(batch) for batch in batches)
        if self.is_compiled and not self.is_dynamic and len(self._shapes) > MOST_STATIC_SHAPES:
            # Short lyrics and long ones, each with each length: it would not end for hours.
            self.is_dynamic = True
            set_compiled(self.model, True, dynamic=True)
        return batches

    def without_on_failure(self, work: Callable[[], T], *, restore: Callable[[], bool]) -> T:
        """``work``; where compiling or capturing fails in it, the same without, and a warning that says why.

        A step of training that compiled a further shape, or after which something is left out, is told.

        Args:
            work: A step.
            restore: Undoes what a broken-off ``work`` did; where it cannot, what ``work`` raised is raised.
        """
        began, num_shapes, num_reasons = time.monotonic(), len(self._shapes), len(self.reasons)
        was_dynamic = self.is_dynamic
        while True:
            try:
                done = work()
                break
            except Exception as error:
                if not self._steps_back(error) or not restore():
                    raise
        self._drop_graphs_of_what_waits()
        has_compiled_more = self.is_compiled and not was_dynamic and len(self._shapes) > num_shapes
        if not self._is_warming_up and (has_compiled_more or len(self.reasons) > num_reasons):
            self.tell(time.monotonic() - began)
        return done

    def _drop_graphs_of_what_waits(self) -> None:
        """Memory ran out in a step, and something waits in main memory from now on: no graph is replayed any more."""
        if self.graphs is not None and not runner_of(self.model).is_all_here:
            self.make_room()
            self.graphs = None
            self.reasons.append(_WAITS)

    def _steps_back(self, error: Exception) -> bool:
        """Leave out what failed; False where the failure is nothing of ours."""
        kind = f"{type(error).__module__}."
        is_compiling = self.is_compiled and kind.startswith(tuple(f"{name}." for name in _OF_THE_COMPILER))
        is_capturing = self.graphs is not None and self.graphs.is_capturing
        if not is_compiling and not is_capturing:
            return False
        traceback.print_exception(error, file=sys.stderr)
        why = (str(error).strip() or repr(error)).splitlines()[0]
        self.make_room()
        self.graphs = None
        what, cause = "steps are not captured as CUDA graphs", "capturing failed"
        if is_compiling:
            set_compiled(self.model, False)
            what, cause = "the model is not compiled", "the compiler failed"
        self.reasons.append(f"{cause}: {why}")
        message = f"{what}, so steps are slower and otherwise the same: {why}"
        self.emitter.emit(RunWarning(code="not_compiled", message=message))
        return True

    @contextlib.contextmanager
    def warming_up(self) -> Iterator[None]:
        """Around the warm-up: says beforehand how long it may take, and afterwards what it gave."""
        began = time.monotonic()
        was_compiled = self.is_compiled
        if was_compiled:
            expected_s = round(self._expected_s(), 1)
            self.emitter.emit(
                StepsCompiled(expected_s=expected_s, num_lengths=self.num_lengths, is_dynamic=self.is_dynamic)
            )
        self._is_warming_up = True
        try:
            yield
        finally:
            self._is_warming_up = False
        took_s = time.monotonic() - began
        if was_compiled and self.is_compiled:
            self._remember(took_s)
        self.tell(took_s)

    def tell(self, took_s: float | None = None) -> None:
        """Say how steps are made now, and what is left out.

        Args:
            took_s: Seconds of the warm-up, or of the step that changed it; None where there was neither.
        """
        self.emitter.emit(
            StepsCompiled(
                is_compiled=self.is_compiled,
                has_graphs=self.graphs is not None,
                took_s=None if took_s is None else round(took_s, 2),
                num_shapes=len(self._shapes) if self.is_compiled else None,
                num_lengths=self.num_lengths,
                is_dynamic=self.is_compiled and self.is_dynamic,
                reasons=tuple(self.reasons),
            )
        )

    def _expected_s(self) -> float:
        """Seconds that the warm-up took the last time; a guess the first time."""
        if self.folder is None or not (self.folder / "inductor").is_dir():
            return _COLD_S
        try:
            return float(json.loads((self.folder / _TOOK).read_text(encoding="utf-8"))["warm_up_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return _WARM_S

    def _remember(self, took_s: float) -> None:
        if self.folder is not None:
            with contextlib.suppress(Exception):  # the next start guesses
                write_json(self.folder / _TOOK, {"warm_up_s": round(took_s, 1)}, action="noting a duration")


_TOOK = "warm_up.json"


def _shape_of(batch: Batch) -> tuple[int, ...]:
    """Songs, frames, tokens of captions, tokens of lyrics: what a compilation and a CUDA graph are for."""
    num_songs, num_frames = batch.latents.shape[0], batch.latents.shape[-1]
    return num_songs, num_frames, batch.text_states.shape[1], batch.lyric_ids.shape[1]
