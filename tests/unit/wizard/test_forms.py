"""Text to value, value to text, and the arrow keys: for every setting that is offered."""

from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_tui.wizard.forms import MAX_ERROR_LENGTH, Parsed, accept, choices, field_of, note, parse, show, step_value
from engine.contract.fields import SETTINGS
from tests.each import of_each

OFFERED = [setting for setting in SETTINGS if setting.is_offered]
NUMBERS = [setting for setting in OFFERED if setting.type in ("int", "float")]


@of_each("setting", OFFERED, ids=lambda setting: setting.key)
def test_what_is_shown_can_be_typed(setting):
    values = [choice.value for choice in choices(setting)] or [setting.default]
    for value in values:
        text = show(setting, value)
        parsed = parse(setting, text)
        assert not parsed.error
        # Several values may share a word: then the first of them is meant.
        assert show(setting, parsed.value) == text


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("lora_rank", "64", 64),
        ("max_train_steps", "2,000", 2000),
        ("max_train_steps", "2 000", 2000),
        ("max_train_steps", "2_000", 2000),
        ("max_train_steps", "2e3", 2000),
        ("max_train_steps", "2,000 steps", 2000),
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", "0.00005", 5e-5),
        ("audio_max_duration_seconds", "1 min 30 s", 90.0),
        ("audio_max_duration_seconds", "1:30", 90.0),
        ("audio_max_duration_seconds", "90", 90.0),
        ("audio_max_duration_seconds", "2 min", 120.0),
        ("audio_max_duration_seconds", "4 min 00 s", None),
        ("gradient_checkpointing", "Recomputing", True),
        ("gradient_checkpointing", "no", False),
        ("validation_on_startup", "yes", True),
        ("acestep_lora_target", "attention only", "attn_qkv"),
        ("acestep_lora_target", "attn_qkv", "attn_qkv"),
        ("lora_alpha", "none", None),
        ("instance_prompt", "a, b", ("a", "b")),
        ("audio_duration_interval", "auto", "auto"),
    ],
)
def test_people_write_values_in_several_ways(key, text, value):
    assert parse(field_of(key), text) == Parsed(value)


@pytest.mark.parametrize(
    ("key", "text", "error"),
    [
        ("lora_rank", "0", "at least 1; 64 suits a voice"),
        ("lora_rank", "many", "a whole number is needed; 64 suits a voice"),
        ("lora_rank", "1.5", "a whole number is needed; 64 suits a voice"),
        ("learning_rate", "2", "at most 1; 0.0001 is usual"),
        ("learning_rate", "nan", "a number is needed; 0.0001 is usual"),
        ("learning_rate", "inf", "a number is needed; 0.0001 is usual"),
        ("learning_rate", "0,5", "write it with a point: 0.5"),
        ("validation_audio_duration", "300", "at most 240; 30 is usual"),
        ("validation_audio_duration", "0", "above 0; 30 is usual"),
        ("lora_dropout", "1", "below 1; 0.1 is usual"),
        ("mixed_precision", "fp8", "fp8 is not supported"),
        ("base_model_precision", "fp8-quanto", "not one of the choices; ↓ shows them"),
        ("lr_scheduler", "zigzag", "not one of the choices; ↓ shows them"),
        ("gradient_checkpointing", "perhaps", "yes or no"),
    ],
)
def test_an_error_is_one_short_sentence(key, text, error):
    assert parse(field_of(key), text).error == error


def test_an_emptied_field_asks_for_the_recommendation():
    assert parse(field_of("lora_rank"), "  ") == Parsed(is_empty=True)


@given(text=st.text(max_size=40), setting=st.sampled_from(OFFERED))
def test_no_text_raises_and_every_error_fits(text, setting):
    parsed = parse(setting, text)
    assert len(parsed.error) <= MAX_ERROR_LENGTH
    if not parsed.error and not parsed.is_empty and parsed.value is not None:
        assert not accept(setting, parsed.value).error


@of_each("setting, direction", product(OFFERED, [1, -1]), ids=lambda case: f"{case[0].key} {case[1]:+}")
def test_arrow_keys_stay_among_accepted_values(setting, direction):
    value = setting.default
    for _ in range(12):
        value = step_value(setting, value, direction)
        assert value is None or not accept(setting, value).error


@given(setting=st.sampled_from(NUMBERS), value=st.floats(min_value=0, max_value=1e6))
def test_up_is_more_and_down_is_less(setting, value):
    value = accept(setting, value if setting.type == "float" else int(value)).value
    if value is None:
        return
    up, down = step_value(setting, value, 1), step_value(setting, value, -1)
    assert down <= value <= up
    assert math.isfinite(up) and math.isfinite(down)


@pytest.mark.parametrize(
    ("key", "value", "down", "up"),
    [
        ("lora_rank", 64, 32, 128),
        ("lora_rank", 48, 32, 64),
        ("lora_rank", 1, 1, 2),
        ("learning_rate", 1e-4, 5e-5, 2e-4),
        ("learning_rate", 5e-5, 2e-5, 1e-4),
        ("max_train_steps", 2000, 1750, 2250),
        ("max_train_steps", 1000, 950, 1250),
        ("validation_step_interval", 250, 200, 300),
        ("audio_max_duration_seconds", 120.0, 60.0, 240.0),
        ("lora_dropout", 0.1, 0.05, 0.15),
        ("validation_audio_duration", 30.0, 25.0, 35.0),
        ("seed", 42, 41, 43),
    ],
)
def test_numbers_step_sensibly(key, value, down, up):
    setting = field_of(key)
    assert (step_value(setting, value, -1), step_value(setting, value, 1)) == (pytest.approx(down), pytest.approx(up))


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("max_train_steps", 2000, "2,000"),
        ("learning_rate", 1e-4, "0.0001"),
        ("lr_end", 4e-7, "0.0000004"),
        ("audio_max_duration_seconds", None, "4 min 00 s"),
        ("audio_max_duration_seconds", 60.0, "1 min 00 s"),
        ("audio_max_duration_seconds", 30.0, "30 s"),
        ("gradient_checkpointing", False, "nothing"),
        ("validation_prompt", None, "none"),
        ("data_backend_config", ({"id": "a"},), "1 data set"),
        ("exclude_files", ("a.flac", "b.flac"), "a.flac, b.flac"),
    ],
)
def test_values_are_shown_as_people_read_them(key, value, text):
    assert show(field_of(key), value) == text


def test_a_word_may_name_another_value():
    precision = field_of("base_model_precision")
    assert show(precision, "no_change", {"mixed_precision": "fp16"}) == "as it is (fp16)"
    assert show(precision, "no_change", {"mixed_precision": "no"}) == "as it is (fp32)"
    assert show(precision, "int8-quanto") == "int8"


def test_choices_that_do_nothing_yet_are_never_offered():
    for setting in OFFERED:
        assert not {choice.value for choice in choices(setting)} & set(setting.later_values)
    assert [choice.word for choice in choices(field_of("compile"))] == ["automatic", "yes", "no"]
    precisions = choices(field_of("base_model_precision"))
    assert [choice.word for choice in precisions] == ["as it is (bf16)", "int8", "int4"]


def test_an_unusual_value_is_accepted_with_a_note():
    assert parse(field_of("lora_rank"), "512").value == 512
    assert "8 to 128 is usual" in note(field_of("lora_rank"), 512)
    assert not note(field_of("lora_rank"), 64)
    assert "4 minutes" in note(field_of("audio_max_duration_seconds"), 300.0)
