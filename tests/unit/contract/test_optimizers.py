"""Rules of optimizers and of the lyrics embedder, told before anything is loaded (config-formats.md 1.4, 1.8, 1.11)."""

import importlib.util
import json
from pathlib import Path

import pytest

from engine.contract import optimizers
from engine.contract.config import resolve
from engine.contract.errors import ConfigError
from engine.planning.schedule_curve import lr_at

SEED = Path(__file__).parents[2] / "seed"
ON = {"lyrics_embedder_train": True}


@pytest.fixture(autouse=True)
def every_library(monkeypatch):
    """As if all of them were installed, whatever this computer has."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.fixture
def resolved(tmp_path):
    def make(**values):
        (tmp_path / "run.json").write_text(json.dumps({"instance_data_dir": "songs"} | values), encoding="utf-8")
        return resolve("run.json", cwd=tmp_path)

    return make


@pytest.fixture
def refused(resolved):
    def make(**values):
        with pytest.raises(ConfigError) as caught:
            resolved(**values)
        return caught.value.message.splitlines()

    return make


def codes(found, key):
    return [notice.code for notice in found.notices if notice.key == key]


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("key", ["optimizer", "lyrics_embedder_optimizer"])
def test_every_name_is_taken(resolved, name, key):
    found = resolved(**ON | {key: name, "mixed_precision": "bf16", "learning_rate": 1e-4})
    assert found.config[key] == name


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("bnb-adamw8bit", "bnb"),
        ("ao-adamw8bit", "ao"),
        ("prodigy", "prodigy"),
        ("adamw_schedulefree", "schedulefree"),
        ("optimi-adamw", "optimi"),
        ("optimi-lion", "optimi"),
    ],
)
def test_a_missing_library_is_told_at_once_with_the_command_that_helps(refused, monkeypatch, name, extra):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for values in ({"optimizer": name}, ON | {"lyrics_embedder_optimizer": name}):
        (line,) = refused(**values)
        assert f'pip install "acestep-tui[{extra}]"' in line and name in line


def test_the_extras_are_those_of_the_package():
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    extras = text.partition("[project.optional-dependencies]")[2].partition("[dependency-groups]")[0]
    for facts in optimizers.OPTIMIZERS.values():
        assert not facts.extra or f"\n{facts.extra} = [" in extras


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("bnb-lion8bit", "optimi-lion"),
        ("torch-radam", "torch-adamw"),
        ("sdnq-adafactor", "torch-adafactor"),
        ("bnb-adamw8bit-paged", "bnb-adamw8bit"),
    ],
)
def test_another_name_of_simpletuner_names_the_nearest(refused, name, near):
    for key in ("optimizer", "lyrics_embedder_optimizer"):
        (line,) = refused(**ON | {key: name})
        assert f"known to SimpleTuner but not available here; nearest: {near}." in line


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": "optimi-lion", "optimizer_config": "eps=1e-6"}, "optimi-lion has no option eps"),
        ({"optimizer_config": "weight_decai=0"}, "Did you mean weight_decay?"),
        ({"optimizer_config": "beta1=1.5"}, "beta1 is 1.5. Accepted: beta1 from 0 to below 1."),
        ({"optimizer": "prodigy", "optimizer_config": "slice_p=x"}, "slice_p is x, not a whole number"),
        ({"optimizer": "prodigy", "optimizer_config": "growth_rate=inf"}, "growth_rate is inf"),
    ],
)
def test_options_are_checked_with_everything_else(refused, values, words):
    lines = refused(**values, learning_rate=2)
    assert len(lines) == 2, "the learning rate is told too"
    assert words in " ".join(lines)


def test_without_a_curve_where_the_optimizer_needs_none(resolved):
    found = resolved(optimizer="adamw_schedulefree", lr_scheduler="cosine", lr_warmup_steps=5)
    assert found.config.lr_scheduler == "constant_with_warmup" and found.config.lr_warmup_steps == 5
    assert codes(found, "lr_scheduler") == ["no_schedule"]
    assert not codes(resolved(optimizer="adamw_schedulefree"), "lr_scheduler")
    own = resolved(**ON, lyrics_embedder_optimizer="adamw_schedulefree", lyrics_embedder_lr_scheduler="linear")
    assert own.config.lyrics_embedder_lr_scheduler == "constant_with_warmup"
    assert codes(own, "lyrics_embedder_lr_scheduler") == ["no_schedule"]


def test_prodigy_has_one_rate_and_it_is_a_factor(resolved, refused):
    assert codes(resolved(optimizer="prodigy", learning_rate=1e-4), "learning_rate") == ["unusual_value"]
    assert not codes(resolved(optimizer="prodigy", learning_rate=1), "learning_rate")
    (line,) = refused(**ON, optimizer="prodigy", learning_rate=1, lyrics_embedder_lr=0.5)
    assert "prodigy has one rate for all weights" in line and "lyrics_embedder_optimizer" in line
    resolved(
        **ON, optimizer="prodigy", learning_rate=1, lyrics_embedder_lr=1e-4, lyrics_embedder_optimizer="torch-adam"
    )
    assert "above 0" in refused(optimizer="prodigy", learning_rate=0)[0]


def test_bf16_weights_only_in_bf16_and_only_they_have_other_gradients(resolved):
    found = resolved(**ON, lyrics_embedder_optimizer="adamw_bf16", mixed_precision="fp16")
    assert found.config.lyrics_embedder_optimizer == "torch-adamw"
    assert codes(found, "lyrics_embedder_optimizer") == ["optimizer_replaced"]
    assert codes(resolved(gradient_precision="fp32"), "gradient_precision") == ["no_effect"]
    bf16 = {"gradient_precision": "fp32", "optimizer": "adamw_bf16", "mixed_precision": "bf16"}
    assert not codes(resolved(**bf16), "gradient_precision")


@pytest.mark.parametrize("key", ["lyrics_embedder_lr", "lyrics_embedder_optimizer", "lyrics_embedder_lr_scheduler"])
def test_an_override_alone_has_no_effect(resolved, key):
    value = {"lyrics_embedder_lr": 1e-5, "lyrics_embedder_optimizer": "torch-sgd"}.get(key, "cosine")
    found = resolved(**{key: value})
    assert codes(found, key) == ["no_effect"] and found.config[key] is None
    assert not codes(resolved(**ON, **{key: value}), key)


def test_a_full_fine_tune_trains_the_embedder_anyway(resolved):
    assert codes(resolved(**ON, model_type="full"), "lyrics_embedder_train") == ["no_effect"]
    assert not codes(resolved(**ON, model_type="full", lyrics_embedder_lr=1e-5), "lyrics_embedder_train")


def test_other_kinds_of_adapter_are_refused_with_the_embedder(refused):
    (line,) = refused(**ON, lora_type="lycoris")
    assert "only standard is supported" in line


def test_the_seeds_embedder_lines_work_without_a_warm_up(resolved):
    seed = json.loads((SEED / "lyrics_embedder.json").read_text(encoding="utf-8"))
    found = resolved(**seed, max_train_steps=100, lr_num_cycles=2)
    assert {key: found.config[key] for key in seed} == seed
    assert not [notice for notice in found.notices if "embedder" in notice.key]
    own = optimizers.embedder_config(found.config)
    assert optimizers.has_own_optimizer(found.config)
    curve = [lr_at(step, own, 100) for step in range(100)]
    assert own.lr_warmup_steps == 0 and curve[0] == curve[50] == 5e-5
    assert curve[25] == pytest.approx((5e-5 + own.lr_end) / 2) and curve[49] < 1e-6


def test_a_polynomial_curve_of_the_embedder_ends_below_its_own_rate(refused):
    (line,) = refused(**ON, lyrics_embedder_lr=1e-7, lyrics_embedder_lr_scheduler="polynomial")
    assert "lr_end below 1e-07" in line


def test_options_of_the_main_optimizer_are_not_for_another_kind(resolved):
    values = {"optimizer_config": "amsgrad=true", "lyrics_embedder_optimizer": "optimi-lion"}
    assert optimizers.embedder_values(resolved(**ON, **values).config)["optimizer_config"] is None
    values["lyrics_embedder_optimizer"] = "torch-adamw"
    assert optimizers.embedder_values(resolved(**ON, **values).config)["optimizer_config"] == "amsgrad=true"
