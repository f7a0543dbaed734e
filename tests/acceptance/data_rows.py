"""Rows 13 to 23 and 38 to 40: the quickstart's data sets, songs, captions and lyrics."""

from __future__ import annotations

from tests.acceptance import files
from tests.acceptance.row import Row

DATA_ROWS: tuple[Row, ...] = (
    Row(
        13,
        "hub data set (demo songs)",
        "accepted unchanged; caption and lyrics stay apart",
        (
            f"{files.HUB}::test_the_seeds_hub_data_set_is_accepted_unchanged",
            f"{files.DATASET}/test_hub_songs.py::test_the_demo_data_sets_columns_give_caption_and_lyrics_apart",
            "tests/worker/test_hub_data.py::test_a_run_downloads_unpacks_and_trains_then_another_needs_no_hub",
        ),
    ),
    Row(
        14,
        "the text_embeds entry, {model_family}",
        "the place of prepared captions, with ace_step filled in",
        (
            f"{files.CONTRACT}/test_backends.py::test_where_prepared_captions_are_kept",
            f"{files.SEED_RUN}::test_the_quickstarts_files_start_a_run_unchanged",
        ),
    ),
    Row(
        15,
        "caption_strategy",
        "textfile, filename, instanceprompt and huggingface; any other is refused",
        (
            f"{files.DATASET}/test_captions.py::test_textfile",
            f"{files.DATASET}/test_captions.py::test_filename",
            f"{files.DATASET}/test_captions.py::test_instance_prompts",
            f"{files.HUB}::test_captions_of_rows_come_from_columns_or_are_one_for_all",
            f"{files.CONTRACT}/test_backends.py::test_bad_entries",
        ),
    ),
    Row(
        16,
        "local data set, metadata_backend, disabled",
        "accepted unchanged; disabled takes it out",
        (
            f"{files.SEED}::test_the_quickstarts_local_data_set_is_read_as_it_is",
            f"{files.CONTRACT}/test_backends.py::test_the_seeds_local_file_is_accepted_unchanged",
            f"{files.CONTRACT}/test_backends.py::test_disabled_data_sets_are_skipped_whatever_stands_in_them",
        ),
    ),
    Row(
        17,
        ".wav .flac .aiff .alac",
        "48 kHz stereo float at the right pitch, from every rate, mono, stereo and 5.1, every depth",
        (
            f"{files.FORMATS}::test_pitch_and_length_from_the_file_to_48_khz_stereo",
            f"{files.FORMATS}::test_every_depth_is_read_to_its_last_bit",
            f"{files.FORMATS}::test_alac_in_m4a_and_under_its_own_name",
            f"{files.FORMATS}::test_a_clip_is_48_khz_stereo_float_of_exactly_its_length",
        ),
    ),
    Row(
        18,
        ".mp3 .ogg .m4a .aac .wma .opus",
        "the same",
        (
            f"{files.FORMATS}::test_pitch_and_length_from_the_file_to_48_khz_stereo",
            f"{files.FORMATS}::test_a_clip_is_48_khz_stereo_float_of_exactly_its_length",
        ),
    ),
    Row(
        19,
        "FFmpeg is needed",
        "it is not; a file that cannot be read is named with the reason, the others go on",
        (
            f"{files.FORMATS}::test_no_ffmpeg_program_is_needed_for_any_format",
            f"{files.DATASET}/test_audio_file.py::test_what_a_file_is_says_its_content",
            f"{files.DATASET}/test_scan.py::test_every_problem_is_named_and_the_good_ones_proceed",
            f"{files.DATASET}/test_odd_folders.py::test_everything_odd_in_one_folder_is_reported_and_the_songs_train",
        ),
    ),
    Row(
        20,
        "track_01.txt is the caption",
        "one line, several, none, with a byte-order mark",
        (
            f"{files.DATASET}/test_captions.py::test_textfile",
            f"{files.DATASET}/test_captions.py::test_textfile_in_one_piece",
            f"{files.DATASET}/test_captions.py::test_the_missing_file_is_named_and_long_names_are_shortened",
        ),
    ),
    Row(
        21,
        "track_01.lyrics may be there",
        "the default pattern, with and without",
        (
            f"{files.DATASET}/test_lyrics_files.py::test_the_default_and_the_order",
            f"{files.DATASET}/test_lyrics_files.py::test_encodings_empty_and_missing",
        ),
    ),
    Row(
        22,
        "{filename}_lyrics.txt",
        "each token, absolute paths, sub-folders",
        (
            f"{files.DATASET}/test_lyrics_files.py::test_each_token_of_the_pattern",
            f"{files.DATASET}/test_lyrics_files.py::test_a_relative_folder_and_a_pattern_with_parent",
            f"{files.CONTRACT}/test_backends.py::test_the_seeds_lyrics_pattern",
            f"{files.SEED_RUN}::test_the_quickstarts_lyrics_pattern_and_embedder_train_too",
        ),
    ),
    Row(
        23,
        "songs without lyrics train with none",
        "zeroed and counted, with advice",
        (
            "tests/unit/batches/test_reader.py::test_pieces_without_known_words_train_without_and_are_counted",
            "tests/tui/test_wizard_review.py::test_the_notes_about_lyrics",
            f"{files.SEED_RUN}::test_the_quickstarts_lyrics_pattern_and_embedder_train_too",
        ),
    ),
    Row(
        38,
        "the converter's data set is used directly",
        "tags joined, norm_lyrics, one cache entry for all copies",
        (f"{files.DATASET}/test_hub_songs.py::test_the_converters_folder_gives_one_song_for_all_its_copies",),
    ),
    Row(
        39,
        "that data set has no id, no metadata_backend, no strategy",
        "an id is made, the others follow",
        (f"{files.HUB}::test_the_seeds_converted_data_set_needs_no_id_no_metadata_backend_and_no_strategy",),
    ),
    Row(
        40,
        "keys of the config block",
        "config before huggingface before the data set itself",
        (f"{files.HUB}::test_columns_may_stand_in_three_places",),
    ),
)
