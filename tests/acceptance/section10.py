"""The acceptance list of the quickstart (config-formats.md section 10): each statement with the tests that prove it.

One row of `ROWS` is one row there. A test is named by its node id without parameters; `test_section10` checks that it
is there. `python -m tests.acceptance.section10` writes docs/acceptance.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "acceptance.md"


@dataclass(frozen=True, slots=True)
class Row:
    """A statement of the quickstart, what it means here, and the tests that prove it."""

    number: int
    statement: str
    behaviour: str
    tests: tuple[str, ...]


_CONTRACT = "tests/unit/contract"
_SEED = "tests/contract/test_seed_files.py"
_SEED_RUN = "tests/worker/test_seed_run.py"
_MIGRATE = "tests/unit/headless/test_migrate.py"
_DATASET = "tests/unit/dataset"
_FORMATS = f"{_DATASET}/test_formats.py"
_TRAIN = "tests/unit/train"
_STEP = f"{_TRAIN}/test_rollout_step.py"
_EMBEDDER = f"{_TRAIN}/test_lyrics_embedder.py"
_POLICY = "tests/worker/test_cache_policy.py"
_HUB = f"{_CONTRACT}/test_hub_backends.py"

ROWS: tuple[Row, ...] = (
    Row(
        1,
        "v1 3.5B, flow matching, text and lyrics",
        "only ace_step / base; one step runs on weights of the same names",
        (
            f"{_CONTRACT}/test_values.py::test_bad_value_is_one_line_with_file_key_value_reason_and_what_is_accepted",
            "tests/unit/model/test_tiny.py::test_a_clip_goes_through_codec_and_transformer",
            f"{_SEED_RUN}::test_the_quickstarts_files_start_a_run_unchanged",
        ),
    ),
    Row(
        2,
        "at least 12 GB, better 24 GB, a Mac about 36 GB",
        "values are proposed for the computer at hand, and what cannot train is said",
        (
            "tests/unit/planning/test_recommend.py::test_each_computer_gets_what_suits_it_today",
            "tests/unit/planning/test_recommend.py::test_on_a_mac_or_a_processor_fewer_digits_bring_nothing",
            "tests/unit/planning/test_recommend.py::test_what_cannot_train_is_said_with_what_to_do",
        ),
    ),
    Row(
        3,
        "warning about the disk",
        "an estimate before anything is prepared; too little space is refused or said",
        (
            "tests/unit/planning/test_plan.py::test_a_minute_of_audio_is_as_large_as_its_file",
            f"{_POLICY}::test_the_estimate_of_a_minute_is_within_five_per_cent_of_its_file",
            "tests/worker/test_cache_build.py::test_a_run_says_what_much_preparing_takes",
            f"{_TRAIN}/test_disk_guard.py::test_yes_turns_the_refusal_into_a_warning",
        ),
    ),
    Row(
        4,
        "--vae_cache_disable",
        "nothing is written, and the losses are those of a prepared run",
        (
            f"{_SEED}::test_the_quickstarts_flag_behind_the_name",
            f"{_POLICY}::test_without_a_cache_nothing_is_written_and_the_losses_are_those_of_a_prepared_run",
        ),
    ),
    Row(
        5,
        "int8-quanto",
        "a LoRA on an int8 model trains, resumes and is exported",
        (
            "tests/worker/test_quantised.py::test_row_5_a_lora_on_a_quantised_model_trains_resumes_and_exports",
            "tests/unit/model/test_quantise.py::test_no_weight_moves_by_more_than_half_a_step",
            "tests/unit/model/test_quantise.py::test_a_product_is_wrong_by_a_known_share",
            "tests/unit/model/test_quantise.py::test_a_layer_is_as_small_as_it_says",
        ),
    ),
    Row(
        6,
        "Python 3.10 or newer",
        "declared, and checked at the start",
        (
            "tests/packaging/test_python_version.py::test_the_declared_version_is_the_checked_one",
            "tests/packaging/test_python_version.py::test_the_check_is_made_at_the_start",
        ),
    ),
    Row(
        7,
        "the folder config/NAME/",
        "written by the set-up and by migrate; nothing is overwritten without a question or a backup",
        (
            f"{_MIGRATE}::test_files_that_are_there_are_never_overwritten_silently",
            "tests/tui/test_wizard_frame.py::test_the_preset_is_saved_where_one_says_and_the_command_names_it",
            "tests/tui/test_wizard_frame.py::test_the_command_does_not_replace_a_file_of_somebody_else",
        ),
    ),
    Row(
        8,
        "config.json of eight keys",
        "accepted unchanged, every other key at its default; a run starts",
        (
            f"{_SEED}::test_the_files_are_those_of_the_quickstart",
            f"{_SEED}::test_the_quickstarts_configuration_is_accepted_unchanged_and_has_its_defaults",
            f"{_SEED_RUN}::test_the_quickstarts_files_start_a_run_unchanged",
        ),
    ),
    Row(9, "resolution: 0", "any number is accepted", (f"{_SEED}::test_resolution_is_accepted_whatever_number_it_is",)),
    Row(
        10,
        "validation_prompt, lyrics, duration, guidance, step interval",
        "48 kHz clips of the right length at the right steps, each with a sidecar",
        (
            f"{_TRAIN}/test_clips.py::test_a_clip_is_a_stereo_file_of_48_khz_with_a_whole_sidecar",
            f"{_TRAIN}/test_occasions.py::test_clips_by_steps_and_at_the_end",
            "tests/unit/sampling/test_generate.py::test_a_clip_has_exactly_its_length",
            "tests/worker/test_started_from_lora.py::test_a_run_starts_from_a_lora_with_everything_around_it",
        ),
    ),
    Row(
        11,
        "scheduled sampling",
        "rolled out for real, with ReflexFlow; nothing chosen is bit for bit the same as off",
        (
            "tests/unit/objective/test_rollout.py::test_each_sample_stands_where_a_hand_written_loop_leads",
            "tests/unit/objective/test_rollout.py::test_forward_passes_are_shared_and_counted",
            "tests/unit/objective/test_rollout.py::test_draws_hang_on_the_position_alone_and_keep_to_the_table",
            "tests/unit/objective/test_reflexflow.py::test_loss_of_each_sample_is_the_formula",
            "tests/unit/planning/test_rollout_plan.py::test_share_of_the_samples_at_a_step",
            "tests/unit/planning/test_rollout_plan.py::test_lengths_are_spread_as_the_strategy_says",
            "tests/worker/test_rollout_and_average.py::test_both_act_are_told_saved_exported_and_go_on_bit_for_bit",
            f"{_STEP}::test_the_step_differs_from_one_without_and_equals_it_bit_for_bit_where_nothing_is_chosen",
        ),
    ),
    Row(
        12,
        "warning that experimental features cost time",
        "said while the offset is above 0",
        (f"{_CONTRACT}/test_rules_method.py::test_the_overhead_is_said_while_the_offset_is_above_zero",),
    ),
    Row(
        13,
        "hub data set (demo songs)",
        "accepted unchanged; caption and lyrics stay apart",
        (
            f"{_HUB}::test_the_seeds_hub_data_set_is_accepted_unchanged",
            f"{_DATASET}/test_hub_songs.py::test_the_demo_data_sets_columns_give_caption_and_lyrics_apart",
            "tests/worker/test_hub_data.py::test_a_run_downloads_unpacks_and_trains_then_another_needs_no_hub",
        ),
    ),
    Row(
        14,
        "the text_embeds entry, {model_family}",
        "the place of prepared captions, with ace_step filled in",
        (
            f"{_CONTRACT}/test_backends.py::test_where_prepared_captions_are_kept",
            f"{_SEED_RUN}::test_the_quickstarts_files_start_a_run_unchanged",
        ),
    ),
    Row(
        15,
        "caption_strategy",
        "textfile, filename, instanceprompt and huggingface; any other is refused",
        (
            f"{_DATASET}/test_captions.py::test_textfile",
            f"{_DATASET}/test_captions.py::test_filename",
            f"{_DATASET}/test_captions.py::test_instance_prompts",
            f"{_HUB}::test_captions_of_rows_come_from_columns_or_are_one_for_all",
            f"{_CONTRACT}/test_backends.py::test_bad_entries",
        ),
    ),
    Row(
        16,
        "local data set, metadata_backend, disabled",
        "accepted unchanged; disabled takes it out",
        (
            f"{_SEED}::test_the_quickstarts_local_data_set_is_read_as_it_is",
            f"{_CONTRACT}/test_backends.py::test_the_seeds_local_file_is_accepted_unchanged",
            f"{_CONTRACT}/test_backends.py::test_disabled_data_sets_are_skipped_whatever_stands_in_them",
        ),
    ),
    Row(
        17,
        ".wav .flac .aiff .alac",
        "48 kHz stereo float at the right pitch, from every rate, mono, stereo and 5.1, every depth",
        (
            f"{_FORMATS}::test_pitch_and_length_from_the_file_to_48_khz_stereo",
            f"{_FORMATS}::test_every_depth_is_read_to_its_last_bit",
            f"{_FORMATS}::test_alac_in_m4a_and_under_its_own_name",
            f"{_FORMATS}::test_a_clip_is_48_khz_stereo_float_of_exactly_its_length",
        ),
    ),
    Row(
        18,
        ".mp3 .ogg .m4a .aac .wma .opus",
        "the same",
        (
            f"{_FORMATS}::test_pitch_and_length_from_the_file_to_48_khz_stereo",
            f"{_FORMATS}::test_a_clip_is_48_khz_stereo_float_of_exactly_its_length",
        ),
    ),
    Row(
        19,
        "FFmpeg is needed",
        "it is not; a file that cannot be read is named with the reason, the others go on",
        (
            f"{_FORMATS}::test_no_ffmpeg_program_is_needed_for_any_format",
            f"{_DATASET}/test_audio_file.py::test_what_a_file_is_says_its_content",
            f"{_DATASET}/test_scan.py::test_every_problem_is_named_and_the_good_ones_proceed",
            f"{_DATASET}/test_odd_folders.py::test_everything_odd_in_one_folder_is_reported_and_the_songs_train",
        ),
    ),
    Row(
        20,
        "track_01.txt is the caption",
        "one line, several, none, with a byte-order mark",
        (
            f"{_DATASET}/test_captions.py::test_textfile",
            f"{_DATASET}/test_captions.py::test_textfile_in_one_piece",
            f"{_DATASET}/test_captions.py::test_the_missing_file_is_named_and_long_names_are_shortened",
        ),
    ),
    Row(
        21,
        "track_01.lyrics may be there",
        "the default pattern, with and without",
        (
            f"{_DATASET}/test_lyrics_files.py::test_the_default_and_the_order",
            f"{_DATASET}/test_lyrics_files.py::test_encodings_empty_and_missing",
        ),
    ),
    Row(
        22,
        "{filename}_lyrics.txt",
        "each token, absolute paths, sub-folders",
        (
            f"{_DATASET}/test_lyrics_files.py::test_each_token_of_the_pattern",
            f"{_DATASET}/test_lyrics_files.py::test_a_relative_folder_and_a_pattern_with_parent",
            f"{_CONTRACT}/test_backends.py::test_the_seeds_lyrics_pattern",
            f"{_SEED_RUN}::test_the_quickstarts_lyrics_pattern_and_embedder_train_too",
        ),
    ),
    Row(
        23,
        "songs without lyrics train with none",
        "zeroed and counted, with advice",
        (
            "tests/unit/batches/test_reader.py::test_pieces_without_known_words_train_without_and_are_counted",
            "tests/tui/test_wizard_review.py::test_the_notes_about_lyrics",
            f"{_SEED_RUN}::test_the_quickstarts_lyrics_pattern_and_embedder_train_too",
        ),
    ),
    Row(
        24,
        "train env=NAME",
        "finds config/NAME/config.json, takes values behind it",
        (
            "tests/worker/test_front_end.py::test_train_env_and_run_env_are_the_same_run",
            "tests/unit/headless/test_cli.py::test_what_a_training_is_asked_for",
            f"{_CONTRACT}/test_resolve.py::test_where_a_configuration_is_looked_for",
        ),
    ),
    Row(
        25,
        "looks for config.json in config/NAME",
        "every path tried is listed, names that exist are suggested",
        (f"{_CONTRACT}/test_resolve.py::test_every_path_tried_is_listed_and_existing_names_are_suggested",),
    ),
    Row(
        26,
        "--init_lora=/path",
        "every dialect is read, none matching is an error, the first loss is the file's",
        (
            f"{_CONTRACT}/test_file_rules.py::test_the_override_of_the_quickstart_reaches_the_rules",
            f"{_TRAIN}/test_init_lora.py::test_the_first_loss_is_that_of_the_file",
            f"{_TRAIN}/test_init_lora.py::test_a_file_of_another_model_is_refused",
            "tests/unit/export/test_adapter_file.py::test_every_dialect_is_read_as_the_canonical_form",
        ),
    ),
    Row(
        27,
        "an official or community LoRA",
        "rank and strength come from the file",
        (
            f"{_TRAIN}/test_init_lora.py::test_a_file_of_rank_128_in_a_configuration_of_rank_16",
            f"{_TRAIN}/test_init_lora.py::test_every_module_keeps_its_own_rank_and_strength",
            "tests/unit/export/test_adapter_file.py::test_scale_comes_from_the_first_place_that_says_it",
        ),
    ),
    Row(
        28,
        "lyrics_embedder_train",
        "its three modules train with their own weights; lycoris is refused",
        (
            f"{_EMBEDDER}::test_all_three_modules_are_trained_with_their_own_weights_and_the_adapter",
            f"{_EMBEDDER}::test_one_step_matches_the_hand_written_one",
            f"{_CONTRACT}/test_values.py::test_bad_value_is_one_line_with_file_key_value_reason_and_what_is_accepted",
        ),
    ),
    Row(
        29,
        "its three overrides, cosine_with_restarts",
        "an optimizer and a schedule of its own, also without warm-up",
        (
            f"{_SEED}::test_the_quickstarts_lyrics_embedder",
            f"{_EMBEDDER}::test_case_c_an_optimizer_and_a_schedule_of_its_own",
            "tests/unit/optim/test_schedule.py::test_curves_at_known_points",
            f"{_SEED_RUN}::test_the_quickstarts_lyrics_pattern_and_embedder_train_too",
        ),
    ),
    Row(
        30,
        "saved with the LoRA, restored on resume",
        "bit for bit",
        (
            f"{_EMBEDDER}::test_saved_changed_and_restored_it_is_bit_equal",
            "tests/worker/test_optimizers.py::test_resumed_equals_uninterrupted",
        ),
    ),
    Row(
        31,
        "num_validation_images above 1",
        "an error of the configuration",
        (f"{_CONTRACT}/test_prompt_library.py::test_more_than_one_clip_of_a_prompt_is_refused",),
    ),
    Row(
        32,
        "CLIP score",
        "an error of the configuration",
        (f"{_CONTRACT}/test_prompt_library.py::test_scores_of_pictures_are_refused",),
    ),
    Row(
        33,
        "out of memory: train_batch_size, gradient_checkpointing",
        "both are named with their values, exit code 3, the last save point is kept",
        ("tests/worker/test_out_of_memory.py::test_what_helps_is_named_with_its_values_and_the_last_save_point_stays",),
    ),
    Row(
        34,
        "the migration table",
        "every row and default, and `migrate` for a whole command line",
        (
            f"{_MIGRATE}::test_each_row_of_the_migration_table_and_its_default",
            f"{_MIGRATE}::test_options_and_what_the_trainer_does_by_itself",
            f"{_MIGRATE}::test_every_option_of_the_trainer_is_told_or_listed_as_without_an_equivalent",
            f"{_CONTRACT}/test_fields.py::test_default_is_that_of_the_specification",
        ),
    ),
    Row(
        35,
        "mixed_precision fp16, bf16, no",
        "with upstream's names of them (32, bf16-mixed, …)",
        (
            f"{_CONTRACT}/test_values.py::test_written_value",
            f"{_MIGRATE}::test_options_and_what_the_trainer_does_by_itself",
        ),
    ),
    Row(
        36,
        "checkpointing_steps",
        "the same as checkpoint_step_interval, 2000 by default",
        (
            f"{_CONTRACT}/test_values.py::test_written_value",
            f"{_CONTRACT}/test_fields.py::test_default_is_that_of_the_specification",
        ),
    ),
    Row(
        37,
        "flow_schedule_shift 3.0",
        "the table of 1000 levels of noise; a half becomes three quarters",
        (
            "tests/unit/objective/test_timesteps.py::test_shift_three_sends_one_half_to_three_quarters",
            "tests/unit/objective/test_timesteps.py::test_table_descends_from_one_without_repeats",
        ),
    ),
    Row(
        38,
        "the converter's data set is used directly",
        "tags joined, norm_lyrics, one cache entry for all copies",
        (f"{_DATASET}/test_hub_songs.py::test_the_converters_folder_gives_one_song_for_all_its_copies",),
    ),
    Row(
        39,
        "that data set has no id, no metadata_backend, no strategy",
        "an id is made, the others follow",
        (f"{_HUB}::test_the_seeds_converted_data_set_needs_no_id_no_metadata_backend_and_no_strategy",),
    ),
    Row(
        40,
        "keys of the config block",
        "config before huggingface before the data set itself",
        (f"{_HUB}::test_columns_may_stand_in_three_places",),
    ),
)


def page() -> str:
    """docs/acceptance.md."""
    lines = [
        "# The quickstart, statement by statement",
        "",
        "Made by `python -m tests.acceptance.section10`; do not edit. Each statement of SimpleTuner's ACE-Step",
        "quickstart, what it means here, and the tests that prove it.",
        "",
        "| # | quickstart | here | tests |",
        "|---|---|---|---|",
    ]
    for row in ROWS:
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in row.tests)
        lines.append(f"| {row.number} | {row.statement} | {row.behaviour} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
