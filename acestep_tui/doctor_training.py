"""What this computer trains with: the verdict on card, number format, int8 and compile, and the recommended values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from acestep_tui.doctor import Check
from engine.contract.fields import SETTINGS_BY_KEY
from engine.hardware.cuda_support import BF16_CAPABILITY

if TYPE_CHECKING:
    from engine.hardware.machine import Device, Machine
    from engine.planning.recommend import Recommendation

_HIDDEN = ("long_clip", "compile")  # said by the longest piece, and by its own verdict


def training_checks(machine: Machine) -> list[Check]:
    """The verdicts on the device that would train, then one line a recommended value with its reason."""
    from engine.planning.recommend import recommend  # the planner: 40 ms, in a thread

    device = machine.devices()[0]
    found = recommend(machine, device)
    checks = [_format(device), _stored_smaller(device), _compile(machine, device, found.advice["compile"].reason)]
    state = "error" if found.verdict == "too big" or (found.warning and device.kind == "cuda") else "ok"
    if device.kind == "cpu" or found.verdict == "tight" or (found.warning and state == "ok"):
        state = "warning"
    # A card that cannot be used has a reason for it: what would fit on it is beside the point.
    checks.append(Check(state, "Suits it", found.warning if state == "error" and found.warning else found.sentence))
    return [*checks, *_values(found)]


def training_json(machine: Machine) -> dict[str, Any]:
    """The same for programs: numbers in bytes, values by key."""
    from engine.planning.recommend import recommend

    device = machine.devices()[0]
    found = recommend(machine, device)
    card = device.card
    return {
        "device": {
            "id": device.id,
            "kind": device.kind,
            "name": device.name,
            "total_bytes": device.total_bytes,
            "free_bytes": device.free_bytes,
            "compute_capability": None if card is None or card.capability is None else list(card.capability),
        },
        "driver": machine.driver,
        "driver_cuda": machine.driver_cuda,
        "torch_cuda": machine.torch_cuda,
        "has_compiler": machine.has_compiler,
        "problem": found.warning,
        "verdict": found.verdict,
        "needed_bytes": found.needed_bytes,
        "recommended": {key: {"value": advice.value, "reason": advice.reason} for key, advice in found.advice.items()},
    }


def _format(device: Device) -> Check:
    card = device.card
    if device.kind == "mps":
        return Check("ok", "Numbers", "bf16 or fp32; a Mac does not train in fp16")
    if card is None:
        return Check("ok", "Numbers", "fp32: a processor is quickest in it")
    if card.capability is None:
        return Check("unknown", "Numbers", "the card's compute capability is not known")
    has = f"compute capability {card.capability[0]}.{card.capability[1]}"
    if card.capability >= BF16_CAPABILITY:
        return Check("ok", "Numbers", f"bf16 ({has})")
    return Check("ok", "Numbers", f"fp16 with a loss scaler; no bf16 ({has})")


def _stored_smaller(device: Device) -> Check:
    if device.kind == "cuda":
        return Check("ok", "int8 and int4", "usable: built in, nothing to install")
    where = "a Mac" if device.kind == "mps" else "a processor"
    return Check("ok", "int8 and int4", f"they work, but bring nothing on {where}")


def _compile(machine: Machine, device: Device, reason: str) -> Check:
    if device.kind != "cuda":
        return Check("ok", "Compile", "does not pay without a graphics card: it stays off")
    if machine.has_compiler:
        return Check("ok", "Compile", "usable: a C compiler is here", reason)
    cure = "It is not needed to train, only for speed. To have it: install gcc, or set CC."
    return Check("warning", "Compile", "no C compiler here, so it stays off", cure)


def _values(found: Recommendation) -> Iterator[Check]:
    for key, advice in found.advice.items():
        if key not in _HIDDEN:
            setting = SETTINGS_BY_KEY[key]
            yield Check("value", setting.short or setting.label, f"{key} = {json.dumps(advice.value)}", advice.reason)
