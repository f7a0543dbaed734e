"""When memory runs out: free it, use less from now on, do the same work again, and say so.

`Ladder.attempt` stands around a piece of work of any phase; what it tries one after the other are `engine.train.rungs`.
The configuration stays as it was frozen; what acts instead is a `Relief`, kept in the run's folder.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from engine.batches.collate import Batch
from engine.contract.config import Config
from engine.contract.errors import ConfigError, OutOfMemoryError
from engine.contract.events import MemorySteppedDown, RunWarning
from engine.contract.run_dir import RunDir, checkpoint_step
from engine.memory.compile import is_compiled
from engine.memory.live import set_memory_means
from engine.model.quantise import QuantisedLinear, quantisation_of, quantise_layers
from engine.model.transformer import AceStepTransformer
from engine.telemetry.emitter import Emitter
from engine.train.device import release_memory
from engine.train.memory_advice import memory_error
from engine.train.memory_words import Shortage, read_shortage
from engine.train.relief import Relief, keep_relief, kept_relief
from engine.train.rungs import TRAINING, Rung, RungOf, Situation, next_rung
from engine.train.worker import is_out_of_memory

T = TypeVar("T")


class GaveUpError(Exception):
    """No rung is left for work that a run can do without; `reason` is what torch said."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Ladder:
    """Steps down when memory runs out.

    Attributes:
        run_dir: Keeps what was done.
        config: As it was frozen.
        device: Whose memory it is.
        emitter: Told of each step down.
        relief: What is done otherwise than `config` says.
        num_blocks: Of the model.
        model: The model in memory, once it is loaded: it follows `relief`.
        step: Optimizer steps done, for words and events.
        give_back: Lets go of memory that is held only for speed.
    """

    run_dir: RunDir
    config: Config
    device: torch.device
    emitter: Emitter
    relief: Relief = field(default_factory=Relief)
    num_blocks: int = 0
    model: AceStepTransformer | None = None
    step: int = 0
    give_back: Callable[[], None] = lambda: None
    _tried: list[str] = field(default_factory=list)
    _taken: tuple[Relief, set[RungOf]] | None = None  # what acted before the last rung, and its kinds

    @classmethod
    def of(cls, run_dir: RunDir, config: Config, device: torch.device, emitter: Emitter) -> Ladder:
        """The ladder of a run, on the rung where an earlier start left it."""

        ladder = cls(run_dir, config, device, emitter)
        ladder.relief = kept_relief(run_dir, config, warn=ladder.warn)
        return ladder

    def warn(self, code: str, message: str) -> None:
        """Say something that stops nothing."""
        self.emitter.emit(RunWarning(code=code, message=message))

    @property
    def acting(self) -> Config:
        """The configuration as it acts now."""
        return self.relief.of(self.config)

    def attempt(
        self,
        phase: str,
        work: Callable[[], T],
        *,
        kinds: Sequence[RungOf] = TRAINING,
        batch: Callable[[], int] = lambda: 1,
        restore: Callable[[], bool] = lambda: True,
        retries: int = 0,
        can_do_without: bool = False,
    ) -> T:
        """Do ``work``, again and again with less memory where it runs out.

        Args:
            phase: For the event; one of `engine.contract.events.PHASES`.
            work: Reads `acting` and `relief` anew each time.
            kinds: The rungs it may take.
            batch: The most samples that the work takes at once.
            restore: Undoes what a broken-off ``work`` did; False where it cannot.
            retries: So many times only what is held is freed, before the first rung.
            can_do_without: Raise `GaveUpError` at the end instead of ending the run.

        Raises:
            OutOfMemoryError: No rung is left, or nothing could be restored; says what to set.
            GaveUpError: The same, with ``can_do_without``.
        """
        passed_over: set[RungOf] = set()
        self._taken = None
        while True:
            try:
                return work()
            except Exception as error:
                # While a model is loaded as the rung says, main memory may turn out to have no room for what waits.
                is_of_rung = isinstance(error, OutOfMemoryError) and self.model is None and self._taken is not None
                if not is_out_of_memory(error) and not is_of_rung:
                    raise
                # The traceback holds the frames, and they hold what is to be freed.
                shortage = self._read(error)
            self._free()  # first, so that there is room for what is put back
            is_restored = restore()
            release_memory(self.device)
            if is_of_rung:
                self._take_back(passed_over)
            elif is_restored and retries > 0:
                retries -= 1
                self._say(phase, shortage, None)
                continue
            rung = None
            if is_restored:
                rung = self._take_next(kinds, batch(), passed_over)
            if rung is None and can_do_without:
                raise GaveUpError(shortage.why)
            if rung is None:
                raise memory_error(
                    shortage.why,
                    self.acting,
                    saved_step=self._saved_step(),
                    tried=self._tried,
                    micro_batch=self.relief.micro_batch,
                    device_kind=self.device.type,
                )
            self._say(phase, shortage, rung)

    def pieces(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Micro-batches as small as they have to be; the step's loss is the mean over samples, however they are cut."""
        size = self.relief.micro_batch
        return batches if size is None else [piece for batch in batches for piece in batch.pieces(size)]

    def largest(self, batches: Sequence[Batch]) -> int:
        """The most samples that `pieces` leaves together."""
        return max((len(batch.files) for batch in self.pieces(batches)), default=1)

    def _read(self, error: BaseException) -> Shortage:
        """What there is to know; then the error lets go of all memory."""
        traceback.print_exception(error, file=sys.stderr)
        shortage = read_shortage(error, self.device)
        seen: BaseException | None = error
        while seen is not None:
            traceback.clear_frames(seen.__traceback__)
            seen.__traceback__ = None
            seen = seen.__cause__ or seen.__context__
        return shortage

    def _free(self) -> None:
        self.give_back()
        gc.collect()
        release_memory(self.device)

    def _take_next(self, kinds: Sequence[RungOf], batch: int, passed_over: set[RungOf]) -> Rung | None:
        """Go down to the next rung; one that takes more memory to get to than there is, is passed over."""
        while True:
            left = [kind for kind in kinds if kind not in passed_over]
            situation = Situation(
                config=self.acting,
                relief=self.relief,
                device_kind=self.device.type,
                num_blocks=self.num_blocks,
                batch=batch,
                effective_batch=self.config.train_batch_size * self.config.gradient_accumulation_steps,
                is_compiled=self.model is not None and is_compiled(self.model),
            )
            rung = next_rung(left, situation)
            if rung is None:
                return None
            self._taken = self.relief, {kind for kind in left if kind(situation) == rung}
            self.relief = rung.relief
            try:
                self.follow()
            except Exception as error:
                # Of the means of saving, too: main memory may have no room for what is to wait there.
                if not is_out_of_memory(error) and not isinstance(error, OutOfMemoryError | ConfigError):
                    raise
                self._read(error)
                self._take_back(passed_over)
                self._free()
                continue
            keep_relief(self.run_dir, self.relief, self.config)
            return rung

    def _take_back(self, passed_over: set[RungOf]) -> None:
        """The last rung cannot be had: act as before it, and never come to it again in this attempt."""
        assert self._taken is not None
        self.relief, kinds = self._taken
        self._taken = None
        passed_over |= kinds
        keep_relief(self.run_dir, self.relief, self.config)

    def follow(self) -> None:
        """Make the model in memory do as `acting` says."""
        if self.model is None:
            return
        how = quantisation_of(self.acting)
        stored = {module.how.bits for module in self.model.modules() if isinstance(module, QuantisedLinear)}
        if how is not None and stored != {how.bits}:
            quantise_layers(self.model, how)
        set_memory_means(self.model, self.acting, self.device, warn=self.warn)

    def _say(self, phase: str, shortage: Shortage, rung: Rung | None) -> None:
        what = "What was held without need was freed" if rung is None else rung.words
        self._tried.append("freed" if rung is None else rung.name)
        self.emitter.emit(
            MemorySteppedDown(
                phase=phase,
                step=self.step,
                rung=self._tried[-1],
                changes={} if rung is None else dict(rung.changes),
                why=shortage.why,
                needed_bytes=shortage.needed_bytes,
                free_bytes=shortage.free_bytes,
                total_bytes=shortage.total_bytes,
            )
        )
        message = f"{shortage.words(phase, self.step)}. {what}. Nothing is lost"
        self.warn("memory_ran_out", message)

    def _saved_step(self) -> int | None:
        saved = [checkpoint_step(folder) for folder in self.run_dir.whole_checkpoints()]
        return saved[-1] if saved else None
