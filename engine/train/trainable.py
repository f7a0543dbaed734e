"""What of a model is trained, in which dtype, and by which optimizers and schedules (config-formats.md 1.3, 1.4, 8)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from engine.contract.config import Config
from engine.contract.optimizers import embedder_config, embedder_values, has_own_optimizer
from engine.model.transformer import AceStepTransformer
from engine.optim.build import build_optimizer, trained_dtype
from engine.optim.schedule import build_schedule, peak_learning_rate
from engine.train.lyrics_embedder import is_embedder_name, make_embedder_trainable
from engine.train.state import EmbedderTraining


def choose_trainable(model: nn.Module, config: Config) -> dict[str, nn.Parameter]:
    """Let what the configuration trains be trained, in its optimizer's dtype; name → parameter, in the model's order.

    Args:
        model: With its adapter on it, all else frozen (``lora``), or as loaded (``full``).
        config: ``model_type``, ``optimizer``, ``gradient_precision`` and the ``lyrics_embedder_*`` keys.
    """
    if isinstance(model, AceStepTransformer):
        # Trained, its weight would get no gradient and yet shrink by the optimizer's weight decay.
        model.leave_speaker_out()
    if config.model_type == "full":
        model.requires_grad_(True)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(trained_dtype(config.optimizer))
    if config.lyrics_embedder_train:
        make_embedder_trainable(model, embedder_values(config)["optimizer"])
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if config.gradient_precision == "fp32":
        for parameter in trainable.values():
            parameter.grad_dtype = torch.float32
    return trainable


def build_steppers(
    config: Config, trainable: Mapping[str, nn.Parameter], max_steps: int
) -> tuple[Optimizer, LambdaLR, EmbedderTraining | None]:
    """The main optimizer and schedule, and the lyrics embedder's part where it has a rate or an optimizer of its own.

    Args:
        config: The optimizer's settings.
        trainable: As `choose_trainable` gave it.
        max_steps: Optimizer steps of the whole run.

    Raises:
        ConfigError: Options that the optimizer does not take, or a library that is missing.
    """
    own_rate = config.lyrics_embedder_lr is not None
    if not config.lyrics_embedder_train or not (own_rate or has_own_optimizer(config)):
        optimizer = build_optimizer(config, trainable.items())
        return optimizer, build_schedule(config, optimizer, max_steps), None
    embedder = {name: parameter for name, parameter in trainable.items() if is_embedder_name(name)}
    rest = {name: parameter for name, parameter in trainable.items() if name not in embedder}
    own_config = embedder_config(config)
    if not has_own_optimizer(config):
        optimizer = build_optimizer(config, rest.items(), embedder.items())
        schedule = build_schedule(config, optimizer, max_steps, last_peak=peak_learning_rate(own_config))
        return optimizer, schedule, EmbedderTraining()
    optimizer, own_optimizer = build_optimizer(config, rest.items()), build_optimizer(own_config, embedder.items())
    return (
        optimizer,
        build_schedule(config, optimizer, max_steps),
        EmbedderTraining(own_optimizer, build_schedule(own_config, own_optimizer, max_steps)),
    )
