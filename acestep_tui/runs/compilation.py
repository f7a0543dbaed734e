"""How the steps of a start are made fast, as its events tell it: under way, done, or left out with a reason."""

from __future__ import annotations

from dataclasses import dataclass

from acestep_tui import format as fmt
from engine.contract.memory_events import StepsCompiled


@dataclass(slots=True)
class Compilation:
    """What is known of one start. `take` writes; all else reads.

    Attributes:
        begun_t: When compiling began, as Unix seconds; None where nothing was compiled.
        expected_s: Seconds that it may take.
        took_s: Seconds that it took.
        result: The newest word on what came of it; None before the first.
        num_lengths: Different lengths of the run's pieces.
        is_dynamic: Whether one compilation serves all of them.
        num_results: How often there was one: the first ends the warm-up, the others come from training.
        has_new_shape: Whether the newest word is that a further shape was compiled.
    """

    begun_t: float | None = None
    expected_s: float | None = None
    took_s: float | None = None
    result: StepsCompiled | None = None
    num_lengths: int | None = None
    is_dynamic: bool = False
    num_results: int = 0
    has_new_shape: bool = False

    def take(self, event: StepsCompiled, t: float) -> None:
        """Take in one event."""
        self.num_lengths, self.is_dynamic = event.num_lengths, event.is_dynamic
        if event.expected_s is not None:
            self.begun_t, self.expected_s, self.result, self.num_results = t, event.expected_s, None, 0
            return
        if self.num_results == 0:
            self.took_s = event.took_s
        before = self.result.num_shapes if self.result is not None else None
        self.has_new_shape = before is not None and (event.num_shapes or 0) > before
        self.result = event
        self.num_results += 1

    @property
    def is_under_way(self) -> bool:
        """Whether the last word was that it begins."""
        return self.begun_t is not None and self.result is None

    def elapsed_s(self, now: float) -> float:
        """Seconds that it has taken so far; 0 before it begins."""
        return max(now - self.begun_t, 0.0) if self.begun_t is not None else 0.0

    def left_s(self, now: float) -> float:
        """Seconds that are left of what was expected, at least 0."""
        return max((self.expected_s or 0.0) - self.elapsed_s(now), 0.0)

    def share(self, now: float) -> float | None:
        """How much of what was expected is over, below 1 as long as it goes on; None where nothing was expected."""
        return min(self.elapsed_s(now) / self.expected_s, 0.99) if self.expected_s else None

    def progress(self, now: float) -> str:
        """``14 of about 60 s``."""
        return f"{self.elapsed_s(now):.0f} of about {self.expected_s or 0.0:.0f} s"

    @property
    def reason(self) -> str:
        """What is left out, and why; empty where nothing is or it is not known yet."""
        return "; ".join(self.result.reasons) if self.result is not None else ""

    @property
    def slower_because(self) -> str:
        """``not compiled: no C compiler is installed``; empty where steps are as fast as can be, or nobody knows."""
        if self.result is None or not self.reason:
            return ""
        return f"{'no CUDA graphs' if self.result.is_compiled else 'not compiled'}: {self.reason}"

    @property
    def shapes(self) -> str:
        """``3 shapes so far``; where lengths do not count ``any length``; empty where that is not known."""
        if self.result is None or not self.result.is_compiled:
            return ""
        if self.is_dynamic:
            return "any length"
        return "" if self.result.num_shapes is None else f"{fmt.plural(self.result.num_shapes, 'shape')} so far"

    @property
    def outcome(self) -> str:
        """A sentence: ``steps compiled in 12 s: 1 shape so far, CUDA graphs``; empty before there is one."""
        if self.result is None:
            return ""
        if not self.result.is_compiled:
            return f"steps are {self.slower_because or 'not compiled'}"
        took = f" in {fmt.duration(self.took_s)}" if self.took_s is not None else ""
        graphs = "CUDA graphs" if self.result.has_graphs else self.slower_because or "no CUDA graphs"
        return f"steps compiled{took}: {', '.join(filter(None, (self.shapes, graphs)))}"
