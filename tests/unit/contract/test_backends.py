"""Data sets: keys, templates, the audio block and its layers, and every problem in one message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.contract.backends import AudioBlock, CaptionShuffle, LocalBackend, TextEmbeds, Window, load_backends
from engine.contract.config import Config
from engine.contract.errors import ConfigError

SEED = Path(__file__).parents[2] / "seed"


@pytest.fixture
def load(tmp_path):
    """Load a list of data sets, inline; the folder `songs` exists."""
    (tmp_path / "songs").mkdir()

    def load_entries(*entries, **settings):
        config = Config.from_dict({"data_backend_config": list(entries), "output_dir": "output/x", **settings})
        return load_backends(config, base_dir=tmp_path)

    return load_entries


def songs(**values):
    return {"id": "mine", "instance_data_dir": "songs", **values}


@pytest.fixture
def refused(load):
    def lines(*entries, **settings):
        with pytest.raises(ConfigError) as caught:
            load(*entries, **settings)
        assert caught.value.exit_code == 2
        return caught.value.message.splitlines()

    return lines


def test_the_seeds_local_file_is_accepted_unchanged(tmp_path):
    (tmp_path / "datasets/my_audio_files").mkdir(parents=True)
    (tmp_path / "sets.json").write_text((SEED / "multidatabackend_local.json").read_text())
    found = load_backends(Config.from_dict({"data_backend_config": "sets.json"}), base_dir=tmp_path)
    texts = TextEmbeds(id="text-embeds", cache_dir=tmp_path / "cache/text/ace_step")
    folder = str(tmp_path / "datasets/my_audio_files")
    assert found.training == (LocalBackend(id="my-audio-dataset", instance_data_dir=folder, text_embeds=texts),)
    assert found.text_cache_dir == tmp_path / "cache/text/ace_step"
    assert found.notices == ()


def test_the_seeds_lyrics_pattern(load):
    pattern = json.loads("{" + (SEED / "lyrics_pattern.jsonpart").read_text() + "}")
    assert load(songs(**pattern)).training[0].audio.lyrics_filename_format == "{filename}_lyrics.txt"


def test_an_unknown_word_in_the_braces_of_a_lyrics_pattern_is_named(load):
    found = load(songs(lyrics_filename_format="{bogus}.txt"))
    (notice,) = [one for one in found.notices if one.code == "unknown_token"]
    assert "{bogus} is kept as it stands" in notice.message and "{filename}" in notice.message
    assert found.training[0].audio.lyrics_filename_format == "{bogus}.txt"
    assert not load(songs(lyrics_filename_format="{filename}_{dirname}.txt")).notices


def test_defaults(load, tmp_path):
    (backend,) = load(songs()).training
    assert backend == LocalBackend(id="mine", instance_data_dir=str(tmp_path / "songs"))
    assert backend.audio == AudioBlock(duration_interval="auto", long_clip="cut", truncation_mode="beginning")


def test_every_key_arrives(load, tmp_path):
    (backend,) = load(
        songs(
            type="local",
            dataset_type="audio",
            instance_data_dir="songs/",
            caption_strategy="filename",
            instance_prompt=["a", "b"],
            prepend_instance_prompt=True,
            disable_multiline_split="yes",
            repeats="2",
            probability=0.5,
            train_batch_size=4,
            max_num_samples=10,
            cache_dir_vae="cache/vae/{model_family}/{id}",
            metadata_backend="json",
            end_epoch=9,
            end_step=100,
            vae_cache_disable=True,
            vae_cache_ondemand=True,
            vae_cache_clear_each_epoch=True,
            caption_shuffle={"enable": True, "count": 3, "seed": 7, "split_on": "space", "include_original": False},
            audio={
                "duration_interval": 5,
                "max_duration_seconds": 60,
                "min_duration_seconds": 2,
                "truncation_mode": "end",
                "long_clip": "pieces",
                "channels": 1,
                "lyrics_extension": ".txt",
                "lyrics_suffix": "_lyrics",
            },
        )
    ).training
    assert backend == LocalBackend(
        id="mine",
        instance_data_dir=str(tmp_path / "songs"),
        caption_strategy="filename",
        instance_prompt=("a", "b"),
        prepend_instance_prompt=True,
        disable_multiline_split=True,
        repeats=2,
        probability=0.5,
        train_batch_size=4,
        max_num_samples=10,
        cache_dir_vae=tmp_path / "cache/vae/ace_step/mine",
        window=Window(end_epoch=9, end_step=100),
        vae_cache_disable=True,
        vae_cache_ondemand=True,
        vae_cache_clear_each_epoch=True,
        caption_shuffle=CaptionShuffle(count=3, seed=7, split_on="space", include_original=False),
        audio=AudioBlock(
            duration_interval=5.0,
            max_duration_s=60.0,
            min_duration_s=2.0,
            truncation_mode="end",
            long_clip="pieces",
            channels=1,
            lyrics_extension=".txt",
            lyrics_suffix="_lyrics",
        ),
    )


def test_templates_know_four_names_and_leave_other_braces(load, tmp_path, monkeypatch):
    monkeypatch.setenv("DISK", "fast")
    (backend,) = load(
        songs(cache_dir_vae="{env:DISK}/{output_dir}/{id}", lyrics_filename_format="{filename}.{id}")
    ).training
    assert backend.cache_dir_vae == tmp_path / "fast/output/x/mine"
    assert backend.audio.lyrics_filename_format == "{filename}.mine"


def test_disabled_data_sets_are_skipped_whatever_stands_in_them(load):
    broken = {"id": "off", "type": "huggingface", "repeats": "x", "disabled": True}
    assert [backend.id for backend in load(broken, songs()).training] == ["mine"]


def test_audio_settings_in_four_layers(load):
    flat = songs(audio_max_duration_seconds=50)
    block = songs(audio_max_duration_seconds=50, audio={"max_duration_seconds": 40})
    assert load(songs()).training[0].audio.max_duration_s is None
    assert load(songs(), audio_max_duration_seconds=60.0).training[0].audio.max_duration_s == 60
    assert load(flat, audio_max_duration_seconds=60.0).training[0].audio.max_duration_s == 50
    assert load(block, audio_max_duration_seconds=60.0).training[0].audio.max_duration_s == 40


@pytest.mark.parametrize(
    "name", ["audio_duration_interval", "audio_duration_interval_seconds", "audio_bucket_interval"]
)
def test_old_names_of_the_interval(load, name):
    assert load(songs(**{name: 6})).training[0].audio.duration_interval == 6.0
    assert load(songs(audio={name: 6})).training[0].audio.duration_interval == 6.0


def test_long_songs_are_skipped_where_a_longest_duration_is_set(load):
    assert load(songs(audio={"max_duration_seconds": 60})).training[0].audio.long_clip == "skip"
    assert load(songs(audio={"max_duration_seconds": 60}), long_clip="pieces").training[0].audio.long_clip == "pieces"


@pytest.mark.parametrize(
    ("audio", "attribute", "value"),
    [
        ({"duration_interval": 0}, "duration_interval", 3.0),
        ({"duration_interval": "often"}, "duration_interval", 3.0),
        ({"truncation_mode": "middle"}, "truncation_mode", "beginning"),
    ],
)
def test_invalid_values_with_a_fallback_warn(load, audio, attribute, value):
    found = load(songs(audio=audio))
    assert getattr(found.training[0].audio, attribute) == value
    assert [notice.code for notice in found.notices] == ["fallback"]


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"sample_rate": 44100}, "sample_rate has no effect: always 48,000 Hz"),
        ({"target_resolution": "1"}, "target_resolution has no effect"),
    ],
)
def test_ignored_audio_keys_are_said(load, entry, part):
    (notice,) = load(songs(audio=entry)).notices
    assert part in notice.message and "mine.audio" in notice.message


@pytest.mark.parametrize("key", ["crop", "crop_style", "resolution", "minimum_image_size"])
def test_picture_keys_are_ignored_with_a_notice(load, key):
    (notice,) = load(songs(**{key: 1})).notices
    assert "ignored for audio" in notice.message


def test_prompts_of_the_whole_configuration_reach_a_data_set(load):
    (backend,) = load(songs(), caption_strategy="instanceprompt", instance_prompt=["a song"]).training
    assert (backend.caption_strategy, backend.instance_prompt) == ("instanceprompt", ("a song",))


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"instance_data_dir": "nowhere"}, "no such folder: {base}/nowhere. Accepted: a folder of songs."),
        ({"instance_data_dir": "file.txt"}, "not a folder: {base}/file.txt"),
        ({"instance_data_dir": None}, "instance_data_dir is missing"),
        ({"id": ""}, "id is empty"),
        ({"type": "aws"}, "aws is not supported. Accepted: local, huggingface."),
        ({"dataset_type": "image"}, "image is not for music"),
        ({"caption_strategy": "huggingface"}, "only for data sets of type huggingface"),
        ({"caption_strategy": "parquet"}, "parquet captions are not supported"),
        ({"caption_strategy": "instanceprompt"}, "instance_prompt is missing"),
        ({"prepend_instance_prompt": True}, "instance_prompt is missing; prepend_instance_prompt needs it"),
        ({"only_instance_prompt": True}, "instance_prompt is missing; only_instance_prompt needs it"),
        ({"repeats": -1}, "repeats = -1: too small. Accepted: a whole number from 0."),
        ({"train_batch_size": 0}, "train_batch_size = 0: too small"),
        ({"audio": {"bucket_strategy": "tempo"}}, "mine.audio: bucket_strategy"),
        ({"audio": {"max_duration_seconds": 0}}, "max_duration_seconds = 0: too small"),
        ({"audio": {"max_duration": 3}}, "unknown key. The closest known key is max_duration_seconds"),
        ({"audio": 3}, "audio = 3: not an object. Accepted: an object"),
        ({"repeat": 3}, "unknown key. The closest known key is repeats"),
        ({"start_step": 5}, "no data set is used at the start"),
        ({"start_epoch": 2}, "no data set is used at the start"),
        ({"probability": 0}, "no data set is used at the start"),
        ({"end_step": 0}, "end_step = 0: too small"),
        ({"start_step": 5, "end_step": 5}, "end_step = 5: before its start. Accepted: 6 or more"),
        ({"start_epoch": 3, "end_epoch": 2}, "end_epoch = 2: before its start. Accepted: 3 or more"),
        ({"caption_shuffle": {"enable": True, "count": 0}}, "mine.caption_shuffle: count = 0: too small"),
        ({"caption_shuffle": {"split_on": "tab"}}, "Accepted: comma, space, period."),
        ({"caption_filter_list": ["x"]}, "caption_filter_list: not on songs. Accepted: on the text_embeds entry"),
        ({"metadata_backend": "huggingface"}, 'metadata_backend = "huggingface": not for type local'),
        ({"id": "a/b"}, "no name for a file. Accepted: a short name without / and \\."),
        ({"id": ".."}, "no name for a file"),
        ({"text_embeds": "nope"}, 'text_embeds = "nope": no such entry. Accepted: none, leave it out.'),
    ],
)
def test_bad_entries(refused, tmp_path, entry, part):
    (tmp_path / "file.txt").touch()
    lines = refused(songs(**entry))
    assert len(lines) == 1
    assert part.format(base=tmp_path) in lines[0]


def test_all_problems_of_a_list_come_together(refused):
    lines = refused(songs(repeats="x", instance_data_dir="nowhere"), songs(probability="y"), 7)
    assert len(lines) == 5
    assert any("this id is used twice" in line for line in lines)
    assert any("entry 3 = 7: not an object" in line for line in lines)


def test_two_default_text_entries_are_an_error(refused):
    text = {"dataset_type": "text_embeds", "default": True, "cache_dir": "t"}
    (line,) = refused(songs(), {**text, "id": "a"}, {**text, "id": "b"})
    assert "is the default already" in line


@pytest.mark.parametrize(
    ("entries", "settings", "folder"),
    [
        ([], {}, None),
        ([], {"cache_dir_text": "captions"}, "captions"),
        ([{"id": "t", "dataset_type": "text_embeds", "cache_dir": "a"}], {"cache_dir_text": "captions"}, "a"),
        (
            [
                {"id": "t", "dataset_type": "text_embeds", "cache_dir": "a"},
                {"id": "u", "dataset_type": "text_embeds", "cache_dir": "b", "default": True},
            ],
            {},
            "b",
        ),
    ],
)
def test_where_prepared_captions_are_kept(load, tmp_path, entries, settings, folder):
    found = load(songs(), *entries, **settings)
    assert found.text_cache_dir == (tmp_path / folder if folder else None)


def test_a_list_without_songs_is_an_error(refused):
    assert "no enabled data set with songs" in refused({"id": "t", "dataset_type": "text_embeds"})[0]
    assert "no enabled data set with songs" in refused(songs(disabled=True))[0]


def test_a_missing_id_is_generated_and_said(load):
    found = load({"instance_data_dir": "songs"})
    assert found.training[0].id == "backend-0-songs"
    assert [notice.code for notice in found.notices] == ["generated_id"]


def test_the_demo_songs_are_accepted_without_looking(load):
    assert load(songs(instance_data_dir="demo:songs")).training[0].instance_data_dir == "demo:songs"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "no such file: {base}/sets.json"),
        ("{}", "not a list"),
        ("[\n1,]", "line 2"),
        ("[]", "no enabled data set"),
    ],
)
def test_bad_files(tmp_path, text, part):
    if text is not None:
        (tmp_path / "sets.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_backends(Config.from_dict({"data_backend_config": "sets.json"}), base_dir=tmp_path)
    assert part.format(base=tmp_path) in caught.value.message


def test_regularisation_is_said_to_do_nothing(load):
    (notice,) = load(songs(is_regularisation_data=True)).notices
    assert "is_regularisation_data has no effect: only LyCORIS knows it; these songs are trained on" in notice.message


def test_each_data_set_has_its_place_of_prepared_captions(load, tmp_path):
    texts = [
        {"id": "a", "dataset_type": "text_embeds", "cache_dir": "x", "caption_filter_list": ["live"]},
        {"id": "b", "dataset_type": "text_embeds", "cache_dir": "y/{model_family}", "text_cache_disable": True},
        {"id": "c", "dataset_type": "text_embeds", "default": True},
    ]
    found = load(songs(text_embeds="b"), songs(id="other", text_embeds="a"), songs(id="third"), *texts)
    assert [place.id for place in found.text_embeds] == ["c", "a", "b"]
    assert [backend.text_embeds.id for backend in found.training] == ["b", "a", "c"]
    assert [backend.text_embeds.cache_dir for backend in found.training] == [
        tmp_path / "y/ace_step",
        tmp_path / "x",
        None,
    ]
    assert found.training[1].text_embeds.caption_filters == ("live",)
    assert found.text_cache_disable and not found.text_cache_ondemand


@pytest.mark.parametrize("name", ["words.txt", "words.json"])
def test_the_filters_of_captions_may_stand_in_a_file(load, tmp_path, name):
    entries = ["live", r"\(.*\)", "s/foo/bar/"]
    content = json.dumps(entries) if name.endswith("json") else "\n".join(entries) + "\n\n"
    (tmp_path / name).write_text(content)
    text = {"id": "t", "dataset_type": "text_embeds", "caption_filter_list": name}
    assert load(songs(), text).training[0].text_embeds.caption_filters == tuple(entries)


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("nowhere.txt", "cannot be read: No such file"),
        (["[a"], "unterminated character set"),
        (["s/a/\\1/"], "invalid group reference"),
        (["s/a"], "not of the form s/find/replace/"),
        ([3], "3: not a text"),
    ],
)
def test_bad_filters_of_captions(refused, written, part):
    (line,) = refused(songs(), {"id": "t", "dataset_type": "text_embeds", "caption_filter_list": written})
    assert "t: caption_filter_list" in line and part in line


def test_keys_of_the_other_kind_of_entry_do_nothing_and_are_said(load):
    notices = load(songs(text_cache_disable=True), {"id": "t", "dataset_type": "text_embeds", "repeats": 3}).notices
    assert [notice.code for notice in notices] == ["no_effect", "no_effect"]
    assert "mine: text_cache_disable has an effect on a text_embeds entry only" in notices[0].message
    assert "t: repeats has no effect on prepared captions" in notices[1].message


def test_prepared_captions_are_local(refused):
    (line,) = refused(songs(), {"id": "t", "dataset_type": "text_embeds", "type": "huggingface"})
    assert "text_embeds are local" in line
