"""A draft's layers: what counts, where it came from, what comes back, what follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from acestep_tui.wizard.draft import Draft, slug
from acestep_tui.wizard.goals import GOALS, goal_values
from engine.planning.advice import Advice


@pytest.fixture
def draft():
    draft = Draft()
    draft.recommend({"train_batch_size": Advice(4, "Keeps the card busy."), "mixed_precision": Advice("bf16", "Best.")})
    return draft


def test_a_value_knows_where_it_came_from(draft):
    assert (draft.value("lora_rank"), draft.origin("lora_rank")) == (16, "default")
    assert (draft.value("train_batch_size"), draft.origin("train_batch_size")) == (4, "recommended")
    assert draft.reason("train_batch_size") == "Keeps the card busy."
    draft.set("train_batch_size", 2)
    assert (draft.value("train_batch_size"), draft.origin("train_batch_size")) == (2, "yours")
    assert draft.is_yours("train_batch_size")
    assert draft.reason("train_batch_size") == ""


def test_emptying_a_field_brings_the_recommendation_back(draft):
    draft.set("train_batch_size", 2)
    draft.unset("train_batch_size")
    assert draft.value("train_batch_size") == 4
    assert not draft.is_yours("train_batch_size")
    draft.unset("train_batch_size")
    assert draft.value("train_batch_size") == 4


def test_choosing_what_is_recommended_is_no_choice_of_yours(draft):
    draft.set("train_batch_size", 4)
    assert not draft.is_yours("train_batch_size")
    assert draft.reason("train_batch_size") == "Keeps the card busy."


def test_an_unknown_setting_is_refused(draft):
    with pytest.raises(KeyError):
        draft.set("no_such_setting", 1)


def test_a_goal_keeps_what_is_yours_and_counts_it(draft):
    assert draft.apply_goal("voice", goal_values("voice")) == 0
    assert (draft.value("lora_rank"), draft.value("goal")) == (64, "voice")
    draft.set("lora_rank", 16)
    assert draft.apply_goal("language", goal_values("language")) == 1
    assert draft.value("lora_rank") == 16
    draft.unset("lora_rank")
    assert draft.value("lora_rank") == 128
    assert draft.apply_goal("instrumental", goal_values("instrumental")) == 0
    assert (draft.value("lora_rank"), draft.value("acestep_lora_target")) == (32, "attn_qkv")


def test_every_goal_is_one_of_the_settings_choices():
    from engine.contract.fields import SETTINGS_BY_KEY

    assert tuple(goal.id for goal in GOALS) == SETTINGS_BY_KEY["goal"].choices


def test_a_shorter_piece_brings_pieces_and_a_whole_song_takes_them_away(draft):
    draft.set("audio_max_duration_seconds", 60.0)
    assert draft.value("long_clip") == "pieces"
    assert not draft.is_yours("long_clip")
    draft.set("audio_max_duration_seconds", 240.0)
    assert draft.value("audio_max_duration_seconds") is None
    assert draft.value("long_clip") is None
    draft.set("audio_max_duration_seconds", 30.0)
    draft.unset("audio_max_duration_seconds")
    assert draft.value("long_clip") is None


def test_what_you_chose_yourself_follows_nothing(draft):
    draft.set("long_clip", "cut")
    draft.set("audio_max_duration_seconds", 60.0)
    assert draft.value("long_clip") == "cut"
    draft.unset("audio_max_duration_seconds")
    assert draft.value("long_clip") == "cut"


def test_save_points_follow_the_test_clips(draft):
    draft.set("validation_step_interval", 200)
    assert draft.value("checkpointing_steps") == 200
    draft.set("checkpointing_steps", 500)
    draft.set("validation_step_interval", 100)
    assert draft.value("checkpointing_steps") == 500


def test_steps_and_passes_replace_each_other(draft):
    draft.set("max_train_steps", 2000)
    draft.set("num_train_epochs", 30)
    assert draft.value("max_train_steps") == 0
    draft.set("max_train_steps", 1500)
    assert draft.value("num_train_epochs") == 0
    assert draft.value("max_train_steps") == 1500


def test_another_folder_keeps_the_marks_of_the_one_before(draft):
    draft.set_source("~/a", "instance_data_dir", "/music/a", album="Night Ferry")
    draft.toggle_left_out("01.flac")
    draft.toggle_no_voice("02.flac")
    draft.set_source("~/b", "data_backend_config", "/music/b.json", album="B")
    assert (draft.left_out, draft.no_voice) == (frozenset(), frozenset())
    assert draft.value("instance_data_dir") is None
    draft.set_source("~/a", "instance_data_dir", "/music/a", album="Night Ferry")
    assert (draft.left_out, draft.no_voice) == ({"01.flac"}, {"02.flac"})
    assert not draft.toggle_left_out("01.flac")
    assert draft.left_out == frozenset()


def test_the_name_is_the_album_until_you_give_one(draft):
    assert draft.shown_name == "new run"
    draft.set_source("~/a", "instance_data_dir", "/music/a", album="Night Ferry (live)")
    assert draft.name == "night-ferry-live"
    draft.name_it("My run")
    draft.set_source("~/b", "instance_data_dir", "/music/b", album="Other")
    assert draft.name == "My run"


def test_the_run_folder_is_new(draft, tmp_path: Path):
    draft.name_it("Night Ferry")
    draft.propose_output_dir(tmp_path, "2026-11-22_1349")
    assert draft.value("output_dir") == str(tmp_path / "2026-11-22_1349_night-ferry")
    (tmp_path / "2026-11-22_1349_night-ferry").mkdir()
    draft.propose_output_dir(tmp_path, "2026-11-22_1349")
    assert draft.value("output_dir") == str(tmp_path / "2026-11-22_1349_night-ferry-2")
    draft.set("output_dir", "/elsewhere")
    draft.propose_output_dir(tmp_path, "2026-11-22_1400")
    assert draft.value("output_dir") == "/elsewhere"


@pytest.mark.parametrize(
    ("text", "name"),
    [("Night Ferry", "night-ferry"), ("Åland & Ö", "aland-o"), ("夜の港", "夜の港"), ("///", ""), ("a" * 80, "a" * 40)],
)
def test_any_text_makes_a_folder_name(text, name):
    assert slug(text) == name


def test_visited_pages_are_kept_in_order(draft):
    for step in ("model", "dataset", "hardware"):
        draft.visit(step)
    assert (draft.step, draft.visited) == ("hardware", ["hardware", "model", "dataset"])


def test_only_what_was_chosen_makes_a_draft_worth_keeping():
    draft = Draft()
    draft.visit("model")
    draft.recommend({"lora_rank": Advice(64, "fits")})
    assert not draft.has_choices
    draft.set("lora_rank", 64)
    assert draft.has_choices
    draft.unset("lora_rank")
    assert not draft.has_choices
    draft.device = "cpu"
    assert not draft.has_choices, "the device is settled by the planning too"
    assert Draft(source="/songs").has_choices
    opened = Draft()
    opened.set("lora_rank", 8, layer="preset")
    assert opened.has_choices
