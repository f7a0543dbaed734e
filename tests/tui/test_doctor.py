"""This computer: looked at in a thread, quick facts first; every check in words, with what mends it."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from acestep_tui import doctor as checks
from acestep_tui import look
from acestep_tui.doctor import Check
from acestep_tui.screens import doctor as doctor_module
from acestep_tui.screens.doctor import DoctorScreen
from engine.hardware.logout import LogOut
from engine.hardware.machine import AUDIO_FORMATS, Card, Machine
from engine.hardware.mps import AppleReading
from tests.tui.harness import house_app, screen_text, until

GB = 2**30
CARD = Card(index=0, name="NVIDIA GeForce RTX 4070", total_bytes=12 * GB, free_bytes=round(11.6 * GB))


def machine(**values: Any) -> Machine:
    known: dict[str, Any] = {
        "cards": (CARD,), "driver": "580.95", "driver_cuda": "13.0", "torch_cuda": "13.0", "ram_total_bytes": 64 * GB,
        "ram_free_bytes": 51 * GB, "disk_free_bytes": 212 * GB, "folder": Path("/home/mara"), "num_cores": 16,
        "audio_formats": AUDIO_FORMATS,
    }  # fmt: skip
    return Machine(**{**known, **values})


def found(**values: Any) -> dict[str, Check]:
    return {check.name: check for check in checks.machine_checks(machine(**values))}


def test_a_computer_that_has_all() -> None:
    said = found(log_out=LogOut(kills=False))
    assert {check.state for check in said.values()} == {"ok"}
    assert said["Graphics card"].fact == "NVIDIA RTX 4070, 11.6 of 12.0 GB free"
    assert said["Driver"].fact == "580.95 with CUDA 13.0"
    assert said["Memory"].fact == "64 GB, 51 GB free"
    assert said["Disk"].fact == "212 GB free in /home/mara"
    assert "torch" in said["Libraries"].fact


@pytest.mark.parametrize(
    ("values", "name", "state", "words"),
    [
        ({"cards": ()}, "Graphics card", "warning", "none found; the processor has 16 cores"),
        ({"cards": (CARD, Card(index=1))}, "Graphics card", "ok", "and 1 more"),
        ({"cards": (Card(index=0),)}, "Graphics card", "ok", "– of – free"),
        ({"cards": (), "apple": AppleReading("Apple M4", 36 * GB, 27 * GB)}, "Graphics card", "ok", "lends 27 GB"),
        ({"driver_cuda": "12.2"}, "Driver", "error", "580.95"),
        ({"torch_cuda": ""}, "Libraries", "error", "torch"),
        ({"torch_cuda": None}, "Libraries", "ok", "torch"),
        ({"ram_free_bytes": 3 * GB}, "Memory", "warning", "3.0 GB free"),
        ({"ram_total_bytes": None}, "Memory", "unknown", "–"),
        ({"disk_free_bytes": 5 * GB}, "Disk", "warning", "5.0 GB free"),
        ({"disk_free_bytes": None}, "Disk", "unknown", "–"),
        ({"audio_formats": AUDIO_FORMATS[1:]}, "Audio", "warning", "cannot read wav"),
        ({"log_out": LogOut(kills=True, has_linger=False, user="mara")}, "Log-out", "warning", "ends your programs"),
    ],
)
def test_what_is_not_well_says_so_and_what_mends_it(values: dict[str, Any], name: str, state: str, words: str) -> None:
    check = found(**values)[name]
    assert check.state == state
    assert words in check.fact
    assert bool(check.cure) == (state in ("warning", "error"))


def test_home_says_what_it_means_for_training() -> None:
    said = {check.name: check.cure for check in look.home_checks(machine())}
    assert said["Graphics card"] == "good for a LoRA"
    assert said["Memory"] == said["Disk"] == "enough"
    assert {check.name: check.cure for check in look.home_checks(machine(cards=()))}["Graphics card"] == (
        "good for the demo"
    )
    used = [check.fact for check in look.in_use_checks(machine())]
    assert used == ["RTX 4070  0.4 of 12.0 GB used", "disk 212 GB free"]


def test_the_model_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    check = look.model_check()
    assert (check.state, check.fact) == ("warning", "not on this computer yet")
    assert check.cure.endswith(" to download")


def test_writing_is_measured_and_leaves_nothing(tmp_path: Path) -> None:
    check = checks.write_speed_check(tmp_path / "not/there/yet")
    assert check.state in ("ok", "warning")
    assert "a second in" in check.fact
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "home"])


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    check = checks.write_speed_check(tmp_path)
    assert check.state == "error"
    assert "permission denied" in check.fact
    assert check.cure == "Choose another runs folder in the settings."


def test_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.network_check().fact == "not asked: HF_HUB_OFFLINE is set"
    monkeypatch.delenv("HF_HUB_OFFLINE")

    def unreachable(*_: Any, **__: Any) -> Any:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    check = checks.network_check()
    assert check.state == "warning"
    assert "Name or service not known" in check.fact

    def refuses(*_: Any, **__: Any) -> Any:
        raise urllib.error.HTTPError("http://hub", 403, "no", Message(), None)

    monkeypatch.setattr(urllib.request, "urlopen", refuses)
    assert checks.network_check().fact == "the model hub answers"


async def test_the_screen_fills_as_it_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    looks: list[Path] = []
    monkeypatch.setattr(doctor_module, "look_at_machine", lambda folder: looks.append(folder) or machine())
    monkeypatch.setattr(doctor_module, "write_speed_check", lambda _: held.wait(20) and Check("ok", "Writing", "fast"))
    cure = "Bring the model's folder along. " * 4
    network = Check("warning", "Network", "the model hub does not answer: no route to host", cure.strip())
    monkeypatch.setattr(doctor_module, "network_check", lambda: network)
    app = house_app(tmp_path)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)

    def shown() -> str:
        return "\n".join(screen_text(app))

    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            below = app.screen
            app.open_doctor()
            await until(pilot, lambda: "RTX 4070" in shown())
            assert "looking …" in shown()
            assert "– Network" in shown()
            held.set()
            await until(pilot, lambda: "looked just now" in shown())
            assert "▲ Network" in shown()
            assert " ".join(shown().split()).count("Bring the model's folder along.") == 4, "wrapped, not cut"
            await pilot.press("y")
            assert "✓ Graphics card" in copied[0]
            await pilot.press("ctrl+r")
            await until(pilot, lambda: len(looks) == 2)
            for size in ((120, 40), (60, 20), (40, 8)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
                assert all(len(row) <= size[0] for row in screen_text(app))
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is below)
            assert not isinstance(app.screen, DoctorScreen)
    finally:
        held.set()
