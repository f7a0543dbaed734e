"""How much memory training takes, by part. An analytic estimate with constants from one measured card.

Measured (design: measured.md; H100, 24 blocks of the real width, bf16, rank 64, 60 s): a sample of 645 frames keeps
2.03 GiB of activations, 27.5 numbers a token, channel and block; with recomputation 0.24 GiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.config import Config
from engine.contract.feature_models import FEATURE_MODELS
from engine.planning.average import average_bytes, average_on_device
from engine.planning.facts import DataFacts, DeviceKind, num_latent_frames
from engine.planning.sizes import ModelSizes
from engine.planning.trained import BF16_OPTIMIZER, added_bytes, num_trainable, optimizer_bytes

_KEPT_PER_BLOCK = 27.5  # numbers kept a token, channel and block without recomputation
_RECOMPUTED_SHARE = 1.5  # the block under way: its activations and their gradients
# The codec's widest layers on one second: 128 channels x 128 mel rows x 86 columns, input, output and mel, fp32.
_CODEC_BYTES_PER_S = 3 * 128 * 128 * 86 * 4
# Both models for musical features in fp32, and what 20 s or a minute keep of their first convolutions.
_FEATURE_MODELS_BYTES = sum(model.num_parameters for model in FEATURE_MODELS) * 4 + 1_200_000_000
GB = 2**30
_BASE_BYTES: dict[DeviceKind, int] = {"cuda": 700_000_000, "mps": 500_000_000, "cpu": 0}
_PROCESS_BYTES = 900_000_000  # interpreter, torch, the libraries of text and audio
_PREPARES_BESIDE = ("vae_cache_disable", "vae_cache_ondemand", "text_cache_disable", "text_cache_ondemand")
_SLACK = 1.05  # the allocator's blocks are never full
_AUTOCAST_COPY_BYTES = 1.2  # a weight; measured: a full fine-tune of 60 s peaks at 44.4 GiB (docs/performance.md)
# Bytes a quantised weight takes with its share of the scales (engine.model.quantise): a float32 a row, or two bfloat16
# for 64 weights of half a byte. Embeddings, norms, modulation and the patch layers, a fortieth, stay as they are.
_QUANTISED_BYTES = {"int8-quanto": 1.002, "int4-quanto": 0.5625}
_QUANTISED_SHARE = 0.975


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by part. On a processor or a Mac the parts lie in main memory."""

    weights_bytes: int
    adapter_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    encoder_bytes: int
    base_bytes: int
    host_bytes: int = 0
    """What lies in main memory instead, beside a card: the average of the weights."""
    has_encoders_beside: bool = False
    """Songs or captions are prepared while training, so the encoders stay."""

    @property
    def peak_bytes(self) -> int:
        """The larger of training and preparing, or both where one happens during the other."""
        training = self.weights_bytes + self.adapter_bytes + self.optimizer_bytes + self.activation_bytes
        both = training + self.encoder_bytes if self.has_encoders_beside else max(training, self.encoder_bytes)
        return int(both * _SLACK) + self.base_bytes


def stored_bytes_per_weight(config: Config) -> float:
    """Bytes that one weight of the model takes in the device's memory, gradients and states aside."""
    in_fp32 = config.mixed_precision == "no"
    if config.model_type == "full":
        if config.optimizer == BF16_OPTIMIZER:
            return 2.0
        return 4.0 if in_fp32 else 4.0 + _AUTOCAST_COPY_BYTES
    plain = 4.0 if in_fp32 else 2.0
    stored = _QUANTISED_BYTES.get(config.base_model_precision)
    if stored is None:
        return plain
    rest = 4.0 if config.base_model_default_dtype == "fp32" else plain
    return _QUANTISED_SHARE * stored + (1 - _QUANTISED_SHARE) * rest


def num_held(sizes: ModelSizes, data: DataFacts) -> int:
    """Weights of the model in memory: the projectors only where musical features take part."""
    return sizes.num_used + (sizes.num_projectors if data.has_features else 0)


def estimate_memory(config: Config, *, data: DataFacts, sizes: ModelSizes, kind: DeviceKind) -> MemoryEstimate:
    """Estimate the peak memory of the device that trains."""
    compute_bytes = 4 if config.mixed_precision == "no" else 2
    trainable = num_trainable(config, sizes)
    tokens = num_latent_frames(data.longest_s) * config.train_batch_size
    numbers_per_block = tokens * sizes.inner_dim
    if config.gradient_checkpointing:
        group = config.gradient_checkpointing_interval or 1
        kept = sizes.num_blocks / group + _KEPT_PER_BLOCK * _RECOMPUTED_SHARE * group
    else:
        kept = _KEPT_PER_BLOCK * sizes.num_blocks
    encoded_s = data.longest_s * config.vae_batch_size
    encoder_bytes = (sizes.num_codec + sizes.num_text_encoder) * 4 + int(encoded_s * _CODEC_BYTES_PER_S)
    if data.has_features:
        encoder_bytes = max(encoder_bytes, _FEATURE_MODELS_BYTES)
    if config.offload_during_startup and kind != "cpu":
        encoder_bytes = 0
    stored = stored_bytes_per_weight(config)
    average, is_here = average_bytes(config, trainable), average_on_device(config, kind)
    return MemoryEstimate(
        # A full fine-tune keeps fp32 weights and computes on copies in the compute format.
        weights_bytes=int(num_held(sizes, data) * stored),
        adapter_bytes=added_bytes(config, sizes, stored_bytes=stored) + (average if is_here else 0),
        optimizer_bytes=optimizer_bytes(config, sizes),
        activation_bytes=int(numbers_per_block * kept * compute_bytes),
        encoder_bytes=encoder_bytes,
        base_bytes=_BASE_BYTES[kind],
        host_bytes=0 if is_here else average,
        has_encoders_beside=any(config[key] for key in _PREPARES_BESIDE),
    )


def estimate_ram(memory: MemoryEstimate, *, kind: DeviceKind, sizes: ModelSizes) -> int:
    """Main memory of the worker: its own, and the device's parts where they lie in main memory."""
    if kind == "cuda":
        # A file is read in pieces straight to the card; the pieces are mapped, not kept.
        return _PROCESS_BYTES + sizes.num_parameters // 10 + memory.host_bytes
    return _PROCESS_BYTES + memory.peak_bytes
