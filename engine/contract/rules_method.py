"""Rules of scheduled sampling and of the average of the weights (config-formats.md sections 1.7 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.contract.fields_lora import LORA_SETTINGS
from engine.contract.fields_rollout import ROLLOUT_SETTINGS

if TYPE_CHECKING:
    from engine.contract.rules import Draft

_ROLLOUT = "scheduled_sampling_"
_OFFSET, _PROBABILITY = f"{_ROLLOUT}max_step_offset", f"{_ROLLOUT}probability"
_RAMP = tuple(f"{_ROLLOUT}{name}" for name in ("prob_start", "prob_end", "start_step", "ramp_shape"))
_REFLEXFLOW = f"{_ROLLOUT}reflexflow"
_DEFAULTS = {setting.key: setting.default for setting in (*LORA_SETTINGS, *ROLLOUT_SETTINGS)}


def rollout_rules(draft: Draft) -> None:
    """What scheduled sampling costs, and what is written in vain."""
    values = draft.values
    if values[_OFFSET] == 0:
        _in_vain(draft, _set(draft, _ROLLOUT), f"while {_OFFSET} is 0")
        return
    if values[f"{_ROLLOUT}ramp_steps"]:
        _in_vain(draft, _set(draft, _PROBABILITY), f"while {_ROLLOUT}ramp_steps is above 0: the ramp says how often")
        highest = max(values[f"{_ROLLOUT}prob_start"], values[f"{_ROLLOUT}prob_end"])
        share = f"{_ROLLOUT}prob_start and {_ROLLOUT}prob_end are"
    else:
        _in_vain(draft, _set(draft, *_RAMP), f"while {_ROLLOUT}ramp_steps is 0")
        highest = values[_PROBABILITY]
        share = f"{_PROBABILITY} is"
    if values[_REFLEXFLOW] is False:
        _in_vain(draft, _set(draft, f"{_REFLEXFLOW}_"), f"while {_REFLEXFLOW} is false")
    if highest == 0:
        draft.notice("no_effect", _OFFSET, f"{_OFFSET} has no effect while {share} 0: no song is chosen for it")
        return
    further = "" if values[_REFLEXFLOW] is False else ", and two more with ReflexFlow"
    euler = ""
    if values[f"{_ROLLOUT}sampler"] != "euler":
        euler = f" The steps are Euler's, whatever {_ROLLOUT}sampler says."
    draft.notice(
        "experimental",
        _OFFSET,
        "scheduled sampling is experimental and slows training down: a song that is chosen for it takes up to "
        f"{values[_OFFSET]} further passes through the model{further}.{euler}",
    )


def ema_rules(draft: Draft) -> None:
    """The average's settings without the average, and two places for it."""
    values = draft.values
    if not values["use_ema"]:
        _in_vain(draft, _set(draft, "ema_"), "while use_ema is false")
        return
    if values["ema_cpu_only"] and values["ema_device"] == "accelerator":
        _in_vain(draft, ["ema_device"], "while ema_cpu_only is true: the average is kept in main memory")
        values["ema_device"] = "cpu"
    if values["optimizer"] == "adamw_schedulefree":
        draft.notice(
            "unusual_value",
            "use_ema",
            "adamw_schedulefree averages the weights itself; use_ema averages the points where its gradients are taken",
        )
    length = values["max_train_steps"]
    if length and values["ema_warmup_steps"] >= length:
        draft.notice(
            "no_effect",
            "ema_warmup_steps",
            f"use_ema has no effect: ema_warmup_steps {values['ema_warmup_steps']:,} reach to the end of the "
            f"{length:,} steps, so the average is a copy of the weights",
        )


def _set(draft: Draft, *prefixes: str) -> list[str]:
    """Keys with such a beginning that are written and differ from their default."""
    return [
        key
        for key in draft.written
        if key.startswith(prefixes) and key in _DEFAULTS and draft.values[key] != _DEFAULTS[key]
    ]


def _in_vain(draft: Draft, keys: list[str], why: str) -> None:
    if keys:
        have = "has" if len(keys) == 1 else "have"
        draft.notice("no_effect", keys[0], f"{', '.join(keys)} {have} no effect {why}")
