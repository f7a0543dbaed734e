"""The optimizer a configuration asks for, and gradient clipping (spec config-formats.md 1.3, 1.4, 1.8, 1.11)."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adafactor, Adam, AdamW, Optimizer

from engine.contract.errors import ConfigError
from engine.contract.optimizers import (
    OPTIMIZERS,
    embedder_values,
    missing_library,
    optimizer_name,
    parse_optimizer_config,
)
from engine.optim.adamw_bf16 import AdamWBf16
from engine.optim.schedule import peak_learning_rate

if TYPE_CHECKING:
    from engine.contract.config import Config

NamedParameters = Iterable[tuple[str, nn.Parameter]]
_Maker = Callable[..., Optimizer]

# Devices on which torch has the whole update as one kernel; elsewhere it goes over lists of tensors.
_FUSED_DEVICES = ("cuda", "mps", "cpu")
_BITSANDBYTES_DEVICES = ("cuda", "cpu", "xpu")


def trained_dtype(optimizer: str) -> torch.dtype:
    """Dtype of the weights that an optimizer trains: bfloat16 for ``adamw_bf16``, else float32."""
    return torch.bfloat16 if optimizer == "adamw_bf16" else torch.float32


def build_optimizer(config: Config, named_parameters: NamedParameters, embedder: NamedParameters = ()) -> Optimizer:
    """The optimizer over these parameters, at the configured peak learning rate, ready for its first step.

    Args:
        config: The keys ``optimizer``, ``optimizer_config``, ``adam_*``, ``learning_rate`` and what ``lr_scale`` needs.
        named_parameters: What is trained, with names; the names travel in the optimizer's groups.
        embedder: The lyrics embedder's parameters where they are a group of their own: at ``lyrics_embedder_lr``.

    Raises:
        ConfigError: Unknown or malformed ``optimizer_config``, a library that is missing or cannot work here.
    """
    name = optimizer_name(config.optimizer)
    missing = missing_library(name)
    if missing:
        raise ConfigError(f"optimizer = {name}: {missing}")
    parameters = list(named_parameters)
    groups: list[dict[str, Any]] = [{"params": parameters}]
    own = list(embedder)
    if own:
        rate = peak_learning_rate(config.replace(learning_rate=embedder_values(config)["learning_rate"]))
        groups.append({"params": own, "lr": rate})
    device = (parameters or own)[0][1].device
    options = {"lr": peak_learning_rate(config)} | _options(config, name)
    try:
        optimizer = _MAKERS[name](groups, device, **options)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"optimizer = {name}: cannot be set up: {error}") from error
    if hasattr(optimizer, "train"):  # schedule-free: trains other weights than it is judged by
        optimizer.train()
    return optimizer


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float, method: str = "norm") -> Tensor:
    """Clip gradients in place and return their global norm before clipping, on the device (no host sync).

    Args:
        parameters: What is trained.
        max_norm: Largest global norm, or with ``value`` largest absolute element; 0 only measures.
        method: ``norm`` or ``value``.
    """
    with_gradient = [parameter for parameter in parameters if parameter.grad is not None]
    gradients = [parameter.grad for parameter in with_gradient if parameter.grad is not None]
    if all(gradient.dtype == torch.float32 for gradient in gradients):
        norm = nn.utils.get_total_norm(gradients)
    else:  # bf16 has three digits: the sum of squares is taken in float32
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, 2, dtype=torch.float32)))
    if max_norm > 0 and method == "value":
        nn.utils.clip_grad_value_(with_gradient, max_norm)
    elif max_norm > 0:
        nn.utils.clip_grads_with_norm_(with_gradient, max_norm, norm)
    return norm


def _options(config: Config, name: str) -> dict[str, Any]:
    """Constructor arguments: the ``adam_*`` keys for the Adam family, ``optimizer_config`` over them."""
    written = parse_optimizer_config(config.optimizer_config or "", name)
    betas: tuple[float, float] | None = None
    if OPTIMIZERS[name].reads_adam_keys:
        betas = (config.adam_beta1, config.adam_beta2)
        written = {"eps": config.adam_epsilon, "weight_decay": config.adam_weight_decay} | written
    elif "beta1" in OPTIMIZERS[name].options:
        # Lion's betas mean something else than Adam's: only what was written for any optimizer counts.
        own = (config.optimizer_beta1, config.optimizer_beta2)
        betas = _LION_BETAS if None in own else own
    if betas is not None:
        written["betas"] = (written.pop("beta1", betas[0]), written.pop("beta2", betas[1]))
    return written


_LION_BETAS = (0.9, 0.99)


def _torch(kind: _Maker) -> _Maker:
    def make(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
        if "fused" not in options and "foreach" not in options:
            options["fused" if device.type in _FUSED_DEVICES else "foreach"] = True
        return kind(groups, **options)

    return make


def _adafactor(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
    del device
    epsilons = (options.pop("eps1", None), options.pop("eps2", 1e-3))
    return Adafactor(groups, eps=epsilons, **options)


def _adamw_bf16(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
    del device
    return AdamWBf16(groups, **options)


def _optimi(kind: str) -> _Maker:
    def make(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
        import optimi

        # Said here, because the library decides it at the first step, which a resumed run does not have.
        triton = device.type == "cuda" and "foreach" not in options and importlib.util.find_spec("triton") is not None
        made: Optimizer = getattr(optimi, kind)(groups, triton=triton, **options)
        return made

    return make


def _bitsandbytes(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
    if device.type not in _BITSANDBYTES_DEVICES:
        raise ConfigError(
            f"optimizer = bnb-adamw8bit: its library does not work on {device.type}", hint="Use ao-adamw8bit."
        )
    from bitsandbytes.optim import AdamW8bit

    made: Optimizer = AdamW8bit(groups, **options)
    return made


def _torchao(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
    from engine.optim.adamw_ao import make_adamw8bit

    return make_adamw8bit(groups, device, **options)


def _prodigy(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
    del device
    from prodigyopt import Prodigy

    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it decays weights
        made: Optimizer = Prodigy(groups, **options)
    return made


def _schedule_free(groups: list[dict[str, Any]], device: torch.device, **options: Any) -> Optimizer:
    del device
    from engine.optim.schedule_free import ScheduleFreeAdamW

    return ScheduleFreeAdamW(groups, **options)


_MAKERS: dict[str, _Maker] = {
    "torch-adamw": _torch(AdamW),
    "torch-adam": _torch(Adam),
    "torch-sgd": _torch(SGD),
    "torch-adafactor": _adafactor,
    "adamw_bf16": _adamw_bf16,
    "optimi-adamw": _optimi("AdamW"),
    "optimi-lion": _optimi("Lion"),
    "bnb-adamw8bit": _bitsandbytes,
    "ao-adamw8bit": _torchao,
    "prodigy": _prodigy,
    "adamw_schedulefree": _schedule_free,
}
