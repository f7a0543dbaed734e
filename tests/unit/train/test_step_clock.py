"""The split of a step: parts add up, and a busy device is never waited for."""

from __future__ import annotations

import time

import pytest
import torch

from engine.train import step_clock
from engine.train.step_clock import StepClock, StepTimes


def test_parts_add_up_on_the_processor() -> None:
    clock = StepClock(torch.device("cpu"))
    clock.begin()
    for _ in range(2):
        with clock.span("forward"):
            time.sleep(0.01)
        with clock.span("backward"):
            time.sleep(0.02)
    with clock.span("optimizer"):
        time.sleep(0.01)
    step_s, times = clock.end().read()
    assert times.forward_s is not None and times.forward_s >= 0.02
    assert times.backward_s is not None and times.backward_s >= 0.04
    assert times.optimizer_s is not None and times.optimizer_s >= 0.01
    assert times.rollout_s is None
    assert times.forward_s + times.backward_s + times.optimizer_s <= step_s
    clock.begin()
    assert clock.end().read()[1] == StepTimes(0.0, 0.0, 0.0), "each is told once"


def test_a_step_that_was_broken_off_is_left_out() -> None:
    clock = StepClock(torch.device("cpu"))
    clock.begin()
    with clock.span("forward"):
        time.sleep(0.02)
    clock.begin()
    with clock.span("backward"):
        pass
    step_s, times = clock.end().read()
    assert times.forward_s == 0.0
    assert step_s < 0.02


def test_on_mps_the_parts_are_unknown() -> None:
    clock = StepClock(torch.device("mps"))
    clock.begin()
    with clock.span("forward"):
        pass
    assert clock.end().read()[1] == StepTimes(None, None, None)


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

    def synchronize(self) -> None:
        FakeEvent.device_ms = max(FakeEvent.device_ms, self.at_ms)

    def elapsed_time(self, end: FakeEvent) -> float:
        assert end.query(), "reading a stamp that has not passed would wait"
        return end.at_ms - self.at_ms


def test_on_cuda_a_step_is_read_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_clock.torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(step_clock.torch.cuda, "current_stream", lambda device: "stream")
    clock = StepClock(torch.device("cuda"))

    def step() -> step_clock.Spans:
        clock.begin()
        for part, milliseconds in (("forward", 100), ("backward", 200), ("optimizer", 30)):
            with clock.span(part):  # type: ignore[arg-type]
                FakeEvent.queued_ms += milliseconds
        return clock.end()

    first, second = step(), step()
    assert not first.are_over and not second.are_over
    FakeEvent.device_ms = 330
    assert first.are_over and not second.are_over
    assert first.read() == (pytest.approx(0.33), StepTimes(0.1, 0.2, pytest.approx(0.03)))
    assert FakeEvent.device_ms == 330, "nobody waited"
    assert second.read()[0] == pytest.approx(0.33)
    assert second.are_over
