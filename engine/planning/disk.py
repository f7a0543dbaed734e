"""What a run writes: prepared songs and captions, checkpoints, clips, the finished file. An estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.feature_models import FEATURE_MODELS
from engine.contract.prompt_library import clip_texts
from engine.planning.average import saved_average_bytes
from engine.planning.facts import DataFacts, num_latent_frames
from engine.planning.sizes import ModelSizes
from engine.planning.trained import num_trainable, optimizer_bytes, trained_parts

_LATENT_BYTES = 8 * 16 * 4  # a frame: 8 channels, 16 rows, fp32 (ace-step-v1.md 12)
_ENTRY_BYTES = 600  # safetensors header and lengths
_CAPTION_TOKENS = 48  # a caption of tags; at most tokenizer_max_length
_TEXT_WIDTH = 768
_CLIP_BYTES_PER_S = 48_000 * 2 * 2
_CHECKPOINT_BYTES = 60_000  # states, manifest, guard: what does not grow with the model


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """Bytes on disk by part."""

    cache_bytes: int
    checkpoint_bytes: int
    num_checkpoints: int
    export_bytes: int
    clip_bytes: int

    @property
    def total_bytes(self) -> int:
        """Everything together, with all checkpoints that are kept."""
        return self.cache_bytes + self.checkpoint_bytes * self.num_checkpoints + self.export_bytes + self.clip_bytes


def audio_entry_bytes(seconds: float) -> int:
    """One prepared clip: fp32 latents and their lengths."""
    return math.ceil(num_latent_frames(seconds)) * _LATENT_BYTES + _ENTRY_BYTES


def feature_bytes(seconds: float) -> int:
    """The musical features of so many seconds, two bytes a number: 13.8 MB a minute (config-formats.md 5.2)."""
    return math.ceil(seconds * sum(model.bytes_per_s for model in FEATURE_MODELS))


def estimate_disk(config: Config, *, data: DataFacts, sizes: ModelSizes, num_steps: int) -> DiskEstimate:
    """Estimate what the run will write until its end; prepared songs that are there already count as written."""
    new_clips = [] if config.vae_cache_disable else sorted(data.clip_s)[data.num_cached :]
    num_captions = 0 if config.text_cache_disable else data.num_captions
    captions = num_captions * (min(_CAPTION_TOKENS, config.tokenizer_max_length) * _TEXT_WIDTH * 4 + _ENTRY_BYTES)
    trainable = num_trainable(config, sizes)
    is_full = config.model_type == "full"
    parts = trained_parts(config, sizes)
    weights = sum(part.num * part.weight_bytes for part in parts)
    if is_full:
        weights = sizes.num_parameters * max(part.weight_bytes for part in parts)
    average = saved_average_bytes(config, trainable)
    return DiskEstimate(
        cache_bytes=sum(map(audio_entry_bytes, new_clips)) + captions + _featured_bytes(data),
        checkpoint_bytes=weights + optimizer_bytes(config, sizes) + average + _CHECKPOINT_BYTES,
        num_checkpoints=num_kept_checkpoints(config, num_steps),
        # The final weights stand in the run folder in resume form, an adapter also in its shareable form (bf16).
        export_bytes=weights + average + (0 if is_full else trainable * 2 * (2 if config.use_ema else 1)),
        clip_bytes=int(num_clips(config, num_steps) * config.validation_audio_duration * _CLIP_BYTES_PER_S),
    )


def _featured_bytes(data: DataFacts) -> int:
    """Entries with features stand beside the plain ones and hold the latents too."""
    return feature_bytes(data.feature_s) + (audio_entry_bytes(data.feature_s) if data.feature_s else 0)


def num_kept_checkpoints(config: Config, num_steps: int) -> int:
    """Checkpoints on disk at the end: by the interval, never more than the limit and the best one, at least one."""
    interval = config.checkpointing_steps
    saved = math.ceil(num_steps / interval) if interval else 1
    limit = config.checkpoints_total_limit
    plain = min(saved, limit + 1) if limit else saved
    rolling = config.checkpoints_rolling_total_limit if config.checkpointing_rolling_steps else 0
    return max(plain, 1) + rolling


def num_clips(config: Config, num_steps: int) -> int:
    """Test clips that the run will make."""
    try:
        num_prompts = len(clip_texts(config))
    except ConfigError:  # a file of prompts that cannot be read: the start refuses it
        num_prompts = 1
    interval = config.validation_step_interval
    at_start = 2 if config.init_lora is not None and not config.disable_benchmark else 1
    times = (num_steps // interval if interval else 0) + (at_start if config.validation_on_startup else 0)
    variants = 2 if config.use_ema and config.ema_validation == "comparison" else 1
    return num_prompts * times * variants
