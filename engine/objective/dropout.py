"""Dropping conditions during training, so that the model also learns to play without them (spec ace-step-v1.md 9.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.model.transformer import ConditionInputs

TEXT_PROBABILITY = 0.15
SPEAKER_PROBABILITY = 0.50
LYRICS_PROBABILITY = 0.15


@dataclass(frozen=True, slots=True)
class ConditionDropout:
    """What one sample goes without."""

    caption: bool
    """The caption is replaced by the empty caption (text states of "", with its own mask)."""
    text: bool
    """The text states are zeroed, their mask is kept."""
    speaker: bool
    """The speaker vector is zeroed."""
    lyrics: bool
    """Lyric ids and lyric mask are zeroed."""


def draw_dropout(generator: torch.Generator, *, caption_probability: float = 0.0) -> ConditionDropout:
    """Draw the four decisions of one sample, independent of each other, always with four draws.

    Args:
        generator: CPU generator of this sample and purpose.
        caption_probability: The setting ``caption_dropout_probability``; it comes on top of the fixed three.
    """
    caption, text, speaker, lyrics = torch.rand(4, generator=generator).tolist()
    return ConditionDropout(
        caption=caption < caption_probability,
        text=text < TEXT_PROBABILITY,
        speaker=speaker < SPEAKER_PROBABILITY,
        lyrics=lyrics < LYRICS_PROBABILITY,
    )


def drop_conditions(inputs: ConditionInputs, drops: Sequence[ConditionDropout]) -> ConditionInputs:
    """Apply the drawn decisions of text, speaker and lyrics to a batch.

    ``caption`` is applied where the batch is put together, because it exchanges states of another length.

    Args:
        inputs: Conditions of B samples.
        drops: One decision per sample, length B.
    """

    def zeroed(tensor: Tensor, dropped: list[bool]) -> Tensor:
        rows = torch.tensor(dropped, device=tensor.device).reshape(-1, *[1] * (tensor.dim() - 1))
        return tensor.masked_fill(rows, 0)

    lyrics = [drop.lyrics for drop in drops]
    speaker = None if inputs.speaker is None else zeroed(inputs.speaker, [drop.speaker for drop in drops])
    return replace(
        inputs,
        text_states=zeroed(inputs.text_states, [drop.text for drop in drops]),
        lyric_ids=zeroed(inputs.lyric_ids, lyrics),
        lyric_mask=zeroed(inputs.lyric_mask, lyrics),
        speaker=speaker,
    )
