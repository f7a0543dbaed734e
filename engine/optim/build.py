"""The optimizer a configuration asks for, and gradient clipping (spec config-formats.md 1.3, 1.4, 1.11)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from engine.contract.errors import ConfigError
from engine.optim.schedule import peak_learning_rate

if TYPE_CHECKING:
    from engine.contract.config import Config

OPTIMIZERS: dict[str, type[Optimizer]] = {"torch-adamw": AdamW, "torch-adam": Adam, "torch-sgd": SGD}
"""Names of the setting ``optimizer``; ``auto`` is ``torch-adamw``."""

_FLAGS = ("amsgrad", "maximize", "nesterov", "foreach", "fused")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "torch-adamw": ("beta1", "beta2", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "fused"),
    "torch-adam": ("beta1", "beta2", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "fused"),
    "torch-sgd": ("momentum", "dampening", "weight_decay", "nesterov", "maximize", "foreach", "fused"),
}
# Devices on which torch has the whole update as one kernel; elsewhere it goes over lists of tensors.
_FUSED_DEVICES = ("cuda", "mps", "cpu")


def build_optimizer(config: Config, named_parameters: Iterable[tuple[str, nn.Parameter]]) -> Optimizer:
    """The optimizer over these parameters, at the configured peak learning rate.

    Args:
        config: The keys ``optimizer``, ``optimizer_config``, ``adam_*``, ``learning_rate`` and what ``lr_scale`` needs.
        named_parameters: What is trained, with names; the names travel in the optimizer's state.

    Raises:
        ConfigError: Unknown or malformed ``optimizer_config``.
    """
    name = "torch-adamw" if config.optimizer == "auto" else config.optimizer
    parameters = list(named_parameters)
    options = _options(config, name)
    if "fused" not in options and "foreach" not in options:
        fused = all(parameter.device.type in _FUSED_DEVICES for _, parameter in parameters)
        options["fused" if fused else "foreach"] = True
    return OPTIMIZERS[name](parameters, lr=peak_learning_rate(config), **options)


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float, method: str = "norm") -> Tensor:
    """Clip gradients in place and return their global norm before clipping, on the device (no host sync).

    Args:
        parameters: What is trained.
        max_norm: Largest global norm, or with ``value`` largest absolute element; 0 only measures.
        method: ``norm`` or ``value``.
    """
    with_gradient = [parameter for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in with_gradient])
    if max_norm > 0 and method == "value":
        nn.utils.clip_grad_value_(with_gradient, max_norm)
    elif max_norm > 0:
        nn.utils.clip_grads_with_norm_(with_gradient, max_norm, norm)
    return norm


def _options(config: Config, name: str) -> dict[str, Any]:
    """Constructor arguments: the ``adam_*`` keys for the Adam family, ``optimizer_config`` over them."""
    written = parse_optimizer_config(config.optimizer_config or "", name)
    if name == "torch-sgd":
        return written
    betas = (written.pop("beta1", config.adam_beta1), written.pop("beta2", config.adam_beta2))
    return {"betas": betas, "eps": config.adam_epsilon, "weight_decay": config.adam_weight_decay} | written


def parse_optimizer_config(text: str, name: str) -> dict[str, Any]:
    """Read ``k=v,k=v`` against the options that the optimizer ``name`` takes.

    Raises:
        ConfigError: An unknown key (the nearest is named) or a value that is no number or boolean.
    """
    accepted = _OPTIONS[name]
    options: dict[str, Any] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = (piece.strip() for piece in entry.partition("="))
        if key not in accepted:
            near = difflib.get_close_matches(key, accepted, n=1, cutoff=0.5)
            raise ConfigError(
                f"optimizer_config: {key}: {name} has no such option. Accepted: {', '.join(accepted)}.",
                hint=f"Did you mean {near[0]}?" if near else "",
            )
        try:
            options[key] = _as_flag(value) if key in _FLAGS else float(value)
        except ValueError:
            wanted = "true or false" if key in _FLAGS else "a number"
            shown = value if separator else "nothing"
            raise ConfigError(f"optimizer_config: {key} = {shown}: not {wanted}. Accepted: k=v,k=v.") from None
    return options


def _as_flag(value: str) -> bool:
    flags = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False}
    if value.lower() not in flags:
        raise ValueError(value)
    return flags[value.lower()]
