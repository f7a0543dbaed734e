"""Which settings act on each other, and how: for `config explain` and the reference page (config-formats.md 1 to 8)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INTERACTIONS", "Interaction", "interactions_of"]


@dataclass(frozen=True, slots=True)
class Interaction:
    """Settings that act on each other, and one sentence that says how."""

    keys: tuple[str, ...]
    sentence: str


INTERACTIONS: tuple[Interaction, ...] = (
    Interaction(
        ("max_train_steps", "num_train_epochs", "strict_epoch_limit"),
        "The length is given in steps or in epochs: the one that is not written counts as 0; both above 0 or both 0 is "
        "an error, and a length in epochs ends exactly with the last one.",
    ),
    Interaction(
        ("train_batch_size", "gradient_accumulation_steps", "learning_rate", "lr_scale", "lr_scale_sqrt"),
        "A step learns from train_batch_size × gradient_accumulation_steps songs; lr_scale multiplies the learning "
        "rate by that number, lr_scale_sqrt by its root.",
    ),
    Interaction(
        ("lr_scheduler", "lr_warmup_steps", "max_train_steps"),
        "The learning rate rises during lr_warmup_steps and then follows lr_scheduler to the last step; constant with "
        "warm-up steps becomes constant_with_warmup.",
    ),
    Interaction(("lr_scheduler", "lr_num_cycles"), "lr_num_cycles counts for cosine_with_restarts and sine alone."),
    Interaction(
        ("lr_scheduler", "lr_power", "lr_end", "learning_rate"),
        "lr_power counts for polynomial alone, which needs lr_end below learning_rate.",
    ),
    Interaction(
        ("optimizer", "mixed_precision"),
        "adamw_bf16 needs mixed_precision bf16; with another one torch-adamw takes its place.",
    ),
    Interaction(
        ("optimizer", "lr_scheduler"), "adamw_schedulefree needs no schedule: lr_scheduler has no effect beside it."
    ),
    Interaction(("optimizer", "optimizer_config"), "optimizer_config holds further options of the chosen optimizer."),
    Interaction(
        ("optimizer_beta1", "optimizer_beta2", "adam_beta1", "adam_beta2"),
        "optimizer_beta1 and optimizer_beta2 are set both or neither, and then stand for adam_beta1 and adam_beta2.",
    ),
    Interaction(
        ("max_grad_norm", "grad_clip_method"),
        "grad_clip_method says whether max_grad_norm limits the whole gradient's length or each of its numbers.",
    ),
    Interaction(
        ("gradient_checkpointing", "gradient_checkpointing_policy", "gradient_checkpointing_interval"),
        "The two others have no effect while gradient_checkpointing is off, and gradient_checkpointing_interval none "
        "beside the policy selective.",
    ),
    Interaction(
        ("musubi_blocks_to_swap", "model_type", "gradient_checkpointing", "gradient_checkpointing_policy"),
        "Blocks can wait in main memory only where they are frozen (model_type lora) and computed again whole "
        "(gradient_checkpointing with the policy full).",
    ),
    Interaction(
        ("activation_offload", "gradient_checkpointing", "gradient_checkpointing_policy"),
        "activation_offload has no effect without gradient_checkpointing and its policy full.",
    ),
    Interaction(
        ("dataloader_prefetch", "dataloader_prefetch_qlen"),
        "dataloader_prefetch_qlen counts only with dataloader_prefetch.",
    ),
    Interaction(
        ("model_type", "base_model_precision"),
        "A full fine-tune changes every weight, so it needs base_model_precision no_change.",
    ),
    Interaction(
        ("base_model_precision", "base_model_default_dtype", "quantize_via", "keep_quantised_model"),
        "The others say how the model is made smaller, and count only beside another precision than no_change.",
    ),
    Interaction(
        ("base_model_precision", "lyrics_embedder_train"),
        "The lyric reader's own weights stay as they are while it is trained, whatever base_model_precision says.",
    ),
    Interaction(
        ("model_type", "lora_rank", "lora_alpha", "lora_dropout", "acestep_lora_target", "init_lora"),
        "With model_type full there is no LoRA, and nothing about it has an effect.",
    ),
    Interaction(
        ("lora_alpha", "lora_rank", "lora_use_rslora"),
        "The LoRA's strength is lora_alpha / lora_rank, with lora_use_rslora lora_alpha / √lora_rank.",
    ),
    Interaction(
        ("peft_lora_target_modules", "acestep_lora_target"),
        "peft_lora_target_modules takes the place of acestep_lora_target.",
    ),
    Interaction(("init_lora", "lora_rank"), "The rank of init_lora's file takes the place of lora_rank."),
    Interaction(
        ("init_lora", "resume_from_checkpoint"), "A checkpoint to go on from wins: init_lora is not read then."
    ),
    Interaction(
        ("init_lora_step", "init_lora", "max_train_steps"),
        "init_lora_step needs init_lora and must be below max_train_steps.",
    ),
    Interaction(("init_lora_ema", "init_lora", "use_ema"), "init_lora_ema needs init_lora and use_ema."),
    Interaction(
        (
            *("use_ema", "ema_decay", "ema_update_interval", "ema_warmup_steps", "ema_device", "ema_cpu_only"),
            *("ema_foreach_disable", "ema_validation"),
        ),
        "The other settings of the average count only with use_ema.",
    ),
    Interaction(
        (
            *("lyrics_embedder_train", "lyrics_embedder_lr", "lyrics_embedder_optimizer"),
            "lyrics_embedder_lr_scheduler",
        ),
        "The three others have no effect without lyrics_embedder_train.",
    ),
    Interaction(
        ("ace_step_ssl_loss_weight", "ssl_models", "ssl_mert_path", "ssl_mhubert_path"),
        "ssl_models off, or models that are not there, make ace_step_ssl_loss_weight 0.",
    ),
    Interaction(
        ("vae_cache_disable", "vae_cache_ondemand"), "vae_cache_disable also prepares each song when it is needed."
    ),
    Interaction(
        ("text_cache_disable", "text_cache_ondemand"),
        "text_cache_disable also prepares each caption when it is needed.",
    ),
    Interaction(("cache_dir", "cache_dir_text", "cache_dir_vae"), "The two others replace a part of cache_dir."),
    Interaction(
        ("data_backend_config", "instance_data_dir"),
        "instance_data_dir is short for a data_backend_config with one folder; the upper layer's counts, and one layer "
        "holds only one of the two.",
    ),
    Interaction(("caption_strategy", "instance_prompt"), "caption_strategy instanceprompt needs an instance_prompt."),
    Interaction(
        ("long_clip", "audio_max_duration_seconds"),
        "Without long_clip, songs above audio_max_duration_seconds are left out where it is set, else cut at 240 s.",
    ),
    Interaction(
        ("checkpointing_steps", "checkpoint_minutes_interval", "checkpoint_epoch_interval", "checkpoints_total_limit"),
        "A checkpoint is made whenever one of the intervals is reached; the newest checkpoints_total_limit and the "
        "best one are kept.",
    ),
    Interaction(
        ("checkpointing_rolling_steps", "checkpoints_rolling_total_limit"),
        "Rolling checkpoints are counted apart, against checkpoints_rolling_total_limit.",
    ),
    Interaction(
        ("disk_low_threshold", "disk_low_action", "disk_low_script"),
        "Below disk_low_threshold disk_low_action is done; script needs disk_low_script.",
    ),
    Interaction(
        ("validation_prompt", "validation_lyrics", "validation_step_interval", "validation_disable"),
        "Without a validation_prompt or a library of prompts, or with validation_disable, no test clip is made.",
    ),
    Interaction(
        ("validation_seed", "seed", "validation_randomize"), "Without a validation_seed the run's seed counts."
    ),
    Interaction(
        (
            *("scheduled_sampling_max_step_offset", "scheduled_sampling_probability"),
            *("scheduled_sampling_ramp_steps", "scheduled_sampling_prob_start", "scheduled_sampling_prob_end"),
            *("scheduled_sampling_start_step", "scheduled_sampling_ramp_shape"),
        ),
        "Without scheduled_sampling_max_step_offset nothing of it is done; with scheduled_sampling_ramp_steps the "
        "share goes from …_prob_start to …_prob_end, else it is scheduled_sampling_probability.",
    ),
    Interaction(
        (
            *("scheduled_sampling_reflexflow", "scheduled_sampling_reflexflow_alpha"),
            *("scheduled_sampling_reflexflow_beta1", "scheduled_sampling_reflexflow_beta2"),
        ),
        "The three others count only with scheduled_sampling_reflexflow.",
    ),
    Interaction(
        ("resume_from_checkpoint", "i_know_what_i_am_doing", "train_batch_size", "gradient_accumulation_steps", "seed"),
        "Going on with another batch size or seed is refused, unless i_know_what_i_am_doing is set.",
    ),
)


def interactions_of(key: str) -> list[Interaction]:
    """What acts on a setting, or is acted on by it."""
    return [entry for entry in INTERACTIONS if key in entry.keys]
