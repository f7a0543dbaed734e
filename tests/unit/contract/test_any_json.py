"""No JSON of any shape, given as a configuration, raises anything but our own error with exit code 2 (issue 4)."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.contract.backends import load_backends
from engine.contract.config import Config, resolve
from engine.contract.errors import ConfigError
from engine.contract.fields import NEGATED_ALIASES, REMOVED_KEYS, SETTINGS
from engine.contract.fields_audio import AUDIO_SETTINGS
from engine.contract.fields_backend import BACKEND_SETTINGS
from engine.contract.fields_hub import HUB_SETTINGS, SHUFFLE_SETTINGS

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**63, 0, 1, -1])
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(
        ["{env:HOME}", "{id}", "\x00", "~nobody/x", "config/examples/x", "[", "auto", "1e999", "nan", "/"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def names(*declared) -> list[str]:
    return sorted({name for setting in declared for name in (setting.key, *setting.aliases)})


CONFIG_KEYS = [*names(*SETTINGS), *NEGATED_ALIASES, *REMOVED_KEYS, "crepa_x", "--lora-rank", "nonsense"]
AUDIO = st.dictionaries(st.sampled_from([*names(*AUDIO_SETTINGS), "nonsense"]), JSON, max_size=4)
HUB = st.dictionaries(st.sampled_from([*names(*HUB_SETTINGS), "image_column", "nonsense"]), JSON, max_size=4)
SHUFFLE = st.dictionaries(st.sampled_from([*names(*SHUFFLE_SETTINGS), "nonsense"]), JSON | st.just("comma"), max_size=4)
BACKEND = st.dictionaries(
    st.sampled_from([*names(*BACKEND_SETTINGS), *names(*HUB_SETTINGS), "audio", "config", "huggingface", "x"]),
    JSON | AUDIO | HUB | SHUFFLE,
)
# Entries that are whole but for some keys get further: to their parts.
WHOLE = st.builds(
    lambda base, keys, hub, shuffle, filters: [
        {**base, **keys, "config": hub, "caption_shuffle": shuffle},
        {"id": "t", "dataset_type": "text_embeds", "caption_filter_list": filters},
    ],
    st.sampled_from([{"id": "a", "instance_data_dir": "."}, {"id": "b", "type": "huggingface", "dataset_name": "."}]),
    st.dictionaries(st.sampled_from(names(*BACKEND_SETTINGS)), JSON, max_size=2),
    HUB,
    SHUFFLE,
    JSON | st.lists(st.text(alphabet="s/()[]*+?\\1^$|{}ab", max_size=8), max_size=3),
)
# Values of the right type get further than any noise: to the rules.
NEAR = st.fixed_dictionaries(
    {},
    optional={
        setting.key: st.sampled_from([*setting.choices, setting.default, "x"])
        if setting.choices
        else st.integers(-2, 3000) | st.floats(0, 1)
        if setting.type in ("int", "float")
        else st.booleans()
        if setting.type == "bool"
        else st.text(max_size=5)
        for setting in SETTINGS
    },
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


def must_be_read_or_refused(place: Path, text: str) -> None:
    (place / "run.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        config = resolve("run.json", cwd=place).config
    except ConfigError as error:
        assert error.exit_code == 2 and str(error)
        return
    # What was taken can be written down and is the same when it is read again.
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with contextlib.suppress(ConfigError):
        load_backends(config, base_dir=place)


common = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@common
@given(JSON)
@example({"instance_data_dir": ""})
def test_any_json_at_all(place, value):
    must_be_read_or_refused(place, json.dumps(value))


@common
@given(st.dictionaries(st.sampled_from(CONFIG_KEYS), JSON, max_size=8))
@example({"max_train_steps": 10**400})
@example({"learning_rate": 10**400})
@example({"output_dir": "\x00"})
@example({"data_backend_config": "\x00"})
@example({"peft_lora_target_modules": "\x00"})
@example({"init_lora": 300 * "x"})
@example({"pretrained_model_name_or_path": 300 * "x"})
def test_any_value_under_any_key(place, value):
    must_be_read_or_refused(place, json.dumps(value))


@common
@given(NEAR)
def test_any_values_of_the_right_kind(place, value):
    must_be_read_or_refused(place, json.dumps(value))


@common
@given(st.lists(BACKEND | JSON, max_size=3) | JSON | WHOLE)
@example([{"id": "a", "instance_data_dir": "\x00"}])
@example([{"id": {"a": 1}, "instance_data_dir": "."}])
@example([{"id": "a", "type": "huggingface", "dataset_name": 300 * "x"}])
@example([{"id": "a", "instance_data_dir": 300 * "x"}])
def test_any_list_of_data_sets(place, value):
    (place / "sets.json").write_text(json.dumps(value), encoding="utf-8")
    must_be_read_or_refused(place, json.dumps({"data_backend_config": value}))
    with contextlib.suppress(ConfigError):
        load_backends(Config.from_dict({"data_backend_config": "sets.json"}), base_dir=place)


@common
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-16")))
def test_any_bytes(place, content):
    (place / "run.json").write_bytes(content)
    with pytest.raises(ConfigError):
        resolve("run.json", cwd=place)
        raise ConfigError("it was a whole configuration")  # such as {}


@common
@given(st.lists(st.text(max_size=10) | st.sampled_from(["--lora_rank", "--seed=", "=", "--=", "--", "lora_rank=x=y"])))
def test_any_command_line(place, overrides):
    (place / "run.json").write_text("{}")
    with contextlib.suppress(ConfigError):
        resolve("run.json", overrides, cwd=place)
