"""Choosing the device: never the processor in silence where a card is, and only number formats that it computes in."""

from __future__ import annotations

import pytest
import torch

from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.hardware.gpu import GpuCard
from engine.train import device as device_module
from engine.train.device import choose_device

GB = 2**30


def card(driver="560.35", cuda="12.6", capability=(8, 9)):
    return GpuCard(name="RTX 4070", total_bytes=12 * GB, driver=driver, cuda=cuda, compute_capability=capability)


@pytest.fixture(autouse=True)
def _no_device(monkeypatch):
    for name in ("ACESTEP_DEVICE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    here(monkeypatch)


def here(monkeypatch, *cards, cuda=False, mps=False, built_for="13.0", capability=(8, 9)):
    monkeypatch.setattr(device_module, "list_gpus", lambda: list(cards))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")


def config(number_format="bf16"):
    return Config.from_dict({"mixed_precision": number_format})


def test_without_a_card_the_processor_trains():
    assert choose_device(config()) == torch.device("cpu")


@pytest.mark.parametrize("wanted", ["", "cuda", "cuda:1"])
@pytest.mark.parametrize(
    ("seen", "built_for", "words"),
    [
        (card(), "13.0", "Driver 560.35 ends at CUDA 12.6; torch needs 13.0. Update it to 580 or newer, or install"),
        (card(), "13.0", "pip install torch==2.11.0+cu126"),
        (card(cuda="13.0"), None, "built without CUDA, so the card stays unused. Install one with it: pip install"),
        (card(driver="580.95", cuda="13.0"), "13.0", "PyTorch finds no CUDA though the driver shows RTX 4070"),
        (card(driver="580.95", cuda="13.0", capability=(7, 0)), "13.0", "compute capability 7.0, 7.5 is needed"),
    ],
)
def test_a_card_that_torch_cannot_use_ends_the_run_with_what_mends_it(monkeypatch, wanted, seen, built_for, words):
    here(monkeypatch, seen, built_for=built_for)
    if wanted:
        monkeypatch.setenv("ACESTEP_DEVICE", wanted)
    with pytest.raises(ConfigError) as caught:
        choose_device(config())
    assert words in caught.value.message
    assert "ACESTEP_DEVICE=cpu" in caught.value.hint
    assert caught.value.exit_code == 2


def test_who_wants_the_processor_gets_it(monkeypatch):
    here(monkeypatch, card())
    monkeypatch.setenv("ACESTEP_DEVICE", "cpu")
    assert choose_device(config()) == torch.device("cpu")


def test_a_hidden_card_is_none(monkeypatch):
    here(monkeypatch, card())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert choose_device(config()) == torch.device("cpu")


def test_a_device_that_is_not_here_is_named_with_those_that_are(monkeypatch):
    monkeypatch.setenv("ACESTEP_DEVICE", "mps")
    with pytest.raises(ConfigError, match="ACESTEP_DEVICE = mps: not available") as caught:
        choose_device()
    assert caught.value.hint == "Here: cpu."


def test_a_card_without_kernels_in_this_torch_is_refused(monkeypatch):
    here(monkeypatch, card(), cuda=True, capability=(7, 0))
    with pytest.raises(ConfigError, match=r"Tesla V100 is too old .* pip install torch==2\.11\.0\+cu126"):
        choose_device(config("fp16"))
    here(monkeypatch, card(), cuda=True, capability=(7, 0), built_for="12.6")
    assert choose_device(config("fp16")) == torch.device("cuda")


@pytest.mark.parametrize(
    ("found", "number_format", "words"),
    [
        ({"cuda": True, "capability": (7, 5)}, "bf16", "no bf16. Set mixed_precision to fp16"),
        ({"cuda": True, "capability": (7, 5)}, "fp16", ""),
        ({"cuda": True, "capability": (8, 0)}, "bf16", ""),
        ({"mps": True}, "fp16", "A Mac trains in bf16 or fp32"),
        ({"mps": True}, "bf16", ""),
        ({"mps": True}, "no", ""),
        ({}, "fp16", ""),
    ],
)
def test_a_number_format_that_the_device_does_not_compute_in_is_refused(monkeypatch, found, number_format, words):
    here(monkeypatch, **found)
    if not words:
        choose_device(config(number_format))
        return
    with pytest.raises(ConfigError) as caught:
        choose_device(config(number_format))
    assert words in caught.value.message
