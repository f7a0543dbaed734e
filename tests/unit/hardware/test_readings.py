"""Readings of the hardware: right where there is something to read, None where not, never an exception."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from engine.hardware import gpu, host, models, mps
from engine.hardware.gpu import GpuProcess, GpuReading, NvidiaGpu, list_gpus, visible_gpu


class FakeNvml:
    """A driver that answers, except for what is named in `broken`."""

    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.opened: list[object] = []
        self.is_shut = False

    def _answer(self, name: str, value: object) -> object:
        if name in self.broken:
            raise RuntimeError(f"{name}: not supported")
        return value

    def nvmlInit(self):
        self._answer("init", None)

    def nvmlShutdown(self):
        self.is_shut = True

    def nvmlDeviceGetHandleByIndex(self, index):
        self.opened.append(index)
        return self._answer("handle", "card")

    def nvmlDeviceGetHandleByUUID(self, uuid):
        self.opened.append(uuid)
        return self._answer("handle", "card")

    def nvmlDeviceGetName(self, handle):
        return self._answer("name", b"RTX 4070")

    def nvmlDeviceGetMemoryInfo(self, handle):
        return self._answer("memory", SimpleNamespace(total=12 << 30, used=3 << 30))

    def nvmlDeviceGetUtilizationRates(self, handle):
        return self._answer("load", SimpleNamespace(gpu=87))

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return self._answer("temperature", 63)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._answer("power", 182_500)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self._answer("limit", 200_000)

    def nvmlDeviceGetFanSpeed(self, handle):
        return self._answer("fan", 52)

    def nvmlSystemGetDriverVersion(self):
        return self._answer("driver", "580.95.05")

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return self._answer("cuda", 13_010)

    def nvmlDeviceGetCount(self):
        return self._answer("count", 1)

    def nvmlDeviceGetUUID(self, handle):
        return self._answer("uuid", "GPU-8f6e")

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return self._answer("capability", (8, 9))

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        own = SimpleNamespace(pid=os.getpid(), usedGpuMemory=9 << 30)
        gone = SimpleNamespace(pid=NO_SUCH_PID, usedGpuMemory=None)
        return self._answer("computing", [own, gone, SimpleNamespace(pid=os.getppid(), usedGpuMemory=1 << 30)])

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle):
        return self._answer("drawing", [SimpleNamespace(pid=os.getppid(), usedGpuMemory=3 << 30)])


NO_SUCH_PID = 2**22 + 1  # above the largest that Linux gives
WHOLE = GpuReading(
    name="RTX 4070",
    total_bytes=12 << 30,
    used_bytes=3 << 30,
    percent=87.0,
    celsius=63.0,
    watts=182.5,
    watts_limit=200.0,
    fan_percent=52.0,
)
READING_FIELDS = [field.name for field in dataclasses.fields(GpuReading)]


def test_a_card_is_read():
    driver = FakeNvml()
    card = NvidiaGpu(1, nvml=driver)
    assert card.read() == WHOLE
    assert driver.opened == [1]
    card.close()
    assert driver.is_shut and card.read() == GpuReading()
    card.close()


@pytest.mark.parametrize(
    ("broken", "fields"),
    [
        ("name", {"name"}),
        ("memory", {"total_bytes", "used_bytes"}),
        ("load", {"percent"}),
        ("temperature", {"celsius"}),
        ("power", {"watts"}),
        ("limit", {"watts_limit"}),
        ("fan", {"fan_percent"}),
        ("init", set(READING_FIELDS)),
        ("handle", set(READING_FIELDS)),
    ],
)
def test_what_a_driver_does_not_know_is_none(broken, fields):
    reading = NvidiaGpu(nvml=FakeNvml(broken)).read()
    for name in READING_FIELDS:
        assert getattr(reading, name) == (None if name in fields else getattr(WHOLE, name))


def test_without_the_library_everything_is_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert NvidiaGpu().read() == GpuReading()


def test_this_computer_can_be_asked_whatever_it_has():
    card = NvidiaGpu()
    assert isinstance(card.read(), GpuReading)
    card.close()


@pytest.mark.parametrize(
    ("visible", "index", "card"),
    [
        (None, 1, 1),
        ("2,3", 1, 3),
        ("GPU-8f6e, GPU-11aa", 0, "GPU-8f6e"),
        ("", 0, None),
        ("-1", 0, None),
        ("0", 1, None),
    ],
)
def test_which_card_is_meant(visible, index, card):
    assert visible_gpu(visible, index) == card


def test_a_card_is_found_by_its_uuid():
    driver = FakeNvml()
    assert NvidiaGpu("GPU-8f6e", nvml=driver).read() == WHOLE
    assert driver.opened == ["GPU-8f6e"]


def test_all_cards_are_listed_with_what_drives_them_and_who_else_is_on_them():
    driver = FakeNvml()
    [card] = list_gpus(nvml=driver)
    assert {name: getattr(card, name) for name in READING_FIELDS} == dataclasses.asdict(WHOLE)
    assert (card.index, card.uuid, card.compute_capability) == (0, "GPU-8f6e", (8, 9))
    assert (card.driver, card.cuda) == ("580.95.05", "13.1")
    parent, gone = card.processes
    assert (parent.pid, parent.used_bytes) == (os.getppid(), 3 << 30), "named by both lists, counted once"
    assert parent.name == psutil.Process(os.getppid()).name()
    assert gone == GpuProcess(pid=NO_SUCH_PID, name=None, used_bytes=None)
    assert driver.is_shut


@pytest.mark.parametrize(
    ("broken", "unknown"),
    [
        ("driver", {"driver": None}),
        ("cuda", {"cuda": None}),
        ("uuid", {"uuid": None}),
        ("capability", {"compute_capability": None}),
        ("fan", {"fan_percent": None}),
    ],
)
def test_what_the_driver_does_not_know_of_a_card_is_none(broken, unknown):
    [whole], [card] = list_gpus(nvml=FakeNvml()), list_gpus(nvml=FakeNvml(broken))
    assert card == dataclasses.replace(whole, **unknown)


def test_a_driver_that_names_no_processes_names_none():
    [card] = list_gpus(nvml=FakeNvml("computing", "drawing"))
    assert card.processes == ()


@pytest.mark.parametrize("broken", ["init", "count", "handle"])
def test_without_a_driver_there_are_no_cards(broken):
    assert list_gpus(nvml=FakeNvml(broken)) == []


def test_without_the_library_there_are_no_cards(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert list_gpus() == []


def test_this_computers_cards_can_be_listed_whatever_it_has():
    assert all(card.name is None or card.name for card in list_gpus())


def test_the_host_is_read(tmp_path):
    reading = host.read_host(tmp_path)
    assert reading.process_bytes is not None and reading.process_bytes > 1_000_000
    assert reading.free_bytes is not None and reading.total_bytes is not None
    assert 0 < reading.free_bytes <= reading.total_bytes
    assert host.num_cores() >= 1


def test_a_containers_limit_counts_not_the_machines_memory(tmp_path):
    (tmp_path / "memory.max").write_text(f"{1 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{1 << 19}\n")
    reading = host.read_host(tmp_path)
    assert (reading.total_bytes, reading.free_bytes) == (1 << 20, 1 << 19)
    (tmp_path / "memory.max").write_text("max\n")
    assert host.read_host(tmp_path).total_bytes != 1 << 20


def test_a_host_that_refuses_is_unknown(monkeypatch):
    import psutil

    def refuse(*_args, **_kwargs):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "virtual_memory", refuse)
    assert host.read_host() == host.HostReading()


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    there, not_yet = host.disk_free_bytes(tmp_path), host.disk_free_bytes(tmp_path / "a" / "b")
    assert there is not None and not_yet == pytest.approx(there, rel=0.05)

    def refuse(_folder):
        raise PermissionError

    monkeypatch.setattr(host.shutil, "disk_usage", refuse)
    assert host.disk_free_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("answers", "lent"),
    [
        ({"hw.memsize": str(36 << 30)}, 27 << 30),
        ({"hw.memsize": str(36 << 30), "iogpu.wired_limit_mb": "0"}, 27 << 30),
        ({"hw.memsize": str(36 << 30), "iogpu.wired_limit_mb": "32768"}, 32 << 30),
        ({}, None),
        ({"hw.memsize": "much"}, None),
    ],
)
def test_what_macos_lends(monkeypatch, answers, lent):
    def run(command, **_options):
        name = command[-1]
        if name not in answers:
            raise subprocess.CalledProcessError(1, command)
        return SimpleNamespace(stdout=answers[name] + "\n")

    monkeypatch.setattr(mps, "is_apple_silicon", lambda: True)
    monkeypatch.setattr(mps.subprocess, "run", run)
    assert mps.read_apple().lent_bytes == lent


def test_elsewhere_there_is_no_mac_to_read(monkeypatch):
    monkeypatch.setattr(mps, "is_apple_silicon", lambda: False)
    assert mps.read_apple() == mps.AppleReading()


def test_importing_the_readings_loads_nothing_heavy():
    names = [module.__name__ for module in (gpu, host, models, mps)]
    heavy = {"torch", "psutil", "pynvml", "huggingface_hub"}
    code = f"import sys, {', '.join(names)}\nassert not {heavy!r} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
