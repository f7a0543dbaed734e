"""What a training is for: each goal sets a few values, each with its reason (docs/glossary.md has the words).

A goal names all the values it would set; those that do nothing in this version are left out, and appear by themselves
once their declaration says that they work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acestep_tui import format as fmt
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.fields_base import Setting
from engine.planning.advice import Advice
from engine.planning.recommend import full_training_card
from engine.planning.sizes import ModelSizes, published_sizes


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal: its value of the setting ``goal``, its line in the list, and the heading of its values."""

    id: str
    name: str
    sentence: str
    heading: str


GOALS: tuple[Goal, ...] = (
    Goal("voice", "A voice", "one singer, in any style you ask for", "Values for a voice"),
    Goal("style", "A style", "genre, sound and mood of a set of songs", "Values for a style"),
    Goal("instrumental", "Instrumental music", "no singing; lyrics are not used", "Values for instrumental music"),
    Goal("language", "A new language", "sing in a language the model speaks badly", "Values for a new language"),
)
GOALS_BY_ID = {goal.id: goal for goal in GOALS}

_WITH_LYRICS, _ATTENTION = "attn_qkv+linear_qkv", "attn_qkv"
_NO_START = Advice(None, "Or a LoRA file to go on from.")
_LEAVE_READER = Advice(False, "Train it too only for a language new to the model.")

# Rank 64 for a voice, 128 at half the rate for a language: what the model's makers and SimpleTuner's example use.
_VALUES: dict[str, dict[str, Advice]] = {
    "voice": {
        "lora_rank": Advice(64, "How much it can learn. A voice has much detail: 64."),
        "acestep_lora_target": Advice(_WITH_LYRICS, "The parts that decide how words are sung."),
        "lyrics_embedder_train": _LEAVE_READER,
        "init_lora": _NO_START,
        "lora_dropout": Advice(0.1, "A little left out, so that it does not learn by heart."),
        "caption_dropout_probability": Advice(0.1, "One in ten without caption: short prompts work too."),
        "learning_rate": Advice(1e-4, "The rate the model's makers used."),
    },
    "style": {
        "lora_rank": Advice(32, "A style is the same in every song: 32 holds it."),
        "acestep_lora_target": Advice(_ATTENTION, "The parts that make the sound; singing stays as it is."),
        "lyrics_embedder_train": _LEAVE_READER,
        "init_lora": _NO_START,
        "lora_dropout": Advice(0.1, "A little left out, so that it does not learn by heart."),
        "caption_dropout_probability": Advice(0.2, "One in five without caption: the style comes unasked."),
        "learning_rate": Advice(1e-4, "The rate the model's makers used."),
    },
    "instrumental": {
        "lora_rank": Advice(32, "No words to learn: 32 holds the sound of the songs."),
        "acestep_lora_target": Advice(_ATTENTION, "The parts that make the sound; no lyrics are read."),
        "lyrics_embedder_train": Advice(False, "Nothing is sung, so it has nothing to learn."),
        "init_lora": _NO_START,
        "lora_dropout": Advice(0.1, "A little left out, so that it does not learn by heart."),
        "caption_dropout_probability": Advice(0.1, "One in ten without caption: short prompts work too."),
        "learning_rate": Advice(1e-4, "The rate the model's makers used."),
    },
    "language": {
        "lora_rank": Advice(128, "New sounds and words need room: 128."),
        "acestep_lora_target": Advice(_WITH_LYRICS, "The parts that decide how words are sung."),
        "lyrics_embedder_train": Advice(True, "It must learn to read the new words as well."),
        "init_lora": _NO_START,
        "lora_dropout": Advice(0.05, "Much material: little has to be left out."),
        "caption_dropout_probability": Advice(0.1, "One in ten without caption: short prompts work too."),
        "learning_rate": Advice(5e-5, "Half the usual rate: a large LoRA takes small steps."),
    },
}


def goal_values(
    goal_id: str, *, sizes: ModelSizes | None = None, settings: Mapping[str, Setting] = SETTINGS_BY_KEY
) -> dict[str, Advice]:
    """The values of a goal that work in this version, each with its reason; nothing for an unknown goal.

    Args:
        goal_id: A value of the setting ``goal``.
        sizes: The model, for the size of the file; the published one where it is not here yet.
        settings: The declarations.
    """
    wanted = _VALUES.get(goal_id)
    if wanted is None:
        return {}
    values = {"model_type": Advice("lora", _file_reason(wanted, sizes or published_sizes())), **wanted}
    return {key: advice for key, advice in values.items() if _works(settings[key], advice.value)}


def adapter_bytes(rank: int, target: str, sizes: ModelSizes) -> int:
    """Size of the finished LoRA file: 16-bit numbers."""
    from engine.contract.fields_lora import LORA_TARGETS

    return sizes.num_adapter(LORA_TARGETS[target], rank) * 2


def _file_reason(wanted: Mapping[str, Advice], sizes: ModelSizes) -> str:
    num_bytes = adapter_bytes(wanted["lora_rank"].value, wanted["acestep_lora_target"].value, sizes)
    return f"A small add-on file: {fmt.size(num_bytes)}. Full training: {full_training_card(sizes)} GB card."


def _works(setting: Setting, value: Any) -> bool:
    return setting.status == "works" and value not in setting.later_values
