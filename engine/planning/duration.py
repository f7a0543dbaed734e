"""How long a run takes: arithmetic over a sustained rate of the device, plus what does not shrink. An estimate.

The rates are what a whole training step reaches, far below a data sheet; the worker's measured step replaces them
after the first steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.config import Config
from engine.planning.disk import num_clips, num_kept_checkpoints
from engine.planning.facts import DataFacts, DeviceFacts, DeviceKind, num_latent_frames
from engine.planning.rollout_plan import expected_forwards
from engine.planning.sizes import ModelSizes

# Sustained multiply-add operations a second: (16-bit formats, fp32). A processor: one core.
_RATES: dict[DeviceKind, tuple[float, float]] = {"cuda": (90e12, 30e12), "mps": (5e12, 4e12), "cpu": (15e9, 30e9)}
# One block, forward and backward, cannot be quicker than the launches of its operations (measured on an H200, not
# compiled: docs/performance.md); computing it again launches them again.
_LAUNCH_S: dict[DeviceKind, float] = {"cuda": 6e-3, "mps": 9e-3, "cpu": 20e-3}
# Beside the blocks: lyric encoder, optimizer, fetching. The processor's values are those of the demo.
_STEP_S: dict[DeviceKind, float] = {"cuda": 0.03, "mps": 0.05, "cpu": 0.1}
_ENTRY_S: dict[DeviceKind, float] = {"cuda": 0.05, "mps": 0.1, "cpu": 0.15}  # decode, resample, write one clip
# Both models for musical features on one second: two operations a weight and frame, and the convolutions before.
_FEATURE_FLOPS_PER_S = 75e9
_CAPTION_S = 0.02
_TEXT_TOKENS = 300  # caption and lyrics beside the frames, on average
_CODEC_FLOPS_PER_PARAMETER_S = 320  # fitted: the real encoder in fp32 at 361 x real time (design: measured.md)
_START_S: dict[DeviceKind, float] = {"cuda": 10.0, "mps": 6.0, "cpu": 2.0}
_READ_BYTES_PER_S = 800e6
_HELD_OUT_DRAWS = 8
_GUIDED_PASSES = 3  # conditional, unconditional, and lyrics aside


@dataclass(frozen=True, slots=True)
class DurationEstimate:
    """Seconds by part."""

    prepare_s: float
    load_s: float
    train_s: float
    validate_s: float
    step_s: float

    @property
    def total_s(self) -> float:
        """The whole run."""
        return self.prepare_s + self.load_s + self.train_s + self.validate_s


def estimate_duration(
    config: Config, *, data: DataFacts, sizes: ModelSizes, device: DeviceFacts, num_steps: int
) -> DurationEstimate:
    """Estimate the seconds of each part of a run of ``num_steps`` steps."""
    rate = _rate(device, config.mixed_precision)
    mean_s = sum(data.clip_s) / len(data.clip_s) if data.clip_s else 0.0
    launch_s = sizes.num_blocks * _LAUNCH_S[device.kind]
    forward_s = _forward_flops(sizes, mean_s) / rate
    # Backward: as much again for the inputs' gradients, once more for those of all weights; recomputation: once more.
    passes = 2 + (config.model_type == "full") + bool(config.gradient_checkpointing)
    launches = 2 if config.gradient_checkpointing else 1
    micro_s = max(forward_s * passes * config.train_batch_size, launch_s * launches)
    # A song's own way is walked forward only, a third of a whole pass through the blocks.
    micro_s += expected_forwards(config, num_steps) * max(forward_s * config.train_batch_size, launch_s / 3)
    step_s = micro_s * config.gradient_accumulation_steps + _STEP_S[device.kind]

    clip_forward_s = max(_forward_flops(sizes, config.validation_audio_duration) / rate, launch_s / 3)
    clip_s = clip_forward_s * _GUIDED_PASSES * config.validation_num_inference_steps
    clip_s += _codec_s(sizes, config.validation_audio_duration, device)
    held_out_s = data.num_held_out * _HELD_OUT_DRAWS * max(forward_s, launch_s / 3)
    new_clips = sorted(data.clip_s)[data.num_cached :]
    entries_s = len(new_clips) * _ENTRY_S[device.kind] + data.num_captions * _CAPTION_S
    return DurationEstimate(
        prepare_s=entries_s
        + _codec_s(sizes, sum(new_clips), device)
        + _text_s(sizes, data.num_captions, device)
        + _features_s(data.feature_s, device),
        load_s=_START_S[device.kind] + sizes.num_parameters * 4 / _READ_BYTES_PER_S,
        train_s=step_s * num_steps,
        validate_s=clip_s * num_clips(config, num_steps) + held_out_s * (2 + num_kept_checkpoints(config, num_steps)),
        step_s=step_s,
    )


def _rate(device: DeviceFacts, precision: str) -> float:
    half, single = _RATES[device.kind]
    rate = single if precision == "no" else half
    return rate * max(1, device.num_cores) if device.kind == "cpu" else rate


def _forward_flops(sizes: ModelSizes, seconds: float) -> float:
    return 2.0 * sizes.num_used * (num_latent_frames(seconds) + _TEXT_TOKENS / 4)


def _codec_s(sizes: ModelSizes, seconds: float, device: DeviceFacts) -> float:
    return sizes.num_codec * _CODEC_FLOPS_PER_PARAMETER_S * seconds / _rate(device, "no")


def _features_s(seconds: float, device: DeviceFacts) -> float:
    return _FEATURE_FLOPS_PER_S * seconds / _rate(device, "no")


def _text_s(sizes: ModelSizes, num_captions: int, device: DeviceFacts) -> float:
    return 2.0 * sizes.num_text_encoder * 32 * num_captions / _rate(device, "no")
