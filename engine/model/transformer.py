"""The diffusion transformer of ACE-Step v1 (spec section 2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class ConditionInputs:
    """What a song is conditioned on, before embedding; the batch is padded, masks are 1 where something stands.

    Attributes:
        text_states: (B, S_text, text width) hidden states of the text encoder; zeros when dropped.
        text_mask: (B, S_text), any number type; kept when the text is dropped.
        lyric_ids: (B, S_lyric) int64 token ids; padding and dropped lyrics are 0.
        lyric_mask: (B, S_lyric), any number type; 0 everywhere for dropped or absent lyrics.
        speaker: (B, speaker width), or None for zeros.
    """

    text_states: Tensor
    text_mask: Tensor
    lyric_ids: Tensor
    lyric_mask: Tensor
    speaker: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """Embedded conditions: one speaker token, the text tokens, the lyric tokens (spec 2.3).

    Attributes:
        tokens: (B, S, D) with S = 1 + S_text + S_lyric, in the model's dtype.
        mask: (B, S) float32, 1 where a token counts; the speaker token always does.
    """

    tokens: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class TransformerOutput:
    """What one call predicts.

    Attributes:
        velocity: (B, C, H, T), the dtype of ``x_t``.
        ssl_hidden: One (B, T, D) per self-supervised projector, its input; empty unless asked for.
    """

    velocity: Tensor
    ssl_hidden: tuple[Tensor, ...] = ()
