"""The split of a step: parts add up, never more than the whole, and a busy device is never waited for."""

from __future__ import annotations

import time

import pytest
import torch

from engine.train import step_clock
from engine.train.step_clock import StepClock, StepTimes


def test_parts_add_up_on_the_processor() -> None:
    clock = StepClock(torch.device("cpu"))
    for _ in range(2):
        with clock.span("forward"):
            time.sleep(0.01)
        with clock.span("backward"):
            time.sleep(0.02)
    with clock.span("optimizer"):
        time.sleep(0.01)
    times = clock.read(step_s=10.0)
    assert times.forward_s is not None and times.forward_s >= 0.02
    assert times.backward_s is not None and times.backward_s >= 0.04
    assert times.optimizer_s is not None and times.optimizer_s >= 0.01
    assert clock.read(step_s=10.0) == StepTimes(0.0, 0.0, 0.0), "each is told once"


def test_the_parts_are_never_more_than_the_whole() -> None:
    clock = StepClock(torch.device("cpu"))
    with clock.span("forward"):
        time.sleep(0.01)
    with clock.span("optimizer"):
        time.sleep(0.02)
    times = clock.read(step_s=0.015)
    assert times.forward_s is not None and times.optimizer_s is not None
    assert times.forward_s + times.optimizer_s <= max(0.015, times.forward_s)


def test_on_mps_the_parts_are_unknown() -> None:
    clock = StepClock(torch.device("mps"))
    with clock.span("forward"):
        pass
    assert clock.read(step_s=1.0) == StepTimes(None, None, None)


class FakeEvent:
    """A time stamp in the queue of a device that lags behind."""

    device_ms = 0.0
    queued_ms = 0.0

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.at_ms = -1.0

    def record(self, stream: object) -> None:
        self.at_ms = FakeEvent.queued_ms

    def query(self) -> bool:
        return self.at_ms <= FakeEvent.device_ms

    def elapsed_time(self, end: FakeEvent) -> float:
        assert end.query(), "reading a stamp that has not passed would wait"
        return end.at_ms - self.at_ms


def test_on_cuda_what_has_not_passed_is_read_with_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_clock.torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(step_clock.torch.cuda, "current_stream", lambda device: "stream")
    clock = StepClock(torch.device("cuda"))

    def work(part: step_clock.Part, milliseconds: float) -> None:
        with clock.span(part):
            FakeEvent.queued_ms += milliseconds

    work("forward", 100)
    work("backward", 200)
    FakeEvent.device_ms = FakeEvent.queued_ms  # the step's one wait for the device
    work("optimizer", 30)
    assert clock.read(step_s=1.0) == StepTimes(0.1, 0.2, 0.0)
    work("forward", 110)
    FakeEvent.device_ms = FakeEvent.queued_ms
    work("optimizer", 40)
    times = clock.read(step_s=1.0)
    assert (times.forward_s, times.backward_s) == (pytest.approx(0.11), 0.0)
    assert times.optimizer_s == pytest.approx(0.03), "that of the step before, which this one waited for"


def test_a_step_that_was_broken_off_is_left_out():
    clock = StepClock(torch.device("cpu"))
    with clock.span("forward"):
        time.sleep(0.02)
    clock.forget()
    with clock.span("backward"):
        pass
    times = clock.read(1.0)
    assert times.forward_s == 0.0 and times.backward_s is not None and times.backward_s < 0.02
