"""The one door between the trainer and what knows ACE-Step v1.

Trainer, caches and planner talk to a model family through `ModelFamily` alone; a second family (ACE-Step 1.5) would
be a second class here. Nothing is generalised beyond this protocol.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.batches.collate import Batch
from engine.cache.key import codec_fingerprint, text_fingerprint
from engine.contract.config import Config
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.adapters import LoraSpec, lora_spec
from engine.model.autoencoder import MusicCodec
from engine.model.card import real_config
from engine.model.codec_load import BOTH_PARTS, Part
from engine.model.load import (
    Checkpoint,
    load_codec,
    load_text_encoder,
    load_transformer,
    read_transformer_config,
)
from engine.model.quantise import Quantisation
from engine.model.text_encoder import TextEncoder
from engine.model.transformer import AceStepTransformer, ConditionInputs
from engine.objective.loss import LossTerms, compute_loss
from engine.objective.reflexflow import ReflexFlow
from engine.objective.rollout import RolledOut, roll_out
from engine.sampling.erg import erg_supported
from engine.sampling.generate import generate_clip
from engine.sampling.sampler import OnStep, SamplingSettings


class ModelFamily(Protocol):
    """What a trainer needs from a family of models."""

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the model's files are."""

    @property
    def ssl_names(self) -> tuple[str, ...]:
        """Names of the self-supervised encoders whose features the model can be taught to foretell."""

    @property
    def ssl_widths(self) -> dict[str, int]:
        """Numbers of a frame of those features, by name."""

    def audio_encoder_id(self, *, dtype: str) -> str:
        """Identifies what latents are made with: cached ones of another id are not used."""

    def text_encoder_id(self, *, dtype: str, max_length: int) -> str:
        """Identifies what text states are made with, likewise."""

    def load_codec(
        self, *, dtype: torch.dtype, device: torch.device, parts: Collection[Part] = BOTH_PARTS
    ) -> MusicCodec:
        """The audio codec: what is cached of a song's sound (``encoder``), and back to sound (``decoder``)."""

    def load_text_encoder(
        self, *, dtype: torch.dtype, device: torch.device, max_length: int, quantisation: Quantisation | None = None
    ) -> TextEncoder:
        """The text encoder: what is cached of a caption."""

    def load_model(
        self,
        *,
        dtype: torch.dtype,
        device: torch.device,
        with_projectors: bool,
        quantisation: Quantisation | None = None,
        num_waiting: int = 0,
    ) -> AceStepTransformer:
        """The network that is trained; ``num_waiting`` of its blocks are left in main memory (block swap)."""

    def codec_notices(self, codec: MusicCodec) -> tuple[str, ...]:
        """What a user should know about the codec's files."""

    def lora_spec(self, config: Config) -> LoraSpec:
        """The adapter that a configuration asks for: its targets are this family's module names."""

    def conditions(self, batch: Batch) -> ConditionInputs:
        """What a batch conditions on."""

    def roll_out(self, model: nn.Module, batch: Batch, *, sigmas: Tensor, reflexflow: ReflexFlow | None) -> RolledOut:
        """Scheduled sampling: let the model walk as far as the batch says."""

    def loss(
        self, model: nn.Module, batch: Batch, *, sigmas: Tensor, ssl_weight: float, rolled: RolledOut | None = None
    ) -> LossTerms:
        """One prediction against its target, made where ``rolled`` says."""

    def sampling_settings(self, config: Config, model: AceStepTransformer) -> SamplingSettings:
        """How the test clips of a configuration are sampled, as far as the model can."""

    def generate_clip(
        self,
        model: AceStepTransformer,
        codec: MusicCodec,
        tokenizer: LyricTokenizer,
        *,
        prompt: str,
        text_states: Tensor,
        lyrics: str,
        seconds: float,
        seed: int,
        settings: SamplingSettings,
        device: torch.device,
        on_step: OnStep | None = None,
        on_fallback: Callable[[str], None] = warnings.warn,
    ) -> NDArray[np.float32]:
        """One clip, (2, samples) float32 at `engine.model.card.SAMPLE_RATE`."""


@dataclass(frozen=True)
class AceStepV1:
    """ACE-Step v1 3.5B (spec ace-step-v1.md)."""

    checkpoint: Checkpoint

    @property
    def ssl_names(self) -> tuple[str, ...]:
        """MERT and mHuBERT, as the checkpoint's configuration names them (section 9.5)."""
        return read_transformer_config(self.checkpoint.transformer).ssl_names

    @property
    def ssl_widths(self) -> dict[str, int]:
        """1024 and 768 in the released model."""
        model_config = read_transformer_config(self.checkpoint.transformer)
        return dict(zip(model_config.ssl_names, model_config.ssl_latent_dims, strict=True))

    def audio_encoder_id(self, *, dtype: str) -> str:
        """Of the DCAE's weights and the mel settings."""
        return codec_fingerprint(self.checkpoint.dcae, self.checkpoint.vocoder, dtype=self._format(dtype))

    def text_encoder_id(self, *, dtype: str, max_length: int) -> str:
        """Of UMT5's weights and its tokenizer."""
        return text_fingerprint(self.checkpoint.text_encoder, dtype=self._format(dtype), max_length=max_length)

    def _format(self, dtype: str) -> str:
        """Of several variants in one folder only one was used."""
        return dtype if self.checkpoint.variant is None else f"{dtype}, variant {self.checkpoint.variant}"

    def load_codec(
        self, *, dtype: torch.dtype, device: torch.device, parts: Collection[Part] = BOTH_PARTS
    ) -> MusicCodec:
        """The DCAE and its vocoder (section 6)."""
        return load_codec(self.checkpoint, dtype=dtype, device=device, parts=parts)

    def load_text_encoder(
        self, *, dtype: torch.dtype, device: torch.device, max_length: int, quantisation: Quantisation | None = None
    ) -> TextEncoder:
        """UMT5 (section 7)."""
        return load_text_encoder(
            self.checkpoint, dtype=dtype, device=device, max_length=max_length, quantisation=quantisation
        )

    def load_model(
        self,
        *,
        dtype: torch.dtype,
        device: torch.device,
        with_projectors: bool,
        quantisation: Quantisation | None = None,
        num_waiting: int = 0,
    ) -> AceStepTransformer:
        """The DiT (section 2)."""
        return load_transformer(
            self.checkpoint,
            dtype=dtype,
            device=device,
            with_projectors=with_projectors,
            quantisation=quantisation,
            num_waiting=num_waiting,
        )

    def codec_notices(self, codec: MusicCodec) -> tuple[str, ...]:
        """Where its files differ from the released model's; a small test checkpoint has its own, so none there."""
        is_released = read_transformer_config(self.checkpoint.transformer) == real_config()
        return codec.notices if is_released else ()

    def lora_spec(self, config: Config) -> LoraSpec:
        """``acestep_lora_target`` or the module names themselves (section 10)."""
        return lora_spec(config)

    def conditions(self, batch: Batch) -> ConditionInputs:
        """Text states and lyric tokens; the speaker is always zero in training from files (section 9.1)."""
        return ConditionInputs(
            text_states=batch.text_states,
            text_mask=batch.text_mask,
            lyric_ids=batch.lyric_ids,
            lyric_mask=batch.lyric_mask,
            speaker=None,
        )

    def roll_out(self, model: nn.Module, batch: Batch, *, sigmas: Tensor, reflexflow: ReflexFlow | None) -> RolledOut:
        """Scheduled sampling (config-formats.md section 7)."""
        return roll_out(
            model,
            x_0=batch.latents,
            noise=batch.noise,
            timestep_index=batch.timestep_index,
            walks=batch.walks,
            sigmas=sigmas,
            inputs=self.conditions(batch),
            frame_mask=batch.frame_mask,
            reflexflow=reflexflow,
            pack=True,
        )

    def loss(
        self, model: nn.Module, batch: Batch, *, sigmas: Tensor, ssl_weight: float, rolled: RolledOut | None = None
    ) -> LossTerms:
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
            rolled=rolled,
        )

    def sampling_settings(self, config: Config, model: AceStepTransformer) -> SamplingSettings:
        """ERG (section 11.2) is left out where the model has fewer layers than it names."""
        has_erg = erg_supported(model)
        return SamplingSettings(
            num_steps=config.validation_num_inference_steps,
            guidance_scale=config.validation_guidance,
            overlapped_decode=config.vae_enable_tiling,
            use_erg_tag=False,  # the text comes from the cache, where its weakened form is not kept
            use_erg_lyric=config.validation_use_erg_lyric and has_erg,
            use_erg_diffusion=config.validation_use_erg_diffusion and has_erg,
        )

    def generate_clip(
        self,
        model: AceStepTransformer,
        codec: MusicCodec,
        tokenizer: LyricTokenizer,
        *,
        prompt: str,
        text_states: Tensor,
        lyrics: str,
        seconds: float,
        seed: int,
        settings: SamplingSettings,
        device: torch.device,
        on_step: OnStep | None = None,
        on_fallback: Callable[[str], None] = warnings.warn,
    ) -> NDArray[np.float32]:
        """The sampler (section 11.3) on text states from the cache: the text encoder need not be in memory."""
        return generate_clip(
            model,
            codec,
            None,
            tokenizer,
            prompt=prompt,
            text_states=text_states,
            lyrics=lyrics,
            seconds=seconds,
            seed=seed,
            settings=settings,
            device=device,
            on_step=on_step,
            on_fallback=on_fallback,
        )
