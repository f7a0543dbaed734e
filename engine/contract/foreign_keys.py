"""Keys that SimpleTuner knows and that do nothing here: accepted, reported once, without effect (section 1)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FOREIGN_KEYS", "ForeignKeys"]


@dataclass(frozen=True, slots=True)
class ForeignKeys:
    """Keys without effect for one reason; those that end in ``_`` stand for all that begin like that.

    ``why`` follows the names in a notice: "crepa_lambda, snr_gamma: ignored for audio".
    """

    why: str
    names: tuple[str, ...]

    def holds(self, key: str) -> bool:
        """Whether a key (without leading dashes, ``_`` for ``-``) is one of them."""
        return any(key.startswith(name) if name.endswith("_") else key == name for name in self.names)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FOREIGN_KEYS: tuple[ForeignKeys, ...] = (
    ForeignKeys(
        "ignored for audio",
        _words(
            "aspect_bucket_ anima_ auraflow_ chroma_ conditioning_ conditioning_multidataset_sampling control "
            "controlnet controlnet_ cosmos_ crepa_ crop crop_ data_aesthetic_score debug_aspect_buckets "
            "deepfloyd_ disable_segmented_timestep_sampling distillation_ enable_watermark eval_ "
            "flow_beta_schedule_alpha flow_beta_schedule_beta flow_sigmoid_scale flow_use_beta_schedule flux_ "
            "framerate freeze_encoder freeze_encoder_ hidream_ huber_c huber_schedule hunyuan_ hunyuanvideo_ "
            "inference_scheduler_ input_perturbation_steps kandinsky_ kolors_ layer_freeze_strategy layersync_ "
            "longcat_ ltx_ ltxvideo_ lumina_ masked_loss_ max_upscale_threshold maximum_image_size min_snr "
            "min_snr_ minimum_image_size noise_offset_probability num_eval_images offset_noise omnigen_ pixart_ "
            "prediction_type pretrained_evaluation_model_name_or_path pretrained_t5_model_name_or_path "
            "pretrained_unet_ pretrained_vae_model_name_or_path qwen_ refiner_ rescale_betas_zero_snr "
            "resolution_ reward_ sana_ sd3_ sdxl_ snr_ soft_min_snr soft_min_snr_ t5_ target_downsample_size "
            "text_encoder_2_precision text_encoder_3_precision text_encoder_4_precision timestep_bias_ "
            "tracker_image_layout training_scheduler_timestep_spacing tread_config twinflow_ "
            "unet_attention_slice use_soft_min_snr vae_enable_patch_conv validation_adapter_ "
            "validation_guidance_ validation_lycoris_strength validation_no_cfg_until_timestep "
            "validation_num_video_frames validation_stitch_input_location video_ wan_ zero_snr"
        ),
    ),
    ForeignKeys(
        "ignored: this program starts and spreads its processes itself",
        _words(
            "accelerate_ accelerator_cache_clear_interval aws_max_pool_connections context_parallel_ ddp_ "
            "deepspeed_config deepspeed_ dynamo_ enable_multiprocessing fsdp_ local_rank offload_param_path "
            "torch_num_threads validation_torch_compile validation_torch_compile_mode"
        ),
    ),
    ForeignKeys(
        "ignored: SimpleTuner's own, with nothing like it here",
        _words(
            "debug_dataset_loader disable_assistant_lora disable_bucket_pruning fully_unload_text_encoder "
            "fuse_optimizer fuse_qkv_projections ignore_missing_files init_lokr_norm lycoris_config model_card_ "
            "optimizer_cpu_offload_method optimizer_offload_gradients optimizer_release_gradients "
            "parquet_caption_column parquet_filename_column pretrained_transformer_subfolder print_filenames "
            "print_sampler_statistics "
            "prodigy_steps publishing_config push_to_hub_background quantize_activations sageattention_usage "
            "save_text_encoder singlora_ramp_up_steps text_encoder_limit text_encoder_lr train_text_encoder "
            "user_metadata validation_seed_source webhook_reporting_interval"
        ),
    ),
    ForeignKeys(
        "ignored: write it into the data set, in multidatabackend.json",
        _words("only_instance_prompt prepend_instance_prompt"),
    ),
)
