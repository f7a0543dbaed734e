"""Dropping conditions during training, so that the model also learns to play without them (spec ace-step-v1.md 9.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

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
    """The speaker vector is zeroed; training from files has none, so the draw only keeps its place among the four."""
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
