"""Decoding in overlapping blocks the way the original does when asked to (spec 6.2, "overlapped decode").

Not what this project uses for long clips: `engine.model.windows` gives the undivided result in the same memory. This
stands here for comparison with songs made by the original in that mode.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

LATENT_WINDOW = 512
"""Latent frames per autoencoder block (48 s)."""

LATENT_HOP = 256
"""Latent frames from one autoencoder block to the next."""

MEL_WINDOW = 512
"""Mel frames per vocoder block."""

OVERLAP_SAMPLES = 1024
"""Samples that two vocoder blocks have in common."""

FADE_SAMPLES = 128
"""Length of the linear cross-fade in the middle of those."""


def overlapped_mel(
    decode: Callable[[torch.Tensor], torch.Tensor], latents: torch.Tensor, *, factor: int
) -> torch.Tensor:
    """Mel of latents ``(1, C, H, T)``, block by block, a quarter of a block dropped at every inner edge.

    Args:
        decode: Latents to mel ``(1, 2, n_mels, factor·T)``.
        latents: Longer than a block or not; up to one block nothing is cut.
        factor: Mel frames per latent frame.
    """
    num_frames = latents.shape[-1]
    margin = (LATENT_WINDOW - LATENT_HOP) // 2 * factor
    parts = []
    for start in range(0, max(num_frames - LATENT_HOP, 1), LATENT_HOP):
        mel = decode(latents[..., start : start + LATENT_WINDOW])
        is_last = start + LATENT_WINDOW >= num_frames
        parts.append(mel[..., margin if start else 0 : mel.shape[-1] if is_last else mel.shape[-1] - margin])
        if is_last:
            break
    return torch.cat(parts, dim=-1)


def overlapped_wave(vocode: Callable[[torch.Tensor], torch.Tensor], mel: torch.Tensor) -> torch.Tensor:
    """Waveform ``(2, samples)`` of a log-mel ``(2, n_mels, frames)``, cross-faded from blocks of one size.

    The last block is filled up with zeros, as the original does (not with silence, which is -11.5). The sound of that
    filling stays on: the caller cuts it off after resampling.

    Args:
        vocode: Log-mel ``(2, n_mels, frames)`` to ``(2, samples)``.
        mel: Un-normalised log-mel.
    """
    num_frames = mel.shape[-1]
    wave = vocode(_filled(mel[..., :MEL_WINDOW]))
    hop = MEL_WINDOW - OVERLAP_SAMPLES * MEL_WINDOW // wave.shape[-1]
    margin = (OVERLAP_SAMPLES - FADE_SAMPLES) // 2
    rising = torch.linspace(0, 1, FADE_SAMPLES, device=wave.device, dtype=wave.dtype)
    start = hop
    while start + MEL_WINDOW - hop < num_frames:
        following = vocode(_filled(mel[..., start : start + MEL_WINDOW]))
        before, after = wave[:, : -margin - FADE_SAMPLES], following[:, margin + FADE_SAMPLES :]
        fading_out = wave[:, -margin - FADE_SAMPLES : -margin] * (1 - rising)
        fading_in = following[:, margin : margin + FADE_SAMPLES] * rising
        wave = torch.cat((before, fading_out + fading_in, after), dim=-1)
        start += hop
    return wave


def _filled(mel: torch.Tensor) -> torch.Tensor:
    return F.pad(mel, (0, MEL_WINDOW - mel.shape[-1]))
