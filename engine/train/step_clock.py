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
    """Times the parts of a step.

    On the processor by the clock. A CUDA device works behind the host's back, so there its own time stamps are
    recorded in its queue and read once they have passed: after the step's one wait for the device everything before it
    has. The optimizer runs after that wait, so its time is read one step later, in the step that it delayed. On MPS the
    parts are not known.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[Part, float] = {}
        self._pending: list[tuple[Part, torch.cuda.Event, torch.cuda.Event]] = []

    @contextlib.contextmanager
    def span(self, part: Part) -> Iterator[None]:
        """Time a block as a part; blocks of the same part add up."""
        if self._device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            stream = torch.cuda.current_stream(self._device)
            begin.record(stream)
            yield
            end.record(stream)
            self._pending.append((part, begin, end))
        else:
            began = time.perf_counter()
            yield
            self._add(part, time.perf_counter() - began)

    def read(self, step_s: float) -> StepTimes:
        """What has passed since the last reading; never waits.

        Args:
            step_s: The whole step by the host's clock. An optimizer that worked on while the host was elsewhere is
                counted only as far as it fits, so that the parts are never more than the whole.
        """
        pending = self._pending
        self._pending = []
        for part, begin, end in pending:
            if end.query():
                self._add(part, begin.elapsed_time(end) / 1000)
            else:
                self._pending.append((part, begin, end))
        seconds, self._seconds = self._seconds, {}
        if self._device.type == "mps":
            return StepTimes()
        forward_s, backward_s = seconds.get("forward", 0.0), seconds.get("backward", 0.0)
        rollout_s = seconds.get("rollout")
        room_s = max(0.0, step_s - forward_s - backward_s - (rollout_s or 0.0))
        return StepTimes(forward_s, backward_s, min(seconds.get("optimizer", 0.0), room_s), rollout_s)

    def forget(self) -> None:
        """Leave out what was timed since the last reading: that step was broken off, or undone."""
        self._seconds, self._pending = {}, []

    def _add(self, part: Part, seconds: float) -> None:
        self._seconds[part] = self._seconds.get(part, 0.0) + seconds
