"""How the model is stored: names of other tools, what is refused, what goes together."""

from __future__ import annotations

import json

import pytest

from engine.contract.config import resolve
from engine.contract.errors import ConfigError

KEYS = ("base_model_precision", "text_encoder_1_precision")
FP8 = ("fp8-quanto", "fp8uz-quanto", "fp8-torchao", "fp8wo-torchao", "fp8-int4-torchao", "fp8-native")


def read(tmp_path, **values):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"max_train_steps": 10, **values}), encoding="utf-8")
    return resolve(file, [], cwd=tmp_path)


def notices(found, key: str) -> list[str]:
    return [notice.message for notice in found.notices if notice.key == key]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no_change", "no_change"),
        ("int8-quanto", "int8-quanto"),
        ("int4-quanto", "int4-quanto"),
        ("Int8-Quanto", "int8-quanto"),
        ("int8-torchao", "int8-quanto"),
        ("int4-torchao", "int4-quanto"),
        ("nf4-bnb", "int4-quanto"),
    ],
)
def test_names_of_other_tools_are_said_to_be_ours(tmp_path, key, written, meant):
    found = read(tmp_path, **{key: written})
    assert found.config[key] == meant
    is_other = written.casefold() != meant
    expected = f"config.json: {key} {written} is treated as {meant}, which needs no other library"
    assert notices(found, key) == ([expected] if is_other else [])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("written", "reason"),
    [
        *((name, "fp8 needs a card with fp8 arithmetic") for name in (*FP8, "fp8-transformerengine")),
        ("int2-quanto", "two bits are too few"),
        ("int8dq-torchao", "here only weights are, as with int8-quanto"),
        ("int8dq-int4-torchao", "here only weights are, as with int8-quanto"),
        ("int8-sdnq", "not known"),
        ("int3", "not known"),
    ],
)
def test_other_names_are_errors_with_the_list(tmp_path, key, written, reason):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **{key: written})
    assert f'{key} = "{written}": ' in caught.value.message and reason in caught.value.message
    assert "Accepted: no_change, int8-quanto, int4-quanto." in caught.value.message


@pytest.mark.parametrize("precision", ["int8-quanto", "int4-quanto", "nf4-bnb"])
def test_a_quantised_model_cannot_be_trained_as_a_whole(tmp_path, precision):
    with pytest.raises(ConfigError, match=r"cannot be trained\. Accepted: no_change, or model_type lora\."):
        read(tmp_path, model_type="full", base_model_precision=precision)
    assert read(tmp_path, model_type="full", text_encoder_1_precision=precision).config.model_type == "full"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"base_model_default_dtype": "fp32"}, "has no effect while base_model_precision is no_change"),
        ({"base_model_default_dtype": "bf16"}, ""),
        ({"base_model_default_dtype": "fp32", "base_model_precision": "int8-quanto"}, ""),
        ({"base_model_default_dtype": "bf16", "base_model_precision": "int8-quanto"}, ""),
        ({"base_model_precision": "int8-quanto", "mixed_precision": "fp16"}, ""),
        (
            {"base_model_default_dtype": "bf16", "base_model_precision": "int8-quanto", "mixed_precision": "fp16"},
            "bf16 needs mixed_precision bf16; fp16 is used",
        ),
        (
            {"base_model_default_dtype": "bf16", "base_model_precision": "int4-quanto", "mixed_precision": "no"},
            "bf16 needs mixed_precision bf16; fp32 is used",
        ),
    ],
)
def test_the_format_of_the_rest_is_said_where_it_is_another_one(tmp_path, values, said):
    found = notices(read(tmp_path, **values), "base_model_default_dtype")
    assert len(found) == bool(said) and all(said in message for message in found)


def test_quantising_is_done_on_the_card_or_the_processor(tmp_path):
    assert read(tmp_path, quantize_via="cpu").config.quantize_via == "cpu"
    with pytest.raises(ConfigError, match=r"pipeline is not supported\. Accepted: accelerator, cpu"):
        read(tmp_path, quantize_via="pipeline")
