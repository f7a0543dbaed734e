"""What suits a device: precision, recomputing, songs at once and the longest piece, each with its reason.

A search over the values that work in this version, with the planner as the judge: a value that a later version makes
work is found by itself. Lengths come first (a whole song keeps its words), then precision, then songs at once, then
speed. Reasons are at most 55 characters, so that each fits under its field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.contract.config import Config
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.fields_base import Setting
from engine.hardware.machine import Device, Machine
from engine.planning import recommend_words as words
from engine.planning.advice import Advice
from engine.planning.facts import DataFacts
from engine.planning.search import Search, Verdict, card_for, number_format_of
from engine.planning.sizes import ModelSizes, published_sizes
from engine.planning.vram import estimate_memory

_USUAL_RANK = 64  # what a voice will ask for in a later step


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What suits one device.

    Attributes:
        device: The device.
        title: What the heading says it is for: ``12 GB``, ``this processor``.
        advice: Proposed values by key.
        sentence: What is possible here, in one or two sentences.
        warning: Why this device should not, or cannot, train, with what to do; empty when it can.
        needed_bytes: Estimated memory at these values.
        verdict: ``fits`` (a tenth to spare), ``tight``, ``too big``; None where the free memory is not known.
    """

    device: Device
    title: str
    advice: Mapping[str, Advice]
    sentence: str
    warning: str = ""
    needed_bytes: int = 0
    verdict: Verdict | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The proposed values alone."""
        return {key: advice.value for key, advice in self.advice.items()}


def recommend(
    machine: Machine,
    device: Device,
    *,
    sizes: ModelSizes | None = None,
    values: Mapping[str, Any] | None = None,
    settings: Mapping[str, Setting] = SETTINGS_BY_KEY,
) -> Recommendation:
    """Propose values for one device from its free memory.

    Args:
        machine: The computer.
        device: What will train.
        sizes: The model; the published one where it is not here yet.
        values: What is chosen already and counts for memory (rank, targets); defaults otherwise.
        settings: The declarations, whose working choices bound the search.
    """
    base = {"lora_rank": _USUAL_RANK, **(values or {})}
    search = Search(machine, device, sizes or published_sizes(), base, settings, number_format_of(device))
    choice, verdict = search.best()
    reasons = words.reasons(search, choice, verdict)
    advice = {key: Advice(value, reasons.get(key, "")) for key, value in search.values(choice).items()}
    advice["compile"] = words.compile_advice(settings, machine, device)
    return Recommendation(
        device=device,
        title=words.title(device),
        advice=advice,
        sentence=words.sentence(search, choice, verdict),
        warning=words.warning(search, choice, verdict),
        needed_bytes=search.needs(choice),
        verdict=verdict,
    )


def full_training_card(sizes: ModelSizes) -> int:
    """The memory in GB of a card on which the whole model can be trained, in pieces of a minute."""
    # Over several songs a step, as such a run learns: the gradients then stay all the time.
    config = Config.from_dict({"model_type": "full", "gradient_accumulation_steps": 2})
    data = DataFacts(clip_s=(60.0,), bucket_s=(60.0,), num_captions=1)
    return card_for(estimate_memory(config, data=data, sizes=sizes, kind="cuda").used_bytes)
