"""Rules of optimizer, schedule and lyrics embedder (config-formats.md sections 1.4, 1.8, 1.11 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.contract.optimizers import (
    OPTIMIZERS,
    embedder_values,
    has_own_optimizer,
    missing_library,
    optimizer_name,
    read_options,
)

if TYPE_CHECKING:
    from engine.contract.rules import Draft

_TRAIN = "lyrics_embedder_train"
_RATE = "lyrics_embedder_lr"
_OPTIMIZER = "lyrics_embedder_optimizer"
_SCHEDULE = "lyrics_embedder_lr_scheduler"


def optimizer_rules(draft: Draft) -> None:
    """What an optimizer needs, what it takes, and what acts in vain beside it."""
    _embedder_without_effect(draft)
    keys = ["optimizer", *([_OPTIMIZER] if draft.values[_TRAIN] and draft.values[_OPTIMIZER] else [])]
    for key in keys:
        _needs_bf16(draft, key)
    for key in keys:
        _library(draft, key)
    _options(draft)
    _schedules(draft)
    _rates(draft)
    if draft.values["gradient_precision"] == "fp32" and not _trains_bf16(draft):
        key = "gradient_precision"
        draft.notice(
            "no_effect", key, f"{key} has no effect: only adamw_bf16 has gradients in another format than fp32"
        )


def _embedder_without_effect(draft: Draft) -> None:
    values = draft.values
    written = [key for key in (_RATE, _OPTIMIZER, _SCHEDULE) if values[key] is not None]
    if not values[_TRAIN]:
        for key in written:
            draft.notice("no_effect", key, f"{key} has no effect without {_TRAIN}")
            values[key] = None
    elif values["model_type"] == "full" and not written:
        draft.notice("no_effect", _TRAIN, f"{_TRAIN} changes nothing: a full fine-tune trains the lyrics embedder too")


def _needs_bf16(draft: Draft, key: str) -> None:
    values = draft.values
    if values[key] == "adamw_bf16" and values["mixed_precision"] != "bf16":
        values[key] = "torch-adamw"
        draft.notice("optimizer_replaced", key, f"{key} adamw_bf16 needs mixed_precision bf16; torch-adamw is used")


def _library(draft: Draft, key: str) -> None:
    missing = missing_library(optimizer_name(draft.values[key]))
    if missing:
        draft.error(key, missing, "an optimizer whose library is installed, such as torch-adamw")


def _options(draft: Draft) -> None:
    _, problems = read_options(draft.values["optimizer_config"] or "", optimizer_name(draft.values["optimizer"]))
    for reason, accepted in problems:
        draft.error("optimizer_config", reason, accepted)


def _schedules(draft: Draft) -> None:
    """A schedule-free optimizer goes without a curve, and a polynomial one ends below its rate."""
    values = draft.values
    own = embedder_values(values)
    if values[_TRAIN] and OPTIMIZERS[optimizer_name(own["optimizer"])].own_schedule:
        curve = own["lr_scheduler"]
        if has_own_optimizer(values) and not curve.startswith("constant"):
            values[_SCHEDULE] = "constant_with_warmup"
            if curve != values["lr_scheduler"]:
                draft.notice("no_schedule", _SCHEDULE, _goes_without(own["optimizer"], _SCHEDULE, curve))
    if OPTIMIZERS[optimizer_name(values["optimizer"])].own_schedule:
        curve = values["lr_scheduler"]
        if not curve.startswith("constant"):
            values["lr_scheduler"] = "constant_with_warmup"
            draft.notice("no_schedule", "lr_scheduler", _goes_without(values["optimizer"], "lr_scheduler", curve))
    own = embedder_values(values)
    if has_own_optimizer(values) and own["lr_scheduler"] == "polynomial" and values["lr_end"] >= own["learning_rate"]:
        key = next(key for key in (_SCHEDULE, _RATE, "lr_end", _OPTIMIZER) if key in draft.written)
        draft.error(key, "polynomial needs lr_end below the rate", f"lr_end below {own['learning_rate']:g}")


def _goes_without(optimizer: str, key: str, curve: str) -> str:
    return f"{key} {curve} is switched off: {optimizer} averages its steps instead; lr_warmup_steps still counts"


def _rates(draft: Draft) -> None:
    values = draft.values
    name = optimizer_name(values["optimizer"])
    if OPTIMIZERS[name].one_rate:
        if values[_RATE] not in (None, values["learning_rate"]) and not has_own_optimizer(values):
            accepted = f"leave it out, or set {_OPTIMIZER} as well"
            draft.error(_RATE, f"{name} has one rate for all weights", accepted)
        if values["learning_rate"] == 0:
            draft.error(
                _written(draft, "learning_rate", "optimizer"), f"{name} needs a learning_rate above 0", "above 0"
            )
    usual = OPTIMIZERS[name].usual_rate
    if values["learning_rate"] < usual:
        meaning = "its learning_rate multiplies a rate that it finds itself: 1 is usual"
        if name == "torch-adafactor":
            meaning = "its learning_rate is a share of each weight's size: 0.01 is usual"
        rate = f"{values['learning_rate']:g}"
        draft.notice("unusual_value", "learning_rate", f"learning_rate {rate} is very low for {name}: {meaning}")


def _written(draft: Draft, *keys: str) -> str:
    return next(key for key in keys if key in draft.written)


def _trains_bf16(draft: Draft) -> bool:
    names = {draft.values["optimizer"]}
    if draft.values[_TRAIN]:
        names.add(embedder_values(draft.values)["optimizer"])
    return "adamw_bf16" in names
