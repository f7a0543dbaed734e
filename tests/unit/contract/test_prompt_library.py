"""Which test clips a configuration asks for (config-formats.md section 6)."""

from __future__ import annotations

import json

import pytest

from engine.contract.config import Config
from engine.contract.errors import ConfigError
from engine.contract.prompt_library import asks_for_clips, clip_texts
from engine.contract.prompts import BUILT_IN_PROMPTS


def texts(**settings):
    return clip_texts(Config.from_dict(settings))


def names(**settings):
    return [text.name for text in texts(**settings)]


def alone(**settings):
    """Without the clip of the empty prompt."""
    return texts(**settings, validation_disable_unconditional=True)


@pytest.fixture
def library(tmp_path):
    def write(value):
        path = tmp_path / "prompts.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(path)

    return write


def test_nothing_is_asked_for_by_default():
    assert names() == []
    assert names(validation_prompt="pop", validation_disable=True) == []


def test_the_prompt_of_a_configuration_comes_first():
    (only,) = texts(validation_prompt="pop", validation_lyrics="la")
    assert (only.name, only.prompt, only.lyrics) == ("validation", "pop", "la")
    assert texts(validation_prompt="pop")[0].lyrics == ""


def test_the_built_in_prompts_are_twelve_and_two_have_no_voice():
    found = alone(validation_prompt_library="audio")
    assert len(found) == 12 == len({text.name for text in found})
    assert sum(not text.lyrics for text in found) == 2
    assert all("instrumental" in text.prompt for text in found if not text.lyrics)
    both = alone(validation_prompt="pop", validation_prompt_library="music")
    assert [text.name for text in both] == ["validation", *BUILT_IN_PROMPTS]


@pytest.mark.parametrize(
    ("written", "meant"),
    [(True, "audio"), ("true", "audio"), ("Music", "music"), (False, None), ("off", None), (None, None)],
)
def test_true_and_the_two_names_mean_the_built_in_prompts(resolved, written, meant):
    assert resolved({"validation_prompt_library": written}).config.validation_prompt_library == meant


def test_another_name_is_refused(refused):
    (line,) = refused({"validation_prompt_library": "animals"})
    assert "audio, music" in line


def test_a_file_of_prompts_has_two_forms(library):
    path = library({"short": "jazz trio", "long": {"prompt": "choir", "lyrics": "[verse]\nah"}})
    assert [(text.name, text.prompt, text.lyrics) for text in alone(user_prompt_library=path)] == [
        ("short", "jazz trio", ""),
        ("long", "choir", "[verse]\nah"),
    ]


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("{", "not valid JSON"),
        (["a"], "not an object"),
        ({}, "no prompt"),
        ({"a": 3}, "a: neither a text nor an object"),
        ({"a": {"lyrics": "la"}}, "a: it has no prompt"),
        ({"a": ""}, "a: it has no prompt"),
        ({"a": {"prompt": "x", "lyrics": 3}}, "a: its lyrics"),
    ],
)
def test_a_bad_file_of_prompts_is_refused_before_anything_starts(refused, library, value, part):
    path = library(value)
    (line,) = refused({"user_prompt_library": path})
    assert part in line and "user_prompt_library" in line
    with pytest.raises(ConfigError, match="user_prompt_library"):
        texts(user_prompt_library=path)


def test_a_missing_file_of_prompts_is_refused(refused, tmp_path):
    (line,) = refused({"user_prompt_library": "nowhere.json"})
    assert f"{tmp_path / 'nowhere.json'} cannot be read" in line


def test_names_are_unique_and_fit_any_disk(library):
    path = library({"a/b": "x", "a:b": "x", "A-B": "x", "ção!": "x", "...": "x", "x" * 90: "x", "solo_ema": "x"})
    found = [text.name for text in alone(user_prompt_library=path)]
    assert found == ["a-b", "a-b-2", "A-B-3", "ção", "prompt", "x" * 40, "solo-ema"]
    assert len({name.casefold() for name in found}) == len(found)
    both = alone(validation_prompt="pop", user_prompt_library=library({"validation": "x"}))
    assert [text.name for text in both] == ["validation", "validation-2"]


def test_the_empty_prompt_goes_with_a_set_of_prompts(library):
    path = library({"a": "x"})
    assert texts(user_prompt_library=path)[-1].prompt == "" == texts(user_prompt_library=path)[-1].lyrics
    assert names(user_prompt_library=path) == ["a", "unconditional"]
    assert names(user_prompt_library=path, validation_disable_unconditional=True) == ["a"]
    assert names(validation_prompt="pop") == ["validation"]


def test_no_prompt_at_all_is_said(resolved, library):
    def codes(**settings):
        return [notice.code for notice in resolved(settings).notices]

    assert "no_clips" in codes()
    assert "no_clips" not in codes(validation_prompt="pop")
    assert "no_clips" not in codes(validation_prompt_library="audio")
    assert "no_clips" not in codes(user_prompt_library=library({"a": "x"}))


def test_more_than_one_clip_of_a_prompt_is_refused(refused):
    (line,) = refused({"num_validation_images": 2})
    assert "audio validation makes one clip per prompt; set 1" in line


@pytest.mark.parametrize("written", ["clip", "CLIP", "Clip"])
def test_scores_of_pictures_are_refused(refused, written):
    (line,) = refused({"evaluation_type": written})
    assert "CLIP score is for images" in line


def test_any_other_score_is_refused_too(refused):
    (line,) = refused({"evaluation_type": "fad"})
    assert "Accepted: none" in line


def test_keys_of_pictures_are_ignored_with_a_notice(resolved):
    written = {"validation_negative_prompt": "blurry", "validation_resolution": "512", "eval_steps_interval": 5}
    found = resolved({**written, "validation_noise_scheduler": "ddim", "validation_preview": True})
    ignored = {notice.key for notice in found.notices if notice.code == "ignored_setting"}
    assert ignored >= {*written, "validation_noise_scheduler", "validation_preview"}


def test_clips_of_the_data_set_are_refused(refused):
    (line,) = refused({"validation_using_datasets": True})
    assert "not supported" in line


@pytest.mark.parametrize(
    ("settings", "asks"),
    [
        ({}, False),
        ({"validation_prompt": "pop"}, True),
        ({"validation_prompt_library": "audio"}, True),
        ({"user_prompt_library": "x.json"}, True),
        ({"validation_prompt": "pop", "validation_disable": True}, False),
    ],
)
def test_the_screens_know_whether_clips_are_made(settings, asks):
    assert asks_for_clips(Config.from_dict(settings).get) is asks
