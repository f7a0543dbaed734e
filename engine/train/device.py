"""Choosing the device and the dtypes of a run, at run time."""

from __future__ import annotations

import os

import torch

from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.hardware.cuda_support import card_problem, format_problem
from engine.hardware.gpu import list_gpus
from engine.hardware.machine import Machine, cards_seen
from engine.optim.build import trained_dtype

DTYPES = {"no": torch.float32, "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def choose_device(config: Config | None = None) -> torch.device:
    """CUDA, else Apple's MPS, else the processor; ``ACESTEP_DEVICE`` (cpu, cuda, cuda:1, mps) overrides.

    Args:
        config: The run's, whose ``mixed_precision`` the device must be able to compute in; None = not looked at.

    Raises:
        ConfigError: ``ACESTEP_DEVICE`` names a device that is not here; an NVIDIA card is here that the installed torch
            cannot use (a run never falls back to the processor in silence); or ``mixed_precision`` does not suit.
    """
    wanted = os.environ.get("ACESTEP_DEVICE", "")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = wanted.split(":")[0] or next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available.get(kind, False) or (not wanted and kind == "cpu"):
        _check_cards(kind)
    if not available.get(kind, False):
        here = ", ".join(name for name, is_here in available.items() if is_here)
        raise ConfigError(f"ACESTEP_DEVICE = {wanted}: not available", hint=f"Here: {here}.")
    device = torch.device(wanted or kind)
    _check_device(device, config)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # Triton starts its kernels on the current one
    return device


def _check_cards(kind: str) -> None:
    """Refuse to leave an NVIDIA card unused that the driver shows.

    Raises:
        ConfigError: There is one; says what mends it.
    """
    if kind not in ("cpu", "cuda"):
        return
    found = list_gpus()
    cards = cards_seen(found, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if not cards:
        return
    machine = Machine(
        cards=cards, driver=found[0].driver, driver_cuda=found[0].cuda, torch_cuda=torch.version.cuda or ""
    )
    problems = [machine.cuda_problem(card) for card in cards]
    problem = next((one for one in problems if one), "") or (
        f"PyTorch finds no CUDA though the driver shows {cards[0].name}. Start the computer again, or see: nvidia-smi"
    )
    raise ConfigError(problem, hint="To train on the processor all the same: ACESTEP_DEVICE=cpu")


def _check_device(device: torch.device, config: Config | None) -> None:
    """Refuse a card that torch has no kernels for, and a number format that the device does not compute in.

    Raises:
        ConfigError: Says what mends it.
    """
    capability = None
    if device.type == "cuda" and torch.version.hip is None:
        capability = torch.cuda.get_device_capability(device)
        problem = card_problem(torch.version.cuda, capability, name=torch.cuda.get_device_name(device))
        if problem:
            raise ConfigError(problem, hint="To train on the processor all the same: ACESTEP_DEVICE=cpu")
    if config is not None:
        problem = format_problem(config.mixed_precision, kind=device.type, capability=capability)
        if problem:
            raise ConfigError(problem)


def set_tf32(config: Config, device: torch.device) -> None:
    """Let an NVIDIA card compute fp32 products in TF32, or not (``disable_tf32``); others have no such format."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = not config.disable_tf32
        torch.backends.cudnn.allow_tf32 = not config.disable_tf32


def base_dtype(config: Config) -> torch.dtype:
    """Dtype of the weights in memory, those that are stored with fewer digits aside.

    A LoRA's frozen base is stored in the compute dtype (its adapters are float32). A full fine-tune keeps float32
    weights and computes under autocast: updates of 1e-5 would vanish in bf16 weights; adamw_bf16 alone keeps what
    bf16 weights lose.
    """
    if config.model_type == "full":
        return trained_dtype(config.optimizer)
    is_wide = config.base_model_precision != "no_change" and config.base_model_default_dtype == "fp32"
    return torch.float32 if is_wide else DTYPES[config.mixed_precision]


def text_format(config: Config) -> str:
    """How text states are computed, for the name of their cache entries: other digits give other states."""
    stored = "" if config.text_encoder_1_precision == "no_change" else f", {config.text_encoder_1_precision}"
    return f"{config.mixed_precision}{stored}"


def describe(device: torch.device) -> str:
    """The device in words, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    processor = f"processor, {threads} thread{'' if threads == 1 else 's'}"
    return {"mps": "Apple GPU (MPS)", "cpu": processor}[device.type]


def release_memory(device: torch.device) -> None:
    """Give cached blocks back to the device, after a model that is not needed any more was dropped."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
