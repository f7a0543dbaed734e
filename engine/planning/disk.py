"""What a run writes: prepared songs and captions, checkpoints, clips, the finished file. An estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.contract.config import Config
from engine.planning.facts import DataFacts, num_latent_frames
from engine.planning.sizes import ModelSizes
from engine.planning.vram import num_trainable

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


def estimate_disk(config: Config, *, data: DataFacts, sizes: ModelSizes, num_steps: int) -> DiskEstimate:
    """Estimate what the run will write until its end; prepared songs that are there already count as written."""
    new_clips = sorted(data.clip_s)[data.num_cached :]
    captions = data.num_captions * (min(_CAPTION_TOKENS, config.tokenizer_max_length) * _TEXT_WIDTH * 4 + _ENTRY_BYTES)
    trainable = num_trainable(config, sizes)
    is_full = config.model_type == "full"
    weights = sizes.num_parameters * 4 if is_full else trainable * 4
    optimizer = trainable * 4 * (1 if config.optimizer == "torch-sgd" else 2)
    return DiskEstimate(
        cache_bytes=sum(map(audio_entry_bytes, new_clips)) + captions,
        checkpoint_bytes=weights + optimizer + _CHECKPOINT_BYTES,
        num_checkpoints=num_kept_checkpoints(config, num_steps),
        # The final weights stand in the run folder in resume form, an adapter also in its shareable form (bf16).
        export_bytes=weights + (0 if is_full else trainable * 2),
        clip_bytes=int(num_clips(config, num_steps) * config.validation_audio_duration * _CLIP_BYTES_PER_S),
    )


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
    if config.validation_disable or config.validation_prompt is None:
        return 0
    interval = config.validation_step_interval
    return (num_steps // interval if interval else 0) + int(config.validation_on_startup)
