"""Rows 1 to 12: what the quickstart asks of a computer, and its config.json."""

from __future__ import annotations

from tests.acceptance import files
from tests.acceptance.row import Row

SETUP_ROWS: tuple[Row, ...] = (
    Row(
        1,
        "v1 3.5B, flow matching, text and lyrics",
        "only ace_step / base; one step runs on weights of the same names",
        (
            f"{files.CONTRACT}/test_values.py::test_bad_value_is_one_line_with_file_key_value_reason_and_what_is_accepted",
            "tests/unit/model/test_tiny.py::test_a_clip_goes_through_codec_and_transformer",
            f"{files.SEED_RUN}::test_the_quickstarts_files_start_a_run_unchanged",
            f"{files.QUICKSTART}::test_every_command_works_as_it_stands",
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
            f"{files.POLICY}::test_the_estimate_of_a_minute_is_within_five_per_cent_of_its_file",
            "tests/worker/test_cache_build.py::test_a_run_says_what_much_preparing_takes",
            f"{files.TRAIN}/test_disk_guard.py::test_yes_turns_the_refusal_into_a_warning",
        ),
    ),
    Row(
        4,
        "--vae_cache_disable",
        "nothing is written, and the losses are those of a prepared run",
        (
            f"{files.SEED}::test_the_quickstarts_flag_behind_the_name",
            f"{files.POLICY}::test_without_a_cache_nothing_is_written_and_the_losses_are_those_of_a_prepared_run",
            "tests/worker/test_ssl_loss.py::test_features_made_in_the_middle_of_training_are_those_of_a_preparation",
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
            f"{files.MIGRATE}::test_files_that_are_there_are_never_overwritten_silently",
            "tests/tui/test_wizard_frame.py::test_the_preset_is_saved_where_one_says_and_the_command_names_it",
            "tests/tui/test_wizard_frame.py::test_the_command_does_not_replace_a_file_of_somebody_else",
        ),
    ),
    Row(
        8,
        "config.json of eight keys",
        "accepted unchanged, every other key at its default; a run starts",
        (
            f"{files.SEED}::test_the_files_are_those_of_the_quickstart",
            f"{files.SEED}::test_the_quickstarts_configuration_is_accepted_unchanged_and_has_its_defaults",
            f"{files.SEED_RUN}::test_the_quickstarts_files_start_a_run_unchanged",
            f"{files.QUICKSTART}::test_every_command_works_as_it_stands",
        ),
    ),
    Row(
        9,
        "resolution: 0",
        "any number is accepted",
        (f"{files.SEED}::test_resolution_is_accepted_whatever_number_it_is",),
    ),
    Row(
        10,
        "validation_prompt, lyrics, duration, guidance, step interval",
        "48 kHz clips of the right length at the right steps, each with a sidecar",
        (
            f"{files.TRAIN}/test_clips.py::test_a_clip_is_a_stereo_file_of_48_khz_with_a_whole_sidecar",
            f"{files.TRAIN}/test_occasions.py::test_clips_by_steps_and_at_the_end",
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
            f"{files.STEP}::test_the_step_differs_from_one_without_and_equals_it_bit_for_bit_where_nothing_is_chosen",
        ),
    ),
    Row(
        12,
        "warning that experimental features cost time",
        "said while the offset is above 0",
        (f"{files.CONTRACT}/test_rules_method.py::test_the_overhead_is_said_while_the_offset_is_above_zero",),
    ),
)
