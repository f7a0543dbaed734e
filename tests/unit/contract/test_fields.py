"""The declarations against the document: every key of config-formats.md sections 1, 6 and 7 with the US default."""

from __future__ import annotations

import pytest

from engine.contract.fields import NEGATED_ALIASES, REMOVED_KEYS, SETTINGS, SETTINGS_BY_KEY
from engine.contract.fields_audio import AUDIO_SETTINGS
from engine.contract.fields_backend import BACKEND_SETTINGS
from tests.each import of_each

# Typed from the specification, section by section: this is the check against the document, not a second source.
SPECIFIED = {
    # 1.1
    "model_family": "ace_step",
    "model_type": "lora",
    "model_flavour": "base",
    "pretrained_model_name_or_path": "ACE-Step/ACE-Step-v1-3.5B",
    "pretrained_transformer_model_name_or_path": None,
    "revision": None,
    "variant": None,
    "resolution": 0,
    "mixed_precision": "bf16",
    "base_model_precision": "no_change",
    "base_model_default_dtype": "bf16",
    "quantize_via": "accelerator",
    "text_encoder_1_precision": "no_change",
    "trust_remote_code": False,
    "vae_dtype": "fp32",
    "tokenizer_max_length": 256,
    "offload_during_startup": False,
    "attention_mechanism": "diffusers",
    "disable_tf32": False,
    # 1.2
    "output_dir": "output/{name}",
    "logging_dir": "logs",
    "cache_dir": None,
    "cache_dir_text": None,
    "cache_dir_vae": None,
    "seed": 42,
    "seed_for_each_device": True,
    "report_to": "none",
    "tracker_project_name": "acestep-tui",
    "tracker_run_name": "{name}",
    "hub_model_id": None,
    "push_to_hub": False,
    "push_checkpoints_to_hub": False,
    "webhook_config": None,
    "post_checkpoint_script": None,
    # 1.3
    "train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-4,
    "max_train_steps": 2_000_000,
    "num_train_epochs": 0,
    "strict_epoch_limit": False,
    "gradient_checkpointing": True,
    "gradient_checkpointing_policy": "full",
    "gradient_checkpointing_interval": None,
    "gradient_checkpointing_backend": "torch",
    "max_grad_norm": 0.5,
    "grad_clip_method": "norm",
    "gradient_precision": "unmodified",
    "set_grads_to_none": True,
    "dataloader_num_workers": 8,
    "dataloader_prefetch": False,
    "dataloader_prefetch_qlen": 10,
    "max_workers": 32,
    "allow_dataset_oversubscription": True,
    "num_processes": 1,
    # 1.4
    "optimizer": "auto",
    "optimizer_config": None,
    "optimizer_beta1": None,
    "optimizer_beta2": None,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_weight_decay": 0.01,
    "adam_epsilon": 1e-8,
    "lr_scheduler": "constant_with_warmup",
    "lr_warmup_steps": 0,
    "lr_num_cycles": 1,
    "lr_power": 0.8,
    "lr_end": 4e-7,
    "lr_scale": False,
    "lr_scale_sqrt": False,
    # 1.5
    "flow_schedule_shift": 3.0,
    "flow_schedule_auto_shift": False,
    "logit_mean": 0.0,
    "logit_std": 1.0,
    "ace_step_ssl_loss_weight": 0.1,
    "ssl_models": "auto",
    "ssl_mert_path": None,
    "ssl_mhubert_path": None,
    "loss_type": "l2",
    "caption_dropout_probability": 0.1,
    # 1.6
    "lora_type": "standard",
    "lora_rank": 16,
    "lora_alpha": None,
    "lora_dropout": 0.1,
    "lora_use_rslora": False,
    "lora_init_type": "default",
    "use_dora": False,
    "lora_format": "diffusers",
    "acestep_lora_target": "attn_qkv+linear_qkv",
    "peft_lora_target_modules": None,
    "init_lora": None,
    "init_lora_step": None,
    "init_lora_ema": None,
    # 1.7
    "use_ema": False,
    "ema_decay": 0.995,
    "ema_update_interval": 1,
    "ema_warmup_steps": 0,
    "ema_device": "cpu",
    "ema_cpu_only": False,
    "ema_foreach_disable": False,
    "ema_validation": "comparison",
    # 1.8
    "lyrics_embedder_train": False,
    "lyrics_embedder_lr": None,
    "lyrics_embedder_optimizer": None,
    "lyrics_embedder_lr_scheduler": None,
    # 1.9
    "data_backend_config": "config/{name}/multidatabackend.json",
    "vae_cache_disable": False,
    "vae_cache_ondemand": False,
    "text_cache_disable": False,
    "text_cache_ondemand": False,
    "vae_batch_size": 1,
    "write_batch_size": 128,
    "read_batch_size": 25,
    "text_encoder_batch_size": 1,
    "vae_enable_tiling": False,
    "vae_enable_slicing": False,
    "keep_vae_loaded": False,
    "vae_cache_scan_behaviour": "recreate",
    "skip_file_discovery": None,
    "preserve_data_backend_cache": False,
    "override_dataset_config": False,
    "metadata_update_interval": 3600,
    "delete_problematic_images": False,
    "delete_unwanted_images": False,
    "disk_low_threshold": None,
    "disk_low_action": "stop",
    "disk_low_script": None,
    "checkpointing_steps": 2000,
    "checkpoint_epoch_interval": None,
    "checkpoints_total_limit": 5,
    "checkpoint_minutes_interval": 30,
    "checkpointing_rolling_steps": 0,
    "checkpoints_rolling_total_limit": 1,
    "checkpointing_use_tempdir": True,
    "resume_from_checkpoint": "latest",
    "delete_invalid_checkpoints": False,
    "i_know_what_i_am_doing": False,
    # 1.10
    "musubi_blocks_to_swap": 0,
    "activation_offload": False,
    "ramtorch": False,
    # 1.13
    "compile": "auto",
    "goal": None,
    "exclude_files": (),
    "instrumental_files": (),
    "validation_split": None,
    "validation_use_erg_lyric": True,
    "validation_use_erg_diffusion": True,
    "lyrics_language_detection": "upstream",
    "long_clip": None,
    "preset_title": None,
    "preset_description": None,
    # 2 (global forms)
    "data_backend_sampling": "auto-weighting",
    "caption_strategy": "textfile",
    "instance_prompt": None,
    # 6
    "validation_prompt": None,
    "validation_lyrics": None,
    "validation_audio_duration": 30.0,
    "validation_guidance": 4.0,
    "validation_num_inference_steps": 30,
    "validation_step_interval": 100,
    "validation_epoch_interval": None,
    "validate_after_step": None,
    "validate_after_epoch": None,
    "validation_on_startup": False,
    "validation_disable": False,
    "validation_seed": None,
    "validation_randomize": False,
    "validation_prompt_library": None,
    "user_prompt_library": None,
    "validation_disable_unconditional": False,
    "num_validation_images": 1,
    "evaluation_type": "none",
    "disable_benchmark": False,
    # 7
    "scheduled_sampling_max_step_offset": 0,
    "scheduled_sampling_probability": 0.0,
    "scheduled_sampling_prob_start": 0.0,
    "scheduled_sampling_prob_end": 0.5,
    "scheduled_sampling_ramp_steps": 0,
    "scheduled_sampling_start_step": 0,
    "scheduled_sampling_ramp_shape": "linear",
    "scheduled_sampling_strategy": "uniform",
    "scheduled_sampling_sampler": "unipc",
    "scheduled_sampling_order": 2,
    "scheduled_sampling_reflexflow": None,
    "scheduled_sampling_reflexflow_alpha": 1.0,
    "scheduled_sampling_reflexflow_beta1": 10.0,
    "scheduled_sampling_reflexflow_beta2": 1.0,
}

SPECIFIED_BACKEND = {
    "type": "local",
    "dataset_type": "audio",
    "disabled": False,
    "default": False,
    "cache_dir": None,
    "cache_dir_vae": None,
    "text_embeds": None,
    "train_batch_size": None,
    "repeats": 0,
    "probability": 1.0,
    "max_num_samples": None,
    "prepend_instance_prompt": False,
    "instance_prompt": None,
    "only_instance_prompt": False,
    "disable_multiline_split": False,
    "metadata_backend": None,  # discovery or huggingface, as the type says
    "start_epoch": 1,
    "start_step": 0,
}

SPECIFIED_AUDIO = {
    "bucket_strategy": "duration",
    "duration_interval": "auto",
    "max_duration_seconds": None,
    "long_clip": None,
    "min_duration_seconds": None,
    "truncation_mode": "beginning",
    "channels": 2,
    "lyrics_filename_format": None,
    "lyrics_extension": None,
    "lyrics_suffix": None,
}


@of_each("key, default", SPECIFIED.items())
def test_default_is_that_of_the_specification(key, default):
    assert SETTINGS_BY_KEY[key].default == default


@pytest.mark.parametrize(
    ("settings", "specified"), [(BACKEND_SETTINGS, SPECIFIED_BACKEND), (AUDIO_SETTINGS, SPECIFIED_AUDIO)]
)
def test_defaults_of_data_sets_are_those_of_the_specification(settings, specified):
    defaults = {setting.key: setting.default for setting in settings}
    assert {key: defaults[key] for key in specified} == specified


def test_no_key_and_no_alias_is_declared_twice():
    for settings in (SETTINGS, BACKEND_SETTINGS, AUDIO_SETTINGS):
        names = [name for setting in settings for name in (setting.key, *setting.aliases)]
        assert sorted(names) == sorted(set(names))


def test_old_names_lead_to_declared_keys():
    names = {name for setting in SETTINGS for name in (setting.key, *setting.aliases)}
    assert set(NEGATED_ALIASES.values()) | set(REMOVED_KEYS.values()) <= names
    assert not names & (NEGATED_ALIASES.keys() | REMOVED_KEYS.keys())


@of_each("setting", (*SETTINGS, *BACKEND_SETTINGS, *AUDIO_SETTINGS), ids=lambda setting: setting.key)
def test_every_declaration_is_complete(setting):
    assert setting.label and setting.help.endswith(".") and setting.section
    assert setting.type != "choice" or setting.choices
    assert setting.type == "choice" or not setting.choices
    assert setting.default is not None or setting.nullable
    if setting.type == "choice" and setting.default is not None:
        assert setting.default in setting.choices and setting.default not in setting.later_values
    if isinstance(setting.default, (int, float)) and setting.minimum is not None:
        assert setting.minimum <= setting.default
    assert set(setting.later_values) <= set(setting.choices)
