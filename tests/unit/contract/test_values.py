"""Reading values: spellings, types, ranges, choices, and the style of every error."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("written", "key", "value"),
    [
        ({"learning_rate": "1e-3"}, "learning_rate", 1e-3),
        ({"--learning_rate": 1e-3}, "learning_rate", 1e-3),
        ({"learning-rate": 1e-3}, "learning_rate", 1e-3),
        ({"--lora-rank": "8"}, "lora_rank", 8),
        ({"lora_rank": 8.0}, "lora_rank", 8),
        ({"lora_rank": None}, "lora_rank", 16),
        ({"lora_rank": ""}, "lora_rank", 16),
        ({"resume_from_checkpoint": ""}, "resume_from_checkpoint", ""),
        ({"resume_from_checkpoint": 500}, "resume_from_checkpoint", "500"),
        ({"validation_lyrics": ""}, "validation_lyrics", ""),
        ({"validation_step_interval": None}, "validation_step_interval", 0),
        ({"mixed_precision": "BF16"}, "mixed_precision", "bf16"),
        ({"mixed_precision": "bf16-mixed"}, "mixed_precision", "bf16"),
        ({"mixed_precision": "16-mixed"}, "mixed_precision", "fp16"),
        ({"mixed_precision": 32}, "mixed_precision", "no"),
        ({"vae_dtype": "default"}, "vae_dtype", "fp32"),
        ({"lr_scheduler": "cosine_with_warmup"}, "lr_scheduler", "cosine"),
        ({"caption_strategy": "instance_prompt"}, "caption_strategy", "instanceprompt"),
        ({"audio_duration_interval": "auto"}, "audio_duration_interval", "auto"),
        ({"audio_duration_interval": "7.5"}, "audio_duration_interval", 7.5),
        ({"exclude_files": ["a.wav", "b/c.mp3"]}, "exclude_files", ("a.wav", "b/c.mp3")),
        ({"exclude_files": '["a.wav"]'}, "exclude_files", ("a.wav",)),
        ({"instance_prompt": "calm, slow"}, "instance_prompt", ("calm, slow",)),
        ({"report_to": ["local", "none"]}, "report_to", "local"),
        ({"skip_file_discovery": ["vae", "text"]}, "skip_file_discovery", "vae,text"),
        ({"flow_cubic_schedule_weights": False}, "flow_cubic_schedule_weights", False),
        ({"assistant_lora_strength": 1}, "assistant_lora_strength", 1.0),
        ({"checkpoint_step_interval": 7}, "checkpointing_steps", 7),
        ({"save_total_limit": 2}, "checkpoints_total_limit", 2),
        ({"validation_steps": 9}, "validation_step_interval", 9),
        ({"ignore_final_epochs": False}, "strict_epoch_limit", True),
        ({"ignore_final_epochs": "true"}, "strict_epoch_limit", False),
        ({"vae_cache_preprocess": True}, "vae_cache_ondemand", False),
        ({"ignore_final_epochs": None}, "strict_epoch_limit", False),
        ({"ignore_final_epochs": ""}, "strict_epoch_limit", False),
        ({"mixed_precision": "16-true"}, "mixed_precision", "fp16"),
        ({"mixed_precision": "bf16-true"}, "mixed_precision", "bf16"),
        ({"mixed_precision": "32-true"}, "mixed_precision", "no"),
        ({"validation_prompt_library": False}, "validation_prompt_library", None),
    ],
)
def test_written_value(resolved, written, key, value):
    assert resolved(written).config[key] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in (True, 1, "1", "true", "TRUE", "yes", "y", "on", "On")),
        *((text, False) for text in (False, 0, "0", "false", "False", "no", "n", "off")),
    ],
)
def test_booleans_in_every_spelling(resolved, text, value):
    assert resolved({"gradient_checkpointing": text}).config.gradient_checkpointing is value


@pytest.mark.parametrize(
    ("written", "line"),  # the whole line, or how it ends
    [
        ({"lora_rank": "many"}, 'run.json: lora_rank = "many": not a whole number. Accepted: a whole number from 1.'),
        ({"lora_rank": 2.5}, "run.json: lora_rank = 2.5: not a whole number. Accepted: a whole number from 1."),
        ({"lora_rank": True}, "run.json: lora_rank = true: not a number. Accepted: a whole number from 1."),
        ({"lora_rank": 0}, "run.json: lora_rank = 0: too small. Accepted: a whole number from 1."),
        (
            {"gradient_accumulation_steps": 0},
            "run.json: gradient_accumulation_steps = 0: too small. Accepted: a whole number from 1.",
        ),
        ({"learning_rate": 2}, "run.json: learning_rate = 2: too large. Accepted: a number from 0 to 1."),
        (
            {"learning_rate": "nan"},
            'run.json: learning_rate = "nan": not a finite number. Accepted: a number from 0 to 1.',
        ),
        ({"flow_schedule_shift": 0}, "run.json: flow_schedule_shift = 0: too small. Accepted: a number above 0."),
        ({"logit_std": 0}, "run.json: logit_std = 0: too small. Accepted: a number above 0."),
        ({"lora_dropout": 1}, "run.json: lora_dropout = 1: too large. Accepted: a number from 0 below 1."),
        (
            {"validation_audio_duration": 241},
            "run.json: validation_audio_duration = 241: too large. Accepted: a number above 0 to 240.",
        ),
        (
            {"gradient_checkpointing": "perhaps"},
            'run.json: gradient_checkpointing = "perhaps": neither true nor false. Accepted: true, false.',
        ),
        (
            {"grad_clip_method": "nrm"},
            'run.json: grad_clip_method = "nrm": not known (did you mean norm?). Accepted: norm, value.',
        ),
        ({"model_family": "flux"}, 'run.json: model_family = "flux": unsupported model_family. Accepted: ace_step.'),
        ({"loss_type": "huber"}, 'run.json: loss_type = "huber": unsupported loss_type. Accepted: l2.'),
        ({"evaluation_type": "fid"}, 'evaluation_type = "fid": unsupported evaluation_type. Accepted: none.'),
        (
            {"vae_cache_preprocess": "perhaps"},
            'run.json: vae_cache_preprocess = "perhaps": neither true nor false. Accepted: true, false.',
        ),
        (
            {"mixed_precision": "fp8"},
            'run.json: mixed_precision = "fp8": fp8 is not supported. Accepted: no, fp16, bf16.',
        ),
        (
            {"model_flavour": "v15-turbo"},
            "flavour v15-turbo is an ACE-Step v1.5 variant; this product trains v1 ('base') only. Accepted: base.",
        ),
        (
            {"evaluation_type": "CLIP"},
            'run.json: evaluation_type = "CLIP": CLIP score is for images. Accepted: none.',
        ),
        (
            {"num_validation_images": 4},
            "not supported: audio validation makes one clip per prompt; set 1. Accepted: 1.",
        ),
        (
            {"lora_type": "lycoris"},
            'run.json: lora_type = "lycoris": only standard is supported. Accepted: standard.',
        ),
        ({"use_dora": True}, "run.json: use_dora = true: not supported. Accepted: false."),
        (
            {"optimizer": "muon"},
            "bnb-adamw8bit, ao-adamw8bit, prodigy, adamw_schedulefree.",
        ),
        ({"output_dir": "x/" + 256 * "y"}, "too long for a path. Accepted: a path."),
        ({"init_lora": 300 * "z"}, "too long for a path. Accepted: a path, or null."),
        ({"data_backend_config": 4000 * "w/"}, "too long for a path. Accepted: a path or a list."),
        ({"output_dir": ["a"]}, 'run.json: output_dir = ["a"]: not a text. Accepted: a path.'),
        ({"exclude_files": 3}, "run.json: exclude_files = 3: not a list of texts. Accepted: a list of texts."),
        ({"exclude_files": "[oops"}, None),
        ({"init_lora": "x"}, "or the id of a hub repository fetched before."),
        ({"use_ema": "perhaps"}, 'run.json: use_ema = "perhaps": neither true nor false. Accepted: true, false.'),
        (
            {"base_model_precision": "int2-quanto"},
            "int4-quanto is the smallest. Accepted: no_change, int8-quanto, int4-quanto.",
        ),
        ({"num_processes": 2}, None),
        ({"scheduled_sampling_max_step_offset": 1000}, None),
        (
            {"disable_vae_cache": True},
            "run.json: disable_vae_cache: this name was removed. Accepted: vae_cache_disable.",
        ),
        (
            {"learning_rat": 1},
            "run.json: learning_rat = 1: unknown key. The closest known key is learning_rate.",
        ),
    ],
)
def test_bad_value_is_one_line_with_file_key_value_reason_and_what_is_accepted(refused, written, line):
    lines = refused(written)
    assert len(lines) == 1
    assert lines[0].startswith("run.json: ")
    assert next(iter(written)) in lines[0]
    assert line is None or lines[0].endswith(line)


def test_all_errors_of_file_and_command_line_come_together(refused):
    lines = refused(
        {"lora_rnk": 3, "lora_rank": 0, "seed": "x", "optimizer": "nope"}, "--init_lora=a", "--vae_dtype=fp4"
    )
    assert len(lines) == 6
    assert [line.split(" = ")[0] for line in lines if line.startswith("command line")] == [
        "command line: --vae_dtype",
        "command line: --init_lora",
    ]


def test_long_values_are_shortened_in_an_error(refused):
    (line,) = refused({"lora_rank": "x" * 500})
    assert len(line) < 160


def test_later_keys_are_accepted_at_their_default(resolved):
    config = resolved({"use_ema": False, "base_model_precision": "no_change", "init_lora": None, "num_processes": 1})
    assert not [notice for notice in config.notices if notice.key == "use_ema"]


@pytest.mark.parametrize(
    ("written", "code", "part"),
    [
        ({"resolution": 1024}, "ignored_setting", "resolution has no effect"),
        ({"crepa_lambda": 0.5}, "ignored_setting", "crepa_lambda: ignored for audio"),
        ({"controlnet": False}, "ignored_setting", "controlnet: ignored for audio"),
        ({"--snr-gamma": 5, "flux_guidance_value": 1}, "ignored_setting", "--snr-gamma, flux_guidance_value: ignored"),
        ({"torch_num_threads": 8, "fsdp_enable": True}, "ignored_setting", "torch_num_threads, fsdp_enable: ignored:"),
        ({"deepspeed_config": "x", "dynamo_mode": "y"}, "ignored_setting", "starts and spreads its processes itself"),
        ({"lycoris_config": "x.json"}, "ignored_setting", "with nothing like it here"),
        ({"only_instance_prompt": True}, "ignored_setting", "write it into the data set"),
        ({"aspect_bucket_rounding": 2}, "ignored_setting", "ignored for audio"),
        ({"compress_disk_cache": True}, "ignored_setting", "uncompressed"),
        ({"push_to_hub": True}, "ignored_setting", "not supported"),
        ({"attention_mechanism": "xformers"}, "ignored_setting", "torch's own"),
        ({"report_to": "wandb"}, "unknown_tracker", "wandb is not available here"),
        ({"lora_rank": 512}, "unusual_value", "very high"),
        ({"validation_guidance": 31}, "unusual_value", "very strong"),
        ({"audio_truncation_mode": "middle"}, "fallback", "beginning is used"),
        ({"audio_duration_interval": -1}, "fallback", "3.0 is used"),
        ({"model_type": "full", "lora_rank": 8}, "no_effect", "full fine-tune"),
        ({"gradient_checkpointing": False, "gradient_checkpointing_policy": "selective"}, "no_effect", "is off"),
        (
            {"gradient_checkpointing_policy": "selective", "gradient_checkpointing_interval": 2},
            "no_effect",
            "gradient_checkpointing_interval has no effect unless gradient_checkpointing_policy is full",
        ),
        ({"gradient_checkpointing": False, "activation_offload": True}, "no_effect", "activation_offload has no"),
        ({"gradient_checkpointing": False, "gradient_checkpointing_interval": 2}, "no_effect", "is off"),
        ({}, "no_clips", "no test clips"),
        ({}, "no_length", "2,000,000 steps"),
        ('{"lora_rank": 4, "--lora-rank": 8}', "duplicate_key", "written twice"),
    ],
)
def test_what_has_no_effect_is_said_exactly_once(resolved, written, code, part):
    notices = [notice for notice in resolved(written).notices if notice.code == code and part in notice.message]
    assert len(notices) == 1


def test_ignored_keys_at_their_default_say_nothing(resolved):
    assert not [notice for notice in resolved({"resolution": 0}).notices if notice.code == "ignored_setting"]


def test_the_last_of_two_spellings_counts(resolved):
    assert resolved('{"lora_rank": 4, "--lora-rank": 8}').config.lora_rank == 8


def test_environment_variables_are_filled_in_at_any_depth(resolved, monkeypatch):
    monkeypatch.setenv("ALBUM", "night-ferry")
    monkeypatch.setenv("STEPS", "7")
    found = resolved(
        {
            "max_train_steps": "{env:STEPS}",
            "exclude_files": ["{env:ALBUM}.wav"],
            "data_backend_config": [{"id": "a", "instance_data_dir": "songs/{env:ALBUM}"}],
            "lora_rank": "{env:NOT_THERE}",
        }
    )
    assert (found.config.max_train_steps, found.origins["max_train_steps"]) == (7, "env")
    assert found.config.exclude_files == ("night-ferry.wav",)
    assert found.config.data_backend_config[0]["instance_data_dir"] == "songs/night-ferry"
    assert found.config.lora_rank == 16


def test_environment_variables_are_filled_in(resolved, monkeypatch):
    monkeypatch.setenv("ALBUM", "night-ferry")
    monkeypatch.delenv("NOT_THERE", raising=False)
    found = resolved({"output_dir": "runs/{env:ALBUM}", "validation_prompt": "a{env:NOT_THERE}b {other}"})
    assert found.config.output_dir == "runs/night-ferry"
    assert found.config.validation_prompt == "ab {other}"
    assert found.origins["output_dir"] == "env"
