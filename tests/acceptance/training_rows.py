"""Rows 24 to 37: the quickstart's commands, what they train, and what they refuse."""

from __future__ import annotations

from tests.acceptance import files
from tests.acceptance.row import Row

TRAINING_ROWS: tuple[Row, ...] = (
    Row(
        24,
        "train env=NAME",
        "finds config/NAME/config.json, takes values behind it",
        (
            "tests/worker/test_front_end.py::test_train_env_and_run_env_are_the_same_run",
            f"{files.QUICKSTART}::test_every_command_works_as_it_stands",
            "tests/unit/headless/test_cli.py::test_what_a_training_is_asked_for",
            f"{files.CONTRACT}/test_resolve.py::test_where_a_configuration_is_looked_for",
        ),
    ),
    Row(
        25,
        "looks for config.json in config/NAME",
        "every path tried is listed, names that exist are suggested",
        (f"{files.CONTRACT}/test_resolve.py::test_every_path_tried_is_listed_and_existing_names_are_suggested",),
    ),
    Row(
        26,
        "--init_lora=/path",
        "every dialect is read, none matching is an error, the first loss is the file's",
        (
            f"{files.CONTRACT}/test_file_rules.py::test_the_override_of_the_quickstart_reaches_the_rules",
            f"{files.TRAIN}/test_init_lora.py::test_the_first_loss_is_that_of_the_file",
            f"{files.TRAIN}/test_init_lora.py::test_a_file_of_another_model_is_refused",
            "tests/unit/export/test_adapter_file.py::test_every_dialect_is_read_as_the_canonical_form",
        ),
    ),
    Row(
        27,
        "an official or community LoRA",
        "rank and strength come from the file",
        (
            f"{files.TRAIN}/test_init_lora.py::test_a_file_of_rank_128_in_a_configuration_of_rank_16",
            f"{files.TRAIN}/test_init_lora.py::test_every_module_keeps_its_own_rank_and_strength",
            "tests/unit/export/test_adapter_file.py::test_scale_comes_from_the_first_place_that_says_it",
        ),
    ),
    Row(
        28,
        "lyrics_embedder_train",
        "its three modules train with their own weights; lycoris is refused",
        (
            f"{files.EMBEDDER}::test_all_three_modules_are_trained_with_their_own_weights_and_the_adapter",
            f"{files.EMBEDDER}::test_one_step_matches_the_hand_written_one",
            f"{files.CONTRACT}/test_values.py::test_bad_value_is_one_line_with_file_key_value_reason_and_what_is_accepted",
        ),
    ),
    Row(
        29,
        "its three overrides, cosine_with_restarts",
        "an optimizer and a schedule of its own, also without warm-up",
        (
            f"{files.SEED}::test_the_quickstarts_lyrics_embedder",
            f"{files.EMBEDDER}::test_case_c_an_optimizer_and_a_schedule_of_its_own",
            "tests/unit/optim/test_schedule.py::test_curves_at_known_points",
            f"{files.SEED_RUN}::test_the_quickstarts_lyrics_pattern_and_embedder_train_too",
        ),
    ),
    Row(
        30,
        "saved with the LoRA, restored on resume",
        "bit for bit",
        (
            f"{files.EMBEDDER}::test_saved_changed_and_restored_it_is_bit_equal",
            "tests/worker/test_optimizers.py::test_resumed_equals_uninterrupted",
            "tests/worker/test_optimizers.py::test_the_quickstarts_curve_goes_on_bit_for_bit",
            f"{files.TRAIN}/test_resume.py::test_a_curve_goes_on_as_it_began_and_all_else_takes_the_changed_rate",
        ),
    ),
    Row(
        31,
        "num_validation_images above 1",
        "an error of the configuration",
        (f"{files.CONTRACT}/test_prompt_library.py::test_more_than_one_clip_of_a_prompt_is_refused",),
    ),
    Row(
        32,
        "CLIP score",
        "an error of the configuration",
        (f"{files.CONTRACT}/test_prompt_library.py::test_scores_of_pictures_are_refused",),
    ),
    Row(
        33,
        "out of memory: train_batch_size, gradient_checkpointing",
        "both are named with their values, exit code 3, the last save point is kept",
        ("tests/worker/test_out_of_memory.py::test_fewer_digits_only_with_consent_and_exit_3_at_the_end",),
    ),
    Row(
        34,
        "the migration table",
        "every row and default, and `migrate` for a whole command line",
        (
            f"{files.MIGRATE}::test_each_row_of_the_migration_table_and_its_default",
            f"{files.MIGRATE}::test_options_and_what_the_trainer_does_by_itself",
            f"{files.MIGRATE}::test_every_option_of_the_trainer_is_told_or_listed_as_without_an_equivalent",
            f"{files.CONTRACT}/test_fields.py::test_default_is_that_of_the_specification",
        ),
    ),
    Row(
        35,
        "mixed_precision fp16, bf16, no",
        "with upstream's names of them (32, bf16-mixed, …)",
        (
            f"{files.CONTRACT}/test_values.py::test_written_value",
            f"{files.MIGRATE}::test_options_and_what_the_trainer_does_by_itself",
        ),
    ),
    Row(
        36,
        "checkpointing_steps",
        "the same as checkpoint_step_interval, 2000 by default",
        (
            f"{files.CONTRACT}/test_values.py::test_written_value",
            f"{files.CONTRACT}/test_fields.py::test_default_is_that_of_the_specification",
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
)
