"""Every optimizer by name: its options, its library, what it keeps a weight (config-formats.md 1.4, 1.8, 1.11).

Torch-free, so that a name, an option or a missing library is told before anything is loaded; `engine.optim.build` makes
the optimizers.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.contract.errors import ConfigError

if TYPE_CHECKING:
    from engine.contract.config import Config

_ADAM = ("beta1", "beta2", "eps", "weight_decay")
_TORCH = ("maximize", "foreach", "fused")
_FLAGS = frozenset(
    {"amsgrad", "maximize", "nesterov", "foreach", "fused", "decouple_lr", "use_bias_correction", "safeguard_warmup"}
)
_WHOLE = frozenset({"block_size", "min_8bit_size", "slice_p"})
# From, below; what is not named here is 0 or more.
_RANGES = {
    "beta1": (0.0, 1.0),
    "beta2": (0.0, 1.0),
    "beta3": (0.0, 1.0),
    "beta2_decay": (-10.0, 1e-9),
    "d": (1.0, math.inf),
    "d0": (1e-30, math.inf),
    "d_coef": (1e-30, math.inf),
    "growth_rate": (1.0, math.inf),
    "block_size": (16, 4097),
    "slice_p": (1, math.inf),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerFacts:
    """What is known of an optimizer without loading it.

    Attributes:
        options: Names that ``optimizer_config`` takes.
        state_bytes: Bytes it keeps a trained weight, beside weight and gradient.
        module, extra: The library it comes from, and the extra of this program that installs it; empty for torch's.
        reads_adam_keys: ``adam_beta1`` and its kin are its values unless ``optimizer_config`` says otherwise.
        own_schedule: It averages its steps instead of following a curve: only a warm-up and a constant rate suit it.
        one_rate: All weights of it have one learning rate.
        usual_rate: A learning rate below this one is unusually low, as it means something else here; 0 = as others.
    """

    options: tuple[str, ...]
    state_bytes: float
    module: str = ""
    extra: str = ""
    reads_adam_keys: bool = True
    own_schedule: bool = False
    one_rate: bool = False
    usual_rate: float = 0.0


OPTIMIZERS: dict[str, OptimizerFacts] = {
    "torch-adamw": OptimizerFacts(options=(*_ADAM, "amsgrad", *_TORCH), state_bytes=8),
    "torch-adam": OptimizerFacts(options=(*_ADAM, "amsgrad", *_TORCH), state_bytes=8),
    "torch-sgd": OptimizerFacts(
        options=("momentum", "dampening", "weight_decay", "nesterov", *_TORCH), state_bytes=4, reads_adam_keys=False
    ),
    # A row and a column of each matrix; only vectors have a number for each weight.
    "torch-adafactor": OptimizerFacts(
        options=("beta2_decay", "eps1", "eps2", "d", "weight_decay", "maximize", "foreach"),
        state_bytes=0.5,
        reads_adam_keys=False,
        usual_rate=1e-3,
    ),
    # What bf16 weights lost in rounding (2), the first moment in bf16 (2), the second in fp32 (4).
    "adamw_bf16": OptimizerFacts(options=_ADAM, state_bytes=8),
    "optimi-adamw": OptimizerFacts(
        options=(*_ADAM, "decouple_lr", "foreach"), state_bytes=8, module="optimi", extra="optimi"
    ),
    "optimi-lion": OptimizerFacts(
        options=("beta1", "beta2", "weight_decay", "decouple_lr", "foreach"),
        state_bytes=4,
        module="optimi",
        extra="optimi",
        reads_adam_keys=False,
    ),
    # Two bytes, and a scale for each block of 256.
    "bnb-adamw8bit": OptimizerFacts(
        options=(*_ADAM, "min_8bit_size"), state_bytes=2.1, module="bitsandbytes", extra="bnb"
    ),
    "ao-adamw8bit": OptimizerFacts(
        options=(*_ADAM, "amsgrad", "block_size"), state_bytes=2.1, module="torchao", extra="ao"
    ),
    "prodigy": OptimizerFacts(
        options=(
            *_ADAM,
            *("beta3", "d0", "d_coef", "growth_rate", "use_bias_correction", "safeguard_warmup", "slice_p"),
        ),
        state_bytes=16,
        module="prodigyopt",
        extra="prodigy",
        one_rate=True,
        usual_rate=0.1,
    ),
    "adamw_schedulefree": OptimizerFacts(
        options=(*_ADAM, "r", "weight_lr_power", "foreach"),
        state_bytes=8,
        module="schedulefree",
        extra="schedulefree",
        own_schedule=True,
    ),
}
"""Names of the setting ``optimizer``; ``auto`` is ``torch-adamw``."""


def optimizer_name(value: str) -> str:
    """The optimizer that a value of the setting means."""
    return "torch-adamw" if value == "auto" else value


def missing_library(name: str) -> str:
    """Why an optimizer cannot be used on this computer, and the command that helps; empty when it can."""
    facts = OPTIMIZERS[name]
    if not facts.module or importlib.util.find_spec(facts.module) is not None:
        return ""
    return f'its library {facts.module} is not installed; install it with: pip install "acestep-tui[{facts.extra}]"'


def read_options(text: str, name: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Read ``k=v,k=v`` against the options that the optimizer ``name`` takes.

    Returns:
        The options, and what is wrong: an unknown key (the nearest is named), a value that is no number or boolean, or
        one out of range; each as the reason and what is accepted instead.
    """
    accepted = OPTIMIZERS[name].options
    options: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = (piece.strip() for piece in entry.partition("="))
        if key not in accepted:
            near = difflib.get_close_matches(key, accepted, n=1, cutoff=0.5)
            did_you_mean = f". Did you mean {near[0]}?" if near else ""
            problems.append((f"{name} has no option {key}{did_you_mean}", f"name=value with {', '.join(accepted)}"))
            continue
        low, high = _RANGES.get(key, (0.0, math.inf))
        try:
            read = _as_flag(value) if key in _FLAGS else int(value) if key in _WHOLE else float(value)
        except ValueError:
            wanted = "true or false" if key in _FLAGS else "a whole number" if key in _WHOLE else "a number"
            shown = value if separator else "nothing"
            problems.append((f"{key} is {shown}, not {wanted}", "name=value,name=value"))
            continue
        if key not in _FLAGS and not low <= read < high:
            problems.append((f"{key} is {value}", f"{key} from {low:g} to below {high:g}"))
        options[key] = read
    return options, problems


def parse_optimizer_config(text: str, name: str) -> dict[str, Any]:
    """The options of `read_options`.

    Raises:
        ConfigError: Something is wrong with them.
    """
    options, problems = read_options(text, name)
    if problems:
        raise ConfigError(
            "\n".join(f"optimizer_config: {reason}. Accepted: {accepted}." for reason, accepted in problems)
        )
    return options


def embedder_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values under which the lyrics embedder is trained: its own where they are set, else the main ones.

    ``optimizer_config`` is for the main optimizer: it counts here only where the embedder's is of the same kind.
    """
    own = {
        "optimizer": config["lyrics_embedder_optimizer"],
        "lr_scheduler": config["lyrics_embedder_lr_scheduler"],
        "learning_rate": config["lyrics_embedder_lr"],
    }
    values = {key: config[key] if value is None else value for key, value in own.items()}
    is_same = optimizer_name(values["optimizer"]) == optimizer_name(config["optimizer"])
    return {**values, "optimizer_config": config["optimizer_config"] if is_same else None}


def has_own_optimizer(config: Mapping[str, Any]) -> bool:
    """Whether the lyrics embedder is trained by an optimizer of its own (case c of config-formats.md 8)."""
    own = (config["lyrics_embedder_optimizer"], config["lyrics_embedder_lr_scheduler"])
    return bool(config["lyrics_embedder_train"]) and own != (None, None)


def embedder_config(config: Config) -> Config:
    """The configuration as the lyrics embedder's optimizer and schedule read it."""
    return config.replace(**embedder_values(config))


def _as_flag(value: str) -> bool:
    flags = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False}
    if value.lower() not in flags:
        raise ValueError(value)
    return flags[value.lower()]
