"""What the model's weights take on the device, by format, and what block swap leaves of them there."""

from __future__ import annotations

from engine.contract.config import Config
from engine.planning.block_ring import num_ring_blocks, swapped_blocks
from engine.planning.facts import DataFacts
from engine.planning.sizes import ModelSizes
from engine.planning.trained import BF16_OPTIMIZER

# Bytes a quantised weight takes with its share of the scales (engine.model.quantise): a float32 a row, or two bfloat16
# for 64 weights of half a byte.
QUANTISED_BYTES = {"int8-quanto": 1.0013, "int4-quanto": 0.5625}


def plain_bytes(config: Config) -> float:
    """Bytes of one weight that is not quantised."""
    if config.mixed_precision == "no":
        return 4.0
    if config.model_type == "full":
        return 2.0 if config.optimizer == BF16_OPTIMIZER else 4.0
    is_wide = config.base_model_precision in QUANTISED_BYTES and config.base_model_default_dtype == "fp32"
    return 4.0 if is_wide else 2.0


def quantised_bytes(config: Config) -> float:
    """Bytes of one weight of a large layer, as ``base_model_precision`` stores it."""
    if config.model_type == "full":
        return plain_bytes(config)
    return QUANTISED_BYTES.get(config.base_model_precision, plain_bytes(config))


def is_quantised(config: Config) -> bool:
    """Whether the large layers are stored with fewer digits."""
    return config.model_type != "full" and config.base_model_precision in QUANTISED_BYTES


def num_held(sizes: ModelSizes, data: DataFacts) -> int:
    """Weights of the model in memory: the projectors only where musical features take part."""
    return sizes.num_used + (sizes.num_projectors if data.has_features else 0)


def model_bytes(config: Config, sizes: ModelSizes, data: DataFacts) -> int:
    """The whole model's weights."""
    large = sizes.num_quantisable
    if config.lyrics_embedder_train:  # never quantised then
        large = min(large, sizes.num_block * sizes.num_blocks)
    return int(large * quantised_bytes(config) + (num_held(sizes, data) - large) * plain_bytes(config))


def block_bytes(config: Config, sizes: ModelSizes) -> int:
    """The weights of one block."""
    return int(sizes.num_block * quantised_bytes(config))


def blocks_per_group(config: Config) -> int:
    """Blocks that are computed again together: more than one with the recompute policy ``full`` alone."""
    if not config.gradient_checkpointing or config.gradient_checkpointing_policy != "full":
        return 1
    return config.gradient_checkpointing_interval or 1


def num_swapped(config: Config, sizes: ModelSizes) -> int:
    """Blocks whose weights wait in main memory; only frozen ones can."""
    return len(_swapped(config, sizes))


def waiting_bytes(config: Config, sizes: ModelSizes) -> int:
    """What block swap takes of main memory."""
    return num_swapped(config, sizes) * block_bytes(config, sizes)


def swapped_bytes(config: Config, sizes: ModelSizes) -> int:
    """What block swap takes off the device: the blocks that wait, less the ring in which they take turns there."""
    swapped = _swapped(config, sizes)
    ring = num_ring_blocks(swapped, group=blocks_per_group(config))
    return (len(swapped) - ring) * block_bytes(config, sizes)


def _swapped(config: Config, sizes: ModelSizes) -> tuple[int, ...]:
    wanted = config.musubi_blocks_to_swap if config.model_type == "lora" else 0
    return swapped_blocks(int(wanted or 0), sizes.num_blocks)
