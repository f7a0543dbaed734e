"""The one door between the trainer and what knows ACE-Step v1.

Trainer, caches and planner talk to a model family through `ModelFamily` alone; a second family (ACE-Step 1.5) would
be a second class here. Nothing is generalised beyond this protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.batches.collate import Batch
from engine.model.autoencoder import MusicCodec
from engine.model.load import Checkpoint, load_codec, load_text_encoder, load_transformer
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import ConditionInputs
from engine.objective.loss import LossTerms, compute_loss


class ModelFamily(Protocol):
    """What a trainer needs from a family of models."""

    checkpoint: Checkpoint

    def load_codec(self, *, dtype: torch.dtype, device: torch.device) -> MusicCodec:
        """The audio codec: what is cached of a song's sound, and back to sound."""

    def load_text_encoder(self, *, dtype: torch.dtype, device: torch.device, max_length: int) -> TextEncoder:
        """The text encoder: what is cached of a caption."""

    def load_model(self, *, dtype: torch.dtype, device: torch.device, with_projectors: bool) -> nn.Module:
        """The network that is trained."""

    def conditions(self, batch: Batch) -> ConditionInputs:
        """What a batch conditions on."""

    def loss(self, model: nn.Module, batch: Batch, *, sigmas: Tensor, ssl_weight: float) -> LossTerms:
        """One prediction against its target."""


@dataclass(frozen=True)
class AceStepV1:
    """ACE-Step v1 3.5B (spec ace-step-v1.md)."""

    checkpoint: Checkpoint

    def load_codec(self, *, dtype: torch.dtype, device: torch.device) -> MusicCodec:
        """The DCAE and its vocoder (section 6)."""
        return load_codec(self.checkpoint, dtype=dtype, device=device)

    def load_text_encoder(self, *, dtype: torch.dtype, device: torch.device, max_length: int) -> TextEncoder:
        """UMT5 (section 7)."""
        return load_text_encoder(self.checkpoint, dtype=dtype, device=device, max_length=max_length)

    def load_model(self, *, dtype: torch.dtype, device: torch.device, with_projectors: bool) -> nn.Module:
        """The DiT (section 2)."""
        return load_transformer(self.checkpoint, dtype=dtype, device=device, with_projectors=with_projectors)

    def conditions(self, batch: Batch) -> ConditionInputs:
        """Text states and lyric tokens; the speaker is always zero in training from files (section 9.1)."""
        return ConditionInputs(
            text_states=batch.text_states,
            text_mask=batch.text_mask,
            lyric_ids=batch.lyric_ids,
            lyric_mask=batch.lyric_mask,
            speaker=None,
        )

    def loss(self, model: nn.Module, batch: Batch, *, sigmas: Tensor, ssl_weight: float) -> LossTerms:
        """The flow-matching loss, form ``valid`` (section 9.4)."""
        return compute_loss(
            model,
            x_0=batch.latents,
            noise=batch.noise,
            timestep_index=batch.timestep_index,
            sigmas=sigmas,
            inputs=self.conditions(batch),
            frame_mask=batch.frame_mask,
            ssl_targets=batch.ssl_targets if ssl_weight > 0 else None,
            ssl_weight=ssl_weight,
            padding="valid",
            pack=True,
        )
