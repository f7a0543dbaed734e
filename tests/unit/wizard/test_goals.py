"""Goals propose only what works, with reasons that fit."""

from __future__ import annotations

import dataclasses

import pytest

from acestep_tui.wizard.fields import main_fields
from acestep_tui.wizard.goals import GOALS, adapter_bytes, goal_values
from engine.contract.fields import SETTINGS_BY_KEY
from engine.planning.sizes import published_sizes

ALL_WORK = {
    key: dataclasses.replace(setting, status="works", later_values=()) for key, setting in SETTINGS_BY_KEY.items()
}


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.id)
@pytest.mark.parametrize("settings", [SETTINGS_BY_KEY, ALL_WORK], ids=["today", "all"])
def test_each_value_works_and_its_reason_fits_under_its_field(goal, settings):
    for key, advice in goal_values(goal.id, settings=settings).items():
        assert settings[key].status == "works"
        assert advice.value not in settings[key].later_values
        assert advice.reason
        assert len(advice.reason) <= 55, advice.reason


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.id)
def test_a_goal_sets_every_field_of_its_page(goal):
    assert {one.key for one in main_fields("method")} <= goal_values(goal.id).keys()
    assert {one.key for one in main_fields("method", tuple(ALL_WORK.values()))} <= goal_values(
        goal.id, settings=ALL_WORK
    ).keys()


def test_a_new_language_alone_trains_the_lyric_reader():
    trains = {goal.id: goal_values(goal.id)["lyrics_embedder_train"].value for goal in GOALS}
    assert trains == {"voice": False, "style": False, "instrumental": False, "language": True}


def test_the_file_is_as_large_as_its_parts():
    # 24 blocks of eight 2560 x 2560 projections, six layers of three 1024 x 1024; 16-bit numbers.
    parts = 24 * 8 * 64 * (2560 + 2560) + 6 * 3 * 64 * (1024 + 1024)
    assert adapter_bytes(64, "attn_qkv+linear_qkv", published_sizes()) == 2 * parts
    assert goal_values("voice")["model_type"].reason == "A small add-on file: 124 MB. Full training: 80 GB card."


def test_no_goal_proposes_nothing():
    assert goal_values("") == {}
