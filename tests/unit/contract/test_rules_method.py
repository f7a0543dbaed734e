"""Scheduled sampling and the average of the weights: what a configuration is told about them."""

from __future__ import annotations

import pytest

ON = {"scheduled_sampling_max_step_offset": 40, "scheduled_sampling_probability": 0.5}


def told(resolved, values, code):
    return [notice.message for notice in resolved(values).notices if notice.code == code]


def test_the_overhead_is_said_while_the_offset_is_above_zero(resolved):
    (message,) = told(resolved, ON, "experimental")
    assert "experimental" in message and "slows training down" in message
    assert "up to 40 further passes" in message and "two more with ReflexFlow" in message
    assert "Euler" in message
    assert not told(resolved, {}, "experimental")
    assert not told(resolved, {"scheduled_sampling_max_step_offset": 0}, "experimental")


def test_it_is_said_on_the_page_of_the_setting_too():
    from engine.contract.fields_rollout import ROLLOUT_SETTINGS

    (offset,) = (setting for setting in ROLLOUT_SETTINGS if setting.key.endswith("max_step_offset"))
    assert "Experimental" in offset.help and "slower" in offset.help and offset.is_offered


def test_euler_and_no_reflexflow_are_not_spoken_of(resolved):
    values = ON | {"scheduled_sampling_sampler": "euler", "scheduled_sampling_reflexflow": False}
    (message,) = told(resolved, values, "experimental")
    assert "Euler" not in message and "ReflexFlow" not in message


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"scheduled_sampling_max_step_offset": 5}, "max_step_offset has no effect while scheduled_sampling_proba"),
        (
            {
                "scheduled_sampling_max_step_offset": 5,
                "scheduled_sampling_ramp_steps": 9,
                "scheduled_sampling_prob_end": 0,
            },
            "prob_start and scheduled_sampling_prob_end are 0",
        ),
        ({"scheduled_sampling_probability": 0.5}, "while scheduled_sampling_max_step_offset is 0"),
        (ON | {"scheduled_sampling_prob_end": 0.9}, "while scheduled_sampling_ramp_steps is 0"),
        (ON | {"scheduled_sampling_ramp_steps": 9}, "scheduled_sampling_probability has no effect"),
        (
            ON | {"scheduled_sampling_reflexflow": False, "scheduled_sampling_reflexflow_beta1": 2},
            "while scheduled_sampling_reflexflow is false",
        ),
        ({"ema_decay": 0.9, "ema_device": "accelerator"}, "ema_decay, ema_device have no effect while use_ema is"),
        ({"use_ema": True, "ema_device": "accelerator", "ema_cpu_only": True}, "while ema_cpu_only is true"),
        ({"use_ema": True, "max_train_steps": 50, "ema_warmup_steps": 50}, "reach to the end of the 50 steps"),
    ],
)
def test_what_is_set_in_vain_is_said_once(resolved, values, part):
    assert len([message for message in told(resolved, values, "no_effect") if part in message]) == 1


def test_two_averages_are_said(resolved):
    values = {"use_ema": True, "optimizer": "adamw_schedulefree"}
    (message,) = told(resolved, values, "unusual_value")
    assert "averages the weights itself" in message
    assert not told(resolved, {"use_ema": True}, "unusual_value")


def test_a_whole_configuration_as_a_run_keeps_it_says_nothing_about_defaults(resolved):
    whole = {key: value for key, value in resolved({}).config.items() if value is not None}
    about = ("scheduled_sampling", "ema_")
    assert not [text for text in told(resolved, whole, "no_effect") if any(word in text for word in about)]


@pytest.mark.parametrize(
    ("written", "end"),
    [
        ({"scheduled_sampling_max_step_offset": 1000}, "too large. Accepted: a whole number from 0 to 999."),
        ({"scheduled_sampling_probability": 1.5}, "too large. Accepted: a number from 0 to 1."),
        ({"scheduled_sampling_order": 10}, "too large. Accepted: a whole number from 1 to 9."),
        ({"scheduled_sampling_strategy": "biased"}, "Accepted: uniform, biased_early, biased_late."),
        ({"scheduled_sampling_reflexflow_alpha": -1}, "too small. Accepted: a number from 0."),
        ({"ema_decay": 1.1}, "too large. Accepted: a number from 0 to 1."),
        ({"ema_update_interval": 0}, "too small. Accepted: a whole number from 1."),
        ({"ema_device": "gpu"}, "Accepted: cpu, accelerator."),
    ],
)
def test_bad_values_are_errors(refused, written, end):
    (line,) = refused(written)
    assert line.endswith(end)


@pytest.mark.parametrize("order", range(1, 10))
def test_every_order_of_simpletuner_is_accepted(resolved, order):
    values = ON | {"scheduled_sampling_order": order, "scheduled_sampling_sampler": "dpm"}
    assert resolved(values).config.scheduled_sampling_order == order
