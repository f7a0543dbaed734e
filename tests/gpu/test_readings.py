"""On a CUDA device: what is said of a step's time and of the cards is true, and saying it never waits."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from engine.hardware.gpu import list_gpus
from engine.telemetry.hardware import HardwareReader
from engine.train.step_clock import StepClock

pytestmark = pytest.mark.gpu
# The last card, so that a card of another number than 0 is tried where there are several; collected without one too.
DEVICE = torch.device("cuda", max(torch.cuda.device_count() - 1, 0))


class Work:
    """Matrix products, a known number of them at a time."""

    def __init__(self) -> None:
        self.matrix = torch.randn(4096, 4096, device=DEVICE)
        self.launch(20)
        torch.cuda.synchronize(DEVICE)

    def launch(self, count: int) -> None:
        for _ in range(count):
            torch.mm(self.matrix, self.matrix)

    def seconds(self, count: int) -> float:
        """How long so many take, waited for."""
        torch.cuda.synchronize(DEVICE)
        started = time.perf_counter()
        self.launch(count)
        torch.cuda.synchronize(DEVICE)
        return time.perf_counter() - started


def test_the_split_of_a_step_is_the_devices_own_time() -> None:
    work = Work()
    forward_s, backward_s, optimizer_s = (work.seconds(count) for count in (50, 100, 25))
    clock = StepClock(DEVICE)
    for _ in range(3):
        clock.begin()
        for part, count in (("forward", 50), ("backward", 100)):
            with clock.span(part):  # type: ignore[arg-type]
                work.launch(count)
        with clock.span("optimizer"):
            work.launch(25)
        spans = clock.end()
        assert not spans.are_over, "nobody waited for the card"
        step_s, times = spans.read()
        assert times.forward_s == pytest.approx(forward_s, rel=0.25)
        assert times.backward_s == pytest.approx(backward_s, rel=0.25)
        assert times.optimizer_s == pytest.approx(optimizer_s, rel=0.25)
        assert step_s == pytest.approx(forward_s + backward_s + optimizer_s, rel=0.25)


def test_a_reading_knows_the_card_that_trains(tmp_path: Path) -> None:
    held = torch.zeros(1 << 28, dtype=torch.uint8, device=DEVICE)
    event = HardwareReader(DEVICE, tmp_path).read()
    assert event.gpu_name == torch.cuda.get_device_name(DEVICE)
    assert event.vram_total_bytes and event.vram_used_bytes
    assert held.numel() <= event.vram_used_bytes <= event.vram_total_bytes
    assert event.vram_peak_bytes and event.vram_reserved_bytes and event.vram_reserved_bytes >= held.numel()
    assert event.gpu_watts and event.gpu_watts_limit and event.gpu_watts < 1.2 * event.gpu_watts_limit
    assert event.gpu_celsius and 10 < event.gpu_celsius < 100
    num_cards = torch.cuda.device_count()
    assert len(event.gpus) == (num_cards if num_cards > 1 else 0)
    if event.gpus:
        assert event.gpus[DEVICE.index]["used_bytes"] == pytest.approx(event.vram_used_bytes, rel=0.1)
        assert event.gpus[0]["used_bytes"] < event.vram_used_bytes, "the other card holds less"


def test_every_card_is_listed() -> None:
    cards = list_gpus()
    assert len(cards) >= torch.cuda.device_count()
    uuids = {f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in range(torch.cuda.device_count())}
    assert uuids <= {card.uuid for card in cards}
    capability = torch.cuda.get_device_capability(DEVICE)
    assert capability in {card.compute_capability for card in cards}
    for card in cards:
        assert card.driver and card.cuda and card.cuda.count(".") == 1 and float(card.cuda) > 10
        assert card.total_bytes and card.used_bytes is not None
        assert os.getpid() not in {process.pid for process in card.processes}
