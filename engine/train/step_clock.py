"""Where the time of a step goes: rollout, forward, backward, optimizer; measured without making the step wait."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

Part = Literal["rollout", "forward", "backward", "optimizer"]


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of a step by what they were spent on; None where they cannot be told apart, or nothing was rolled out."""

    forward_s: float | None = None
    backward_s: float | None = None
    optimizer_s: float | None = None
    rollout_s: float | None = None


class StepClock:
    """Times the parts of a step, and the whole.

    On the processor by the clock. A CUDA device works behind the host's back, so there its own time stamps are recorded
    in its queue, to be read when they have passed. On MPS the parts are not known.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._began: _Stamp | None = None
        self._spans: list[tuple[Part, _Stamp, _Stamp]] = []

    def begin(self) -> None:
        """A step begins; what was timed of one that was broken off is left out."""
        self._spans, self._began = [], _Stamp(self._device)

    @contextlib.contextmanager
    def span(self, part: Part) -> Iterator[None]:
        """Time a block as a part; blocks of the same part add up."""
        begin = _Stamp(self._device)
        yield
        self._spans.append((part, begin, _Stamp(self._device)))

    def end(self) -> Spans:
        """The step is over, or all of it is in the device's queue."""
        assert self._began is not None
        spans = Spans(self._device, self._began, _Stamp(self._device), tuple(self._spans))
        self._began, self._spans = None, []
        return spans


@dataclass(frozen=True)
class Spans:
    """The time stamps of one step."""

    device: torch.device
    began: _Stamp
    ended: _Stamp
    parts: tuple[tuple[Part, _Stamp, _Stamp], ...]

    @property
    def are_over(self) -> bool:
        """Whether reading them waits for nothing."""
        return self.ended.has_passed

    def read(self) -> tuple[float, StepTimes]:
        """Seconds of the whole step and of its parts; waits for its end."""
        step_s = self.ended.since(self.began)
        if self.device.type == "mps":
            return step_s, StepTimes()
        seconds: dict[Part, float] = {}
        for part, begin, end in self.parts:
            seconds[part] = seconds.get(part, 0.0) + end.since(begin)
        return step_s, StepTimes(
            seconds.get("forward", 0.0),
            seconds.get("backward", 0.0),
            seconds.get("optimizer", 0.0),
            seconds.get("rollout"),
        )


class _Stamp:
    """A moment on the device's own clock."""

    def __init__(self, device: torch.device) -> None:
        self._event: torch.cuda.Event | None = None
        self._time = 0.0
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record(torch.cuda.current_stream(device))
        else:
            self._time = time.perf_counter()

    @property
    def has_passed(self) -> bool:
        return self._event is None or self._event.query()

    def since(self, before: _Stamp) -> float:
        """Seconds; waits until this moment has passed."""
        if self._event is None or before._event is None:
            return self._time - before._time
        self._event.synchronize()
        return before._event.elapsed_time(self._event) / 1000
