"""What is trained and what that takes: numbers, and bytes of their weights, gradients and optimizer's memory."""

from __future__ import annotations

from dataclasses import dataclass

from engine.contract.config import Config
from engine.contract.fields_lora import LORA_TARGETS
from engine.contract.optimizers import OPTIMIZERS, embedder_values, optimizer_name
from engine.planning.sizes import ModelSizes

BF16_OPTIMIZER = "adamw_bf16"


@dataclass(frozen=True, slots=True)
class TrainedPart:
    """Numbers that one optimizer trains.

    Attributes:
        num: How many.
        optimizer: Its name.
        stands_in_model: Whether they are weights of the model, whose memory is counted with it, or come on top.
    """

    num: int
    optimizer: str
    stands_in_model: bool

    @property
    def weight_bytes(self) -> int:
        """Bytes of one weight."""
        return 2 if self.optimizer == BF16_OPTIMIZER else 4


def trained_parts(config: Config, sizes: ModelSizes) -> list[TrainedPart]:
    """The adapter, or every used weight; and the lyrics embedder where it is trained."""
    main = optimizer_name(config.optimizer)
    own = optimizer_name(embedder_values(config)["optimizer"])
    embedder = [TrainedPart(sizes.num_lyrics_embedder, own, True)] if config.lyrics_embedder_train else []
    if config.model_type == "full":
        rest = sizes.num_used - sum(part.num for part in embedder)
        return [TrainedPart(rest, main, True), *embedder]
    targets = config.peft_lora_target_modules or LORA_TARGETS[config.acestep_lora_target]
    return [TrainedPart(sizes.num_adapter(targets, config.lora_rank), main, False), *embedder]


def num_trainable(config: Config, sizes: ModelSizes) -> int:
    """Numbers that are trained."""
    return sum(part.num for part in trained_parts(config, sizes))


def gradient_bytes(config: Config, sizes: ModelSizes) -> int:
    """Bytes of the gradients of what is trained."""
    is_wide = config.gradient_precision == "fp32"
    return int(sum(part.num * (4 if is_wide else part.weight_bytes) for part in trained_parts(config, sizes)))


def added_weight_bytes(config: Config, sizes: ModelSizes, *, stored_bytes: float) -> int:
    """Bytes of trained weights that are no part of the model, and of those kept wider than the model is.

    Args:
        config: The run's.
        sizes: The model's.
        stored_bytes: Bytes of one weight of the model as it is counted already.
    """
    total = 0.0
    for part in trained_parts(config, sizes):
        total += part.num * (max(part.weight_bytes - stored_bytes, 0.0) if part.stands_in_model else part.weight_bytes)
    return int(total)


def optimizer_bytes(config: Config, sizes: ModelSizes) -> int:
    """Bytes that the optimizers remember."""
    return int(sum(part.num * OPTIMIZERS[part.optimizer].state_bytes for part in trained_parts(config, sizes)))
