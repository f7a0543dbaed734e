"""The pages of the set-up are read from the declarations: nothing works without a place, nothing has two."""

from __future__ import annotations

from collections import Counter

import pytest

from acestep_tui.wizard.fields import MAX_MAIN_FIELDS, STEP_IDS, STEPS, label, main_fields, more_fields
from engine.contract.fields import SETTINGS
from engine.contract.fields_base import Setting
from tests.each import of_each

OFFERED = [setting for setting in SETTINGS if setting.is_offered]


def keys_of(step, settings=SETTINGS):
    main = [one.key for one in main_fields(step, settings)]
    more = [one.key for group in more_fields(step, settings) for one in group.settings]
    return main, more


def test_every_setting_that_works_stands_on_exactly_one_page():
    places = Counter(key for step in STEP_IDS for keys in keys_of(step) for key in keys)
    own_way = {setting.key for setting in OFFERED if setting.main_order < 0}
    features = {"ssl_models", "ssl_accept_non_commercial"}
    assert own_way == {"goal", "exclude_files", "instrumental_files", "data_backend_config"} | features
    assert places == Counter(setting.key for setting in OFFERED if setting.key not in own_way)


def test_what_works_and_is_not_offered_has_only_one_value():
    left = [setting for setting in SETTINGS if setting.status == "works" and not setting.is_offered]
    assert left
    for setting in left:
        assert len(setting.working_choices) == 1, setting.key
        assert not setting.nullable, setting.key


@pytest.mark.parametrize(("section", "step"), [("Optimizer", "schedule"), ("Something new", "review")])
def test_a_new_setting_appears_by_being_declared(section, step):
    new = Setting("brand_new", "int", 3, section, "Brand new", "Does something new.", minimum=0)
    assert "brand_new" in keys_of(step, (*SETTINGS, new))[1]


def test_a_setting_that_begins_to_work_takes_its_place_among_the_five():
    import dataclasses

    before = [dataclasses.replace(one, status="later") if one.key == "init_lora" else one for one in SETTINGS]
    assert "init_lora" not in keys_of("method", before)[0]
    assert "init_lora" in keys_of("method")[0]
    assert len(keys_of("method")[0]) == MAX_MAIN_FIELDS


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)
def test_a_page_has_at_most_five_fields_and_only_what_works(step):
    main = main_fields(step.id)
    assert 1 <= len(main) <= MAX_MAIN_FIELDS
    assert all(one.status == "works" for one in main)
    assert [one.main_order for one in main] == sorted(one.main_order for one in main)
    assert all(one.status == "works" for group in more_fields(step.id) for one in group.settings)


def test_the_mock_ups_fields_stand_in_their_order():
    wanted = {
        "hardware": ["Model precision", "Save memory by", "Songs at once", "Longest piece", "Compile"],
        "method": ["Train", "Rank", "Where it learns", "Lyric reader", "Start from"],
        "schedule": ["Steps", "Songs per step", "Learning rate", "Test song", "Every"],
    }
    assert {step: [label(one) for one in main_fields(step, with_coming=True)] for step in wanted} == wanted


def test_more_settings_are_found_by_every_word():
    def found(text):
        return {one.key for group in more_fields("schedule", text=text) for one in group.settings}

    assert found("warm") == {"lr_warmup_steps"}
    assert {"adam_beta1", "adam_beta2"} <= found("adam beta")
    assert not found("adam nonsense")
    assert found("") > found("adam")


@of_each("setting", OFFERED, ids=lambda setting: setting.key)
def test_words_belong_to_values_that_exist(setting):
    known = {"null"} if setting.nullable else set()
    if setting.type == "bool":
        known |= {"true", "false"}
    known |= set(setting.choices) | set(setting.words)
    for name, word in setting.value_words:
        assert word
        assert name in known or (setting.type in ("int", "float") and name.isdigit()), name
    assert len(setting.suits) <= 30
