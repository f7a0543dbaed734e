"""`acestep-tui doctor`: verdicts on made-up computers, in lines and as JSON; the exit code says what to mend."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acestep_tui import doctor as doctor_checks
from acestep_tui.cli import run_command_line
from acestep_tui.doctor import Check, machine_checks
from acestep_tui.doctor_training import training_checks
from acestep_tui.headless import doctor_command
from engine.hardware.machine import Machine
from tests.unit.planning.machines import GB, mac, with_cards

CUDA_13 = {"driver": "580.95", "driver_cuda": "13.0", "torch_cuda": "13.0"}
NONE = Machine(ram_total_bytes=64 * GB, ram_free_bytes=51 * GB, num_cores=16)


def said(machine: Machine) -> dict[str, Check]:
    return {check.name: check for check in (*machine_checks(machine), *training_checks(machine))}


@pytest.mark.parametrize(
    ("machine", "name", "state", "words"),
    [
        (with_cards(12, **CUDA_13), "Numbers", "ok", "bf16 (compute capability 8.9)"),
        (with_cards(16, capability=(7, 5), **CUDA_13), "Numbers", "ok", "fp16 with a loss scaler; no bf16"),
        (with_cards(11, capability=(7, 5), **CUDA_13), "Graphics card", "ok", "RTX 4070"),
        (with_cards(16, capability=(7, 0), **CUDA_13), "Graphics card", "error", "pip install torch==2.11.0+cu126"),
        (with_cards(16, capability=(7, 0), **CUDA_13), "Suits it", "error", ""),
        (with_cards(16, capability=(7, 0), torch_cuda="12.6", driver_cuda="13.0"), "Suits it", "ok", ""),
        (with_cards(12, driver="560.35", driver_cuda="12.6", torch_cuda="13.0"), "Driver", "error", "580 or newer"),
        (with_cards(12, has_compiler=False, **CUDA_13), "Compile", "warning", "no C compiler here, so it stays off"),
        (with_cards(12, **CUDA_13), "Compile", "ok", "usable"),
        (with_cards(12, **CUDA_13), "int8 and int4", "ok", "usable"),
        (with_cards(12, **CUDA_13), "Suits it", "ok", "Stored with fewer digits (int8)"),
        (with_cards(2, **CUDA_13), "Suits it", "error", "GB at least"),
        (mac(36), "Numbers", "ok", "bf16 or fp32"),
        (mac(36), "int8 and int4", "ok", "bring nothing on a Mac"),
        (NONE, "Suits it", "warning", "days for what a card does in an hour"),
        (NONE, "Numbers", "ok", "fp32"),
    ],
)
def test_each_computer_gets_its_verdict(machine: Machine, name: str, state: str, words: str) -> None:
    check = said(machine)[name]
    assert check.state == state
    assert words in f"{check.fact} {check.cure}"


def test_recommended_values_stand_with_their_reasons() -> None:
    values = {check.fact: check for check in training_checks(with_cards(12, **CUDA_13)) if check.state == "value"}
    assert values["train_batch_size = 1"].cure.startswith("2 would need")
    assert 'base_model_precision = "int8-quanto"' in values
    assert all(check.cure and check.glyph == "·" for check in values.values())


@pytest.fixture
def _looked(monkeypatch: pytest.MonkeyPatch) -> Any:
    def look(machine: Machine) -> None:
        monkeypatch.setattr(doctor_command, "look_at_machine", lambda folder: machine)
        monkeypatch.setattr(doctor_command, "write_speed_check", lambda folder: Check("ok", "Writing", "fast"))
        monkeypatch.setattr(doctor_command, "network_check", lambda: Check("ok", "Network", "there"))

    return look


def test_the_command_prints_the_report(_looked: Any, capfd: pytest.CaptureFixture[str]) -> None:
    _looked(with_cards(12, **CUDA_13))
    assert run_command_line(["doctor"]) == 0
    out = capfd.readouterr().out
    assert "✓ Graphics card    NVIDIA RTX 4070, 11.6 of 12.0 GB free" in out
    assert "✓ Driver           580.95 with CUDA 13.0" in out
    assert "· Songs at once    train_batch_size = 1" in out
    assert "✓ Network" in out


def test_what_must_be_mended_first_is_the_exit_code(_looked: Any, capfd: pytest.CaptureFixture[str]) -> None:
    _looked(with_cards(12, driver="560.35", driver_cuda="12.6", torch_cuda="13.0"))
    assert run_command_line(["doctor"]) == 2
    assert "✗ Driver           560.35" in capfd.readouterr().out


def test_json_is_one_object_with_numbers(_looked: Any, capfd: pytest.CaptureFixture[str]) -> None:
    _looked(with_cards(12, capability=(7, 5), **CUDA_13))
    assert run_command_line(["doctor", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["device"]["free_bytes"] == round(11.6 * GB)
    assert told["device"]["compute_capability"] == [7, 5]
    assert told["recommended"]["mixed_precision"]["value"] == "fp16"
    assert told["recommended"]["mixed_precision"]["reason"]
    assert (told["problem"], told["verdict"], told["has_compiler"]) == ("", "fits", True)
    assert {check["name"] for check in told["checks"]} >= {"Graphics card", "Driver", "Disk", "Compile"}


def test_anything_else_typed_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["doctor", "everything"]) == 2
    assert "everything is not known" in capfd.readouterr().err
    assert doctor_checks.Check("value", "", "").style == "$text-muted"
