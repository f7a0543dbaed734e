"""One clip from a prompt, lyrics and a seed: text, latents, sound (spec 11.3)."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.autoencoder import MusicCodec
from engine.model.card import SAMPLE_RATE, encoded_frames
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import PATCH_CHANNELS, AceStepTransformer, ConditionInputs
from engine.sampling.erg import TAU
from engine.sampling.sampler import OnStep, SamplingSettings, sample_latents


def generate_clip(
    model: AceStepTransformer,
    codec: MusicCodec,
    text_encoder: TextEncoder | None,
    tokenizer: LyricTokenizer,
    *,
    prompt: str,
    lyrics: str,
    seconds: float,
    seed: int,
    settings: SamplingSettings,
    device: torch.device | str,
    text_states: Tensor | None = None,
    erg_text_states: Tensor | None = None,
    on_step: OnStep | None = None,
    on_fallback: Callable[[str], None] = warnings.warn,
) -> NDArray[np.float32]:
    """Make one clip; the same arguments give the same clip, whatever was drawn from other generators before.

    Args:
        model: On `device`.
        codec: On `device`, with its decoder.
        text_encoder: May be None when `text_states` are given, so that it need not be in memory.
        tokenizer: Turns the lyrics into ids.
        prompt: Caption.
        lyrics: With their line breaks and tags; empty for an instrumental.
        seconds: Length.
        seed: Of the noise, which is drawn on the CPU and so does not depend on the device.
        settings: How to sample.
        device: Where the model runs.
        text_states: ``(tokens, width)`` of the prompt, from `TextEncoder.encode`.
        erg_text_states: The same with blunted queries; without them ERG's null text is zeros.
        on_step: Told the progress.
        on_fallback: Told why something slower is done than could be expected.

    Returns:
        ``(2, round(seconds·48000))`` float32 in -1…1.

    Raises:
        ValueError: Neither a text encoder nor text states; ERG asked of a model that lacks its layers.
    """
    if text_states is None:
        text_states, erg_text_states = _encode_prompt(text_encoder, prompt, settings)
    num_samples = round(seconds * SAMPLE_RATE)
    generator = torch.Generator("cpu").manual_seed(seed)
    shape = (1, PATCH_CHANNELS, model.config.latent_height, encoded_frames(num_samples))
    noise = torch.randn(shape, generator=generator)
    latents = sample_latents(
        model,
        _condition_inputs(text_states, tokenizer, lyrics, device),
        noise=noise.to(device),
        settings=settings,
        generator=generator,
        erg_text=None if erg_text_states is None else erg_text_states[None].to(device),
        on_step=on_step,
        on_fallback=on_fallback,
    )
    clips = codec.decode(
        latents,
        sample_rate=SAMPLE_RATE,
        lengths=[num_samples],
        overlapped=settings.overlapped_decode,
        is_exact=False,
    )
    return clips[0].numpy()


def _encode_prompt(
    text_encoder: TextEncoder | None, prompt: str, settings: SamplingSettings
) -> tuple[Tensor, Tensor | None]:
    """States of the prompt, and those of ERG's null text when the settings want them and the encoder can."""
    if text_encoder is None:
        raise ValueError("a clip needs a text encoder or the text states of its prompt")
    wants_erg = settings.wants_erg_text and text_encoder.supports_erg
    erg_states = text_encoder.encode([prompt], query_scale=TAU)[0] if wants_erg else None
    return text_encoder.encode([prompt])[0], erg_states


def _condition_inputs(
    text_states: Tensor, tokenizer: LyricTokenizer, lyrics: str, device: torch.device | str
) -> ConditionInputs:
    tokens = tokenizer.encode(lyrics)
    return ConditionInputs(
        text_states=text_states[None].to(device),
        text_mask=torch.ones(1, len(text_states), device=device),
        lyric_ids=torch.tensor([tokens.ids], device=device),
        lyric_mask=torch.tensor([tokens.mask], device=device),
    )
