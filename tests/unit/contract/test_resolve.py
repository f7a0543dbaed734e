"""Finding a configuration, its layers, overrides, and the immutable result (config-formats.md section 3)."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from engine.contract.config import Config, config_differences, refused_on_resume, resolve, with_drawn_seed
from engine.contract.errors import ConfigError
from engine.contract.fields import SETTINGS_BY_KEY
from engine.contract.presets import find_preset, shipped_presets
from engine.contract.sources import find_source


def write(path: Path, **values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("files", "source", "name", "rank"),
    [
        ({"config/my/config.json": 3, "my/config.json": 4}, "env=my", "my", 3),
        ({"my/config.json": 4}, "env=my", "my", 4),
        ({"config.json": 5, "config/config.json": 6}, "env=default", "default", 5),
        ({"config/config.json": 6}, "env=default", "default", 6),
        ({"other/x.json": 7}, "env=other/x.json", "x", 7),
        ({"some/where/config.json": 8}, "some/where/config.json", "where", 8),
        ({"some/where/config.json": 8}, "some/where", "where", 8),
        ({"plain.json": 9}, "plain.json", "plain", 9),
        ({"config/album-v1.0/config.json": 10}, "env=album-v1.0", "album-v1.0", 10),
        ({"album-v1.0/config.json": 11}, "env=album-v1.0", "album-v1.0", 11),
        ({"config/config.json": 12}, "env=", "config", 12),
    ],
)
def test_where_a_configuration_is_looked_for(tmp_path, files, source, name, rank):
    for file, value in files.items():
        write(tmp_path / file, lora_rank=value)
    found = resolve(source, cwd=tmp_path)
    assert (found.name, found.config.lora_rank) == (name, rank)
    assert found.config.output_dir == f"output/{name}"
    assert found.config.data_backend_config == f"config/{name}/multidatabackend.json"


def test_config_path_beats_all(tmp_path, monkeypatch):
    write(tmp_path / "config/my/config.json", lora_rank=3)
    write(tmp_path / "elsewhere/config.json", lora_rank=4)
    monkeypatch.setenv("CONFIG_PATH", "elsewhere")
    assert resolve("env=my", cwd=tmp_path).config.lora_rank == 4


def test_config_path_may_be_a_file_and_an_env_keeps_its_name(tmp_path, monkeypatch):
    write(tmp_path / "elsewhere/x.json", lora_rank=4)
    monkeypatch.setenv("CONFIG_PATH", "elsewhere/x.json")
    assert [resolve(source, cwd=tmp_path).name for source in ("env=my", "env=default", "env=")] == ["my", "x", "x"]


def test_a_bundled_example_by_name_and_by_simpletuners_path(tmp_path):
    example = "ace_step-v1-0.peft-lora"
    sources = (f"example={example}", f"config/examples/{example}/config.json", f"config/examples/{example}")
    for source in sources:
        found = find_source(source, cwd=tmp_path)
        assert (found.name, found.origin, found.path.is_file()) == (example, "preset", True)
    assert find_source("example=demo", cwd=tmp_path).name == "demo"
    write(tmp_path / f"config/examples/{example}/config.json", lora_rank=3)
    assert resolve(sources[1], cwd=tmp_path).config.lora_rank == 3
    for name in ("nothing", "../demo", ".."):
        with pytest.raises(ConfigError, match="no example of this name") as caught:
            find_source(f"example={name}", cwd=tmp_path)
        assert f"example={example}" in caught.value.hint and "example=demo" in caught.value.hint


def test_a_path_value_below_config_examples_falls_back_to_the_bundled_file_and_says_so(tmp_path):
    path = "config/examples/acestep-audio.json"
    write(tmp_path / "run.json", data_backend_config=path, validation_prompt=path)
    found = resolve("run.json", cwd=tmp_path)
    assert Path(found.config.data_backend_config).is_file()
    assert [notice.key for notice in found.notices if notice.code == "fallback"] == ["data_backend_config"]
    assert found.config.validation_prompt == path
    write(tmp_path / path)
    assert resolve("run.json", cwd=tmp_path).config.data_backend_config == path


def test_every_path_tried_is_listed_and_existing_names_are_suggested(tmp_path):
    write(tmp_path / "config/night-ferry/config.json")
    with pytest.raises(ConfigError) as caught:
        resolve("env=nightferry", cwd=tmp_path)
    assert str(tmp_path / "config/nightferry/config.json") in caught.value.message
    assert str(tmp_path / "nightferry/config.json") in caught.value.message
    assert "env=night-ferry" in caught.value.hint


@pytest.mark.parametrize("source", [300 * "x", f"env={300 * 'x'}", f"example={300 * 'x'}", 2000 * "x/"])
def test_a_name_that_no_disk_can_hold(tmp_path, source):
    with pytest.raises(ConfigError, match="too long for a path"):
        resolve(source, cwd=tmp_path)


def test_a_missing_file_names_the_path_and_the_shipped_presets(tmp_path):
    with pytest.raises(ConfigError) as caught:
        resolve("nowhere.json", cwd=tmp_path)
    assert str(tmp_path / "nowhere.json") in caught.value.message
    assert "demo" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"a": 1,\n "b" 2}', "line 2, column 6"),
        ("[1]", "not a JSON object"),
        ("\xff", "not valid JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ('{"a":' * 60 + "1" + "}" * 60, "stand more than 50 deep"),
        ('{"seed": ' + "9" * 5000 + "}", "not readable as JSON"),
        ('{"validation_prompt": "\\ud800"}', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
        ('{"output_dir": "a\\u0000b"}', "a character that no text has"),
    ],
)
def test_files_that_are_not_json_objects(tmp_path, text, part):
    (tmp_path / "bad.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=part):
        resolve("bad.json", cwd=tmp_path)


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "bad.json").write_bytes(b'{"validation_prompt": "\xff"}')
    with pytest.raises(ConfigError, match="not UTF-8"):
        resolve("bad.json", cwd=tmp_path)


def test_a_byte_order_mark_is_no_problem(tmp_path):
    (tmp_path / "bom.json").write_bytes(b'\xef\xbb\xbf{"lora_rank": 4}')
    assert resolve("bom.json", cwd=tmp_path).config.lora_rank == 4


def test_layers_and_their_origins(tmp_path):
    write(tmp_path / "run.json", lora_rank=4, learning_rate=1e-3)
    found = resolve("run.json", ["--lora_rank=8"], cwd=tmp_path)
    assert found.config.lora_rank == 8
    assert {key: found.origins[key] for key in ("lora_rank", "learning_rate", "seed")} == {
        "lora_rank": "flag",
        "learning_rate": "file",
        "seed": "default",
    }
    assert found.origins.keys() == SETTINGS_BY_KEY.keys()
    assert resolve("demo", cwd=tmp_path).origins["lora_rank"] == "preset"


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        (["--lora_rank=8"], "lora_rank", 8),
        (["--lora-rank", "8"], "lora_rank", 8),
        (["lora_rank=8"], "lora_rank", 8),
        (["--lora_use_rslora"], "lora_use_rslora", True),
        (["--lora_use_rslora", "--lora_rank=8"], "lora_use_rslora", True),
        (["--lora_use_rslora", "false"], "lora_use_rslora", False),
        (["--lora_use_rslora", "lora_rank=8"], "lora_use_rslora", True),
        (["--seed", "-1"], "seed", -1),
        (["--validation_prompt=a=b"], "validation_prompt", "a=b"),
        (["--validation_prompt", "a=b"], "validation_prompt", "a=b"),
        (["--validation_steps=5"], "validation_step_interval", 5),
        (["--checkpoint_step_interval", "0"], "checkpointing_steps", 0),
        (["--validation_lyrics", "-"], "validation_lyrics", "-"),
        (["--lora_rank="], "lora_rank", 16),
        (['--exclude_files=["a.wav", "b.wav"]'], "exclude_files", ("a.wav", "b.wav")),
    ],
)
def test_overrides(tmp_path, overrides, key, value):
    write(tmp_path / "run.json", lora_rank=4)
    assert resolve("run.json", overrides, cwd=tmp_path).config[key] == value


def test_an_unknown_override_is_refused(tmp_path):
    write(tmp_path / "run.json")
    with pytest.raises(ConfigError, match=r"command line: --lora_rnk = \"8\": unknown key. The closest .* lora_rank"):
        resolve("run.json", ["--lora_rnk=8"], cwd=tmp_path)
    with pytest.raises(ConfigError, match="not understood"):
        resolve("run.json", ["nonsense"], cwd=tmp_path)
    with pytest.raises(ConfigError, match="not UTF-8"):
        resolve("run.json", ["--instance_data_dir=caf\udce9"], cwd=tmp_path)


def test_a_folder_of_songs_is_short_for_a_data_set_list(tmp_path):
    write(tmp_path / "run.json", instance_data_dir="songs")
    config = resolve("run.json", cwd=tmp_path).config
    assert config.instance_data_dir is None
    assert [entry["instance_data_dir"] for entry in config.data_backend_config] == ["songs"]


def test_a_folder_on_the_command_line_replaces_the_files_list_and_the_other_way_round(tmp_path):
    write(tmp_path / "run.json", data_backend_config="sets.json")
    found = resolve("run.json", ["--instance_data_dir=mine"], cwd=tmp_path)
    assert found.config.data_backend_config[0]["instance_data_dir"] == "mine"
    assert found.origins["data_backend_config"] == "flag"
    write(tmp_path / "run.json", instance_data_dir="songs")
    found = resolve("run.json", ["--data_backend_config=sets.json"], cwd=tmp_path)
    assert found.config.data_backend_config == "sets.json"


def test_a_list_of_data_sets_is_found_in_the_working_directory_or_beside_the_file(tmp_path):
    write(tmp_path / "deep/run.json", data_backend_config="sets.json")
    write(tmp_path / "deep/sets.json")
    assert resolve("deep/run.json", cwd=tmp_path).config.data_backend_config == "deep/sets.json"
    write(tmp_path / "sets.json")
    assert resolve("deep/run.json", cwd=tmp_path).config.data_backend_config == "sets.json"


def test_the_effective_configuration_runs_again_as_it_is(tmp_path):
    write(
        tmp_path / "config/my/config.json",
        num_train_epochs=2,
        instance_data_dir="songs",
        optimizer_beta1=0.8,
        optimizer_beta2=0.9,
        lr_scheduler="constant",
        lr_warmup_steps=3,
        peft_lora_target_modules=["to_q"],
    )
    first = resolve("env=my", cwd=tmp_path)
    write(tmp_path / "output/my/config.json", **first.config.to_dict())
    again = resolve("output/my/config.json", cwd=tmp_path)
    assert again.config == first.config
    assert config_differences(first.config, again.config) == []


@pytest.mark.parametrize("preset", shipped_presets(), ids=lambda path: path.stem)
def test_every_shipped_preset_resolves_and_holds_only_what_it_changes(preset, tmp_path):
    found = resolve(preset.stem, cwd=tmp_path)
    assert found.name == preset.stem and found.config.preset_title and found.config.preset_description
    for key in (key for key, origin in found.origins.items() if origin == "preset"):
        assert found.config[key] != SETTINGS_BY_KEY[key].default, f"{preset.name}: {key} is the default already"
    codes = {notice.code for notice in found.notices}
    assert codes <= {"no_clips"}


def test_find_preset_takes_the_name_with_and_without_ending():
    assert find_preset("demo") == find_preset("demo.json") != None  # noqa: E711
    assert find_preset("nothing") is None


def test_the_demo_differs_from_a_real_run_only_in_values(tmp_path):
    config = resolve("demo", cwd=tmp_path).config
    assert config.pretrained_model_name_or_path == "demo:tiny-model"
    assert config.data_backend_config[0]["instance_data_dir"] == "demo:songs"
    assert config.output_dir == "output/demo"


def test_a_configuration_is_immutable_and_survives_json_and_pickle(tmp_path):
    config = resolve("demo", cwd=tmp_path).config
    with pytest.raises(AttributeError):
        config.lora_rank = 3
    with pytest.raises(AttributeError, match="not a declared setting"):
        _ = config.lora_rnk
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.replace(lora_rank=3).lora_rank == 3 and config.lora_rank == 8


def test_frozen_configurations_of_older_versions_get_defaults_and_newer_ones_are_named():
    assert Config.from_dict({"lora_rank": 4}).seed == 42
    with pytest.raises(ConfigError, match="from_the_future"):
        Config.from_dict({"from_the_future": 1})


def test_differences_name_key_old_and_new():
    frozen = Config.from_dict({})
    assert config_differences(frozen, frozen.replace(learning_rate=2e-4, seed=7)) == [
        "learning_rate: 0.0001 → 0.0002",
        "seed: 42 → 7",
    ]
    assert config_differences(frozen, frozen.replace(seed=-1)) == []


@pytest.mark.parametrize(
    ("change", "is_refused", "is_refused_by_the_knowing"),
    [
        ({"max_train_steps": 5}, False, False),
        ({"learning_rate": 1e-3}, False, False),
        ({"validation_prompt": "x"}, False, False),
        ({"checkpointing_steps": 5}, False, False),
        ({"exclude_files": ("a.wav",)}, False, False),
        ({"train_batch_size": 2}, True, False),
        ({"gradient_accumulation_steps": 2}, True, False),
        ({"seed": 1}, True, False),
        ({"seed": 0}, False, False),
        ({"validation_split": 0.1}, True, False),
        ({"model_type": "full"}, True, True),
        ({"lora_rank": 8}, True, True),
        ({"lora_alpha": 8.0}, True, True),
        ({"acestep_lora_target": "attn_qkv"}, True, True),
        ({"peft_lora_target_modules": ("to_q",)}, True, True),
        ({"pretrained_model_name_or_path": "other"}, True, True),
        ({"optimizer": "torch-sgd"}, True, True),
        ({"optimizer_config": "amsgrad=true"}, True, True),
        ({"lyrics_embedder_lr_scheduler": "cosine"}, True, True),
    ],
)
def test_what_may_change_when_a_run_goes_on(change, is_refused, is_refused_by_the_knowing):
    frozen = Config.from_dict({})
    assert bool(refused_on_resume(frozen, frozen.replace(**change))) is is_refused
    knowing = frozen.replace(**change, i_know_what_i_am_doing=True)
    assert bool(refused_on_resume(frozen, knowing)) is is_refused_by_the_knowing


@pytest.mark.parametrize("asked", [0, -1])
def test_drawn_seeds_are_real_ones(asked):
    drawn = with_drawn_seed(Config.from_dict({"seed": asked}))
    assert 0 < drawn.seed < 2**31
    assert with_drawn_seed(drawn) == drawn


def test_a_frozen_configuration_reads_again_without_a_notice(tmp_path):
    first = resolve("demo", [], cwd=tmp_path)
    frozen = tmp_path / "run" / "config.json"
    frozen.parent.mkdir()
    frozen.write_text(json.dumps(first.config.to_dict()), encoding="utf-8")
    again = resolve(frozen, [], cwd=tmp_path)
    assert again.notices == []
    assert again.config.to_dict() == first.config.to_dict()


def test_the_name_of_an_environment_alone_is_answered_with_the_way_to_write_it(tmp_path):
    write(tmp_path / "config/night/config.json", lora_rank=4)
    with pytest.raises(ConfigError) as caught:
        find_source("night", cwd=tmp_path)
    assert caught.value.hint.startswith("Did you mean env=night?")
    with pytest.raises(ConfigError) as caught:
        find_source("day", cwd=tmp_path)
    assert "env=" not in caught.value.hint
