"""How much memory training takes, by part. An analytic estimate with constants from one measured card.

Measured (design: measured.md; H100, 24 blocks of the real width, bf16, rank 64, 60 s): a sample of 645 frames keeps
2.03 GiB of activations, 27.5 numbers a token, channel and block; with recomputation 0.24 GiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.config import Config
from engine.contract.fields_lora import LORA_TARGETS
from engine.planning.facts import DataFacts, DeviceKind, num_latent_frames
from engine.planning.sizes import ModelSizes

_KEPT_PER_BLOCK = 27.5  # numbers kept a token, channel and block without recomputation
_RECOMPUTED_SHARE = 1.5  # the block under way: its activations and their gradients
# The codec's widest layers on one second: 128 channels x 128 mel rows x 86 columns, input, output and mel, fp32.
_CODEC_BYTES_PER_S = 3 * 128 * 128 * 86 * 4
GB = 2**30
_BASE_BYTES: dict[DeviceKind, int] = {"cuda": 700_000_000, "mps": 500_000_000, "cpu": 0}
_PROCESS_BYTES = 900_000_000  # interpreter, torch, the libraries of text and audio
_SLACK = 1.05  # the allocator's blocks are never full
_AUTOCAST_COPY_BYTES = 1.2  # a weight; measured: a full fine-tune of 60 s peaks at 44.4 GiB (docs/performance.md)
# Bytes a weight takes when it is stored with fewer digits, its scales and the parts that stay as they are included.
# Measured (design: measured.md): int8 takes 2.3 GiB off 2.6 G bf16 weights.
_STORED_BYTES = {"int8": 1.08, "fp8": 1.08, "int4": 0.62, "nf4": 0.62, "int2": 0.4}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by part. On a processor or a Mac the parts lie in main memory."""

    weights_bytes: int
    adapter_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    encoder_bytes: int
    base_bytes: int

    @property
    def peak_bytes(self) -> int:
        """The larger of training and preparing; both never happen at the same time."""
        training = self.weights_bytes + self.adapter_bytes + self.optimizer_bytes + self.activation_bytes
        return int(max(training, self.encoder_bytes) * _SLACK) + self.base_bytes


def stored_bytes_per_weight(config: Config) -> float:
    """Bytes that one weight of the model takes in the device's memory, gradients and states aside."""
    if config.mixed_precision == "no":
        return 4.0
    if config.model_type == "full":
        return 4.0 + _AUTOCAST_COPY_BYTES
    stored = config.base_model_precision.partition("-")[0]
    return _STORED_BYTES.get(stored, 2.0)


def num_trainable(config: Config, sizes: ModelSizes) -> int:
    """Numbers that are trained: the adapter's, or every used weight."""
    if config.model_type == "full":
        return sizes.num_used
    targets = config.peft_lora_target_modules or LORA_TARGETS[config.acestep_lora_target]
    return sizes.num_adapter(targets, config.lora_rank)


def estimate_memory(config: Config, *, data: DataFacts, sizes: ModelSizes, kind: DeviceKind) -> MemoryEstimate:
    """Estimate the peak memory of the device that trains."""
    is_full = config.model_type == "full"
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
    return MemoryEstimate(
        # A full fine-tune keeps fp32 weights and computes on copies in the compute format.
        weights_bytes=int(sizes.num_used * stored_bytes_per_weight(config)),
        # Trained numbers are fp32, and so are their gradients.
        adapter_bytes=trainable * (4 if is_full else 8),
        optimizer_bytes=trainable * (4 if config.optimizer == "torch-sgd" else 8),
        activation_bytes=int(numbers_per_block * kept * compute_bytes),
        encoder_bytes=(sizes.num_codec + sizes.num_text_encoder) * 4 + int(encoded_s * _CODEC_BYTES_PER_S),
        base_bytes=_BASE_BYTES[kind],
    )


def estimate_ram(memory: MemoryEstimate, *, kind: DeviceKind, sizes: ModelSizes) -> int:
    """Main memory of the worker: its own, and the device's parts where they lie in main memory."""
    if kind == "cuda":
        # A file is read in pieces straight to the card; the pieces are mapped, not kept.
        return _PROCESS_BYTES + sizes.num_parameters // 10
    return _PROCESS_BYTES + memory.peak_bytes
