"""Readings as events: the first at once, every card that torch sees, and nothing where there is nothing to read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from engine.contract.errors import DiskError
from engine.contract.events import Event, Hardware, Heartbeat
from engine.hardware.gpu import GpuReading
from engine.hardware.mps import AppleReading
from engine.telemetry import hardware
from engine.telemetry.emitter import Emitter
from engine.telemetry.hardware import HardwareReader
from engine.telemetry.heartbeat import HeartbeatThread
from tests.worker.front_end import wait_for


def test_a_processor_alone(tmp_path: Path) -> None:
    reader = HardwareReader(torch.device("cpu"), tmp_path)
    first, second = reader.read(), reader.read()
    assert first.gpu_name is None and first.gpus == () and first.vram_total_bytes is None
    assert first.ram_total_bytes is not None and first.ram_free_bytes is not None
    assert first.ram_free_bytes <= first.ram_total_bytes
    assert first.disk_free_bytes
    assert first.cpu_percent is None, "there is no reading before the first to count from"
    assert second.cpu_percent is not None


class FakeGpu:
    """A card known by its UUID; the driver has never heard of one that is not listed."""

    KNOWN: ClassVar[dict[object, GpuReading]] = {}

    def __init__(self, index: int | str) -> None:
        self.index = index

    @property
    def is_there(self) -> bool:
        return self.index in self.KNOWN

    def read(self) -> GpuReading:
        return self.KNOWN.get(self.index, GpuReading())


def with_cards(monkeypatch: pytest.MonkeyPatch, *readings: tuple[object, GpuReading]) -> None:
    """Torch sees cards "aa", "bb", …; the driver gives these readings."""
    monkeypatch.setattr(FakeGpu, "KNOWN", dict(readings))
    monkeypatch.setattr(hardware, "NvidiaGpu", FakeGpu)
    cuda = hardware.torch.cuda
    monkeypatch.setattr(cuda, "device_count", lambda: len(readings))
    monkeypatch.setattr(
        cuda,
        "get_device_properties",
        lambda index: SimpleNamespace(uuid="ab"[index] * 2, name=f"card {index}", total_memory=24 << 30),
    )
    monkeypatch.setattr(cuda, "memory_reserved", lambda device: 5)
    monkeypatch.setattr(cuda, "max_memory_allocated", lambda device: 4)


def test_one_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = GpuReading("RTX 4070", 12 << 30, 3 << 30, 97.0, 66.0, 178.0, watts_limit=200.0, fan_percent=52.0)
    with_cards(monkeypatch, ("GPU-aa", card))
    event = HardwareReader(torch.device("cuda"), tmp_path).read()
    assert (event.gpu_name, event.vram_total_bytes, event.vram_used_bytes) == ("RTX 4070", 12 << 30, 3 << 30)
    assert (event.gpu_watts, event.gpu_watts_limit, event.gpu_fan_percent) == (178.0, 200.0, 52.0)
    assert (event.vram_reserved_bytes, event.vram_peak_bytes) == (5, 4)
    assert event.gpus == ()


def test_several_cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cards = [GpuReading(name, 12 << 30, used, 90.0, 60.0, 150.0) for name, used in (("first", 1), ("second", 2))]
    with_cards(monkeypatch, ("GPU-aa", cards[0]), ("GPU-bb", cards[1]))
    event = HardwareReader(torch.device("cuda:1"), tmp_path).read()
    assert event.gpu_name == "second", "the card that trains"
    assert [card["used_bytes"] for card in event.gpus] == [1, 2]
    assert set(event.gpus[0]) == {"name", "used_bytes", "total_bytes", "percent", "celsius", "watts"}


def test_a_card_without_a_uuid_is_found_by_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_cards(monkeypatch, (3, GpuReading("by place", 1, 1)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert HardwareReader(torch.device("cuda"), tmp_path).read().gpu_name == "by place"


def test_what_the_driver_does_not_tell_torch_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_cards(monkeypatch, ("elsewhere", GpuReading()))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    event = HardwareReader(torch.device("cuda"), tmp_path).read()
    assert (event.gpu_name, event.vram_total_bytes, event.vram_used_bytes) == ("card 0", 24 << 30, None)


def test_a_mac(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "read_apple", lambda: AppleReading("Apple M3 Max", 36 << 30, 27 << 30))
    monkeypatch.setattr(hardware.torch.mps, "driver_allocated_memory", lambda: 7)
    event = HardwareReader(torch.device("mps"), tmp_path).read()
    assert (event.gpu_name, event.vram_total_bytes, event.vram_reserved_bytes) == ("Apple M3 Max", 27 << 30, 7)


class Heard:
    """Stands for the emitter."""

    def __init__(self, *, full: bool = False) -> None:
        self.events: list[Event] = []
        self.full = full

    def emit(self, event: Event) -> None:
        self.events.append(event)
        if self.full:
            raise DiskError("full")


@pytest.mark.parametrize("full", [False, True])
def test_the_first_reading_comes_at_once_then_one_with_every_beat(full: bool) -> None:
    heard = Heard(full=full)
    emitter: Emitter = heard  # type: ignore[assignment]
    beats = HeartbeatThread(emitter, phase=lambda: "scan", read_hardware=lambda: Hardware(ram_bytes=1), interval_s=0.05)
    beats.start()
    wait_for(lambda: len(heard.events) >= 4, "beats")
    beats.stop()
    kinds = [type(event) for event in heard.events[:4]]
    # On a full disk a beat is lost with the reading beside it, and the thread lives on.
    assert kinds == [Hardware, Heartbeat, Heartbeat if full else Hardware, Heartbeat]


def test_a_task_without_hardware_only_beats() -> None:
    heard = Heard()
    emitter: Emitter = heard  # type: ignore[assignment]
    beats = HeartbeatThread(emitter, phase=lambda: "download", read_hardware=lambda: None, interval_s=0.02)
    beats.start()
    wait_for(lambda: len(heard.events) >= 2, "beats")
    beats.stop()
    assert set(heard.events) == {Heartbeat(phase="download")}
