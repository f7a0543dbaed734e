"""Rules between settings (config-formats.md sections 1.3, 1.4, 1.6)."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("written", "steps", "epochs", "strict"),
    [
        ({}, 2_000_000, 0, False),
        ({"max_train_steps": 100}, 100, 0, False),
        ({"num_train_epochs": 3}, 0, 3, True),
        ({"num_train_epochs": 3, "max_train_steps": 0}, 0, 3, True),
        ({"num_train_epochs": 3, "max_train_steps": None}, 0, 3, True),
        ({"num_train_epochs": 0, "max_train_steps": 5}, 5, 0, False),
        ({"max_train_steps": None}, 2_000_000, 0, False),
    ],
)
def test_length_in_steps_or_epochs(resolved, written, steps, epochs, strict):
    config = resolved(written).config
    assert (config.max_train_steps, config.num_train_epochs, config.strict_epoch_limit) == (steps, epochs, strict)


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ({"num_train_epochs": 2, "max_train_steps": 100}, "set num_train_epochs to 0"),
        ({"max_train_steps": 0}, "nothing would be trained"),
        ({"lr_scheduler": "polynomial", "lr_end": 1e-3}, "polynomial needs lr_end below learning_rate"),
        ({"lr_scheduler": "polynomial", "learning_rate": 1e-8}, "polynomial needs lr_end below learning_rate"),
        ({"optimizer_beta1": 0.8}, "only one of"),
        ({"optimizer_beta2": 0.8}, "only one of"),
        ({"peft_lora_target_modules": []}, "not a non-empty list"),
        ({"peft_lora_target_modules": ["to_q", 3]}, "not a non-empty list"),
        ({"peft_lora_target_modules": "nowhere.json"}, "cannot be read"),
        ({"instance_data_dir": "a", "data_backend_config": "b"}, "data_backend_config is set as well"),
    ],
)
def test_contradictions_are_refused(refused, written, part):
    (line,) = refused(written)
    assert part in line


def test_constant_with_warmup_steps_warms_up(resolved):
    assert resolved({"lr_scheduler": "constant", "lr_warmup_steps": 5}).config.lr_scheduler == "constant_with_warmup"
    assert resolved({"lr_scheduler": "constant"}).config.lr_scheduler == "constant"


def test_optimizer_betas_stand_for_adams(resolved):
    config = resolved({"optimizer_beta1": 0.8, "optimizer_beta2": 0.95, "adam_beta1": 0.1}).config
    assert (config.adam_beta1, config.adam_beta2) == (0.8, 0.95)


def test_adamw_bf16_without_bf16_is_replaced_with_a_notice(resolved):
    found = resolved({"optimizer": "adamw_bf16", "mixed_precision": "no"})
    assert found.config.optimizer == "torch-adamw"
    assert [notice.code for notice in found.notices if notice.key == "optimizer"] == ["optimizer_replaced"]
    assert resolved({"optimizer": "adamw_bf16"}).config.optimizer == "adamw_bf16"


def test_target_modules_from_a_file(resolved, tmp_path):
    (tmp_path / "targets.json").write_text(json.dumps(["to_q", "to_k"]))
    assert resolved({"peft_lora_target_modules": "targets.json"}).config.peft_lora_target_modules == ("to_q", "to_k")


def test_ssl_models_off_takes_the_weight_away(resolved):
    assert resolved({"ssl_models": "off"}).config.ace_step_ssl_loss_weight == 0.0
    assert resolved({}).config.ace_step_ssl_loss_weight == 0.1


def test_reports_that_are_not_there_never_stop_a_run(resolved):
    assert resolved({"report_to": "wandb,swanlab"}).config.report_to == "none"


def test_models_that_are_named_and_not_wanted_have_no_effect(resolved):
    written = {"ace_step_ssl_loss_weight": 0, "ssl_models": "required", "ssl_mert_path": "/models/mert"}
    said = [notice.message for notice in resolved(written).notices if notice.code == "no_effect"]
    assert len(said) == 2 and "musical features are switched off" in said[0]
    wanted = resolved({**written, "ace_step_ssl_loss_weight": 0.1})
    assert not [notice for notice in wanted.notices if notice.code == "no_effect"]
