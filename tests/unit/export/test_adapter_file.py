import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from peft import LoraConfig
from torch import Tensor

from engine.contract.errors import DiskError, ModelError
from engine.export.adapter_file import AdapterFile, read_adapter, write_adapter
from engine.model.adapters import LoraSpec, adapter_state, known_modules
from tests.unit.export.small import EVERYWHERE, WITH_CONVS, small_config, trained_model

MODULES = known_modules(small_config())
SPEC = LoraSpec(rank=4, alpha=8, use_rslora=True, target_modules=EVERYWHERE)  # scale 4
HEADER = {"global_step": 12, "base_model": "ACE-Step/ACE-Step-v1-3.5B", "target_preset": "attn_qkv+linear_qkv"}
QUERY = "transformer_blocks.0.attn.to_q"


def canonical(spec: LoraSpec = SPEC) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in adapter_state(trained_model(spec)).items()}


def renamed(rule: Callable[[str, str], str], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every key through ``rule(module, part)``, part A or B."""
    result = {}
    for key, value in tensors.items():
        module, _, part = key.removesuffix(".weight").rpartition(".lora_")
        result[rule(module, part)] = value
    return result


def saved(folder: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    path = folder / "some_lora.safetensors"
    plain = {key: value.clone().contiguous() for key, value in tensors.items()}
    safetensors.torch.save_file(plain, path, metadata=metadata)
    return path


def assert_same(adapter: AdapterFile, tensors: dict[str, Tensor]) -> None:
    assert adapter.tensors.keys() == tensors.keys()
    for key, value in tensors.items():
        assert torch.equal(adapter.tensors[key], value), key
        assert adapter.tensors[key].shape == value.shape, key


def test_resume_form_keeps_tensors_alpha_and_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint-12" / "pytorch_lora_weights.safetensors"
    state = canonical()
    write_adapter(path, state, spec=SPEC, metadata=HEADER)
    adapter = read_adapter(path.parent, MODULES)
    assert adapter.path == path
    assert_same(adapter, state)
    assert set(adapter.scales.values()) == {4.0} and set(adapter.ranks.values()) == {4}
    header = adapter.metadata
    assert header["format"] == "pt" and header["acestep_tui.format"] == "train"
    assert (header["rank"], header["alpha"], header["rslora"]) == ("4", "8", "true")
    assert (header["global_step"], header["base_model"]) == ("12", HEADER["base_model"])
    config = LoraConfig(**json.loads(header["lora_adapter_metadata"]))
    assert (config.r, config.lora_alpha, config.use_rslora) == (4, 8, True)
    assert config.target_modules == set(EVERYWHERE)
    assert adapter.unmatched == () and [source.name for source in adapter.scale_sources] == [
        "lora_adapter_metadata",
        "acestep_tui",
    ]


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    write_adapter(tmp_path / "a.safetensors", canonical(), spec=SPEC, metadata=HEADER)
    backwards = dict(reversed(list(canonical().items())))
    write_adapter(tmp_path / "b.safetensors", backwards, spec=SPEC, metadata=dict(reversed(list(HEADER.items()))))
    content = (tmp_path / "a.safetensors").read_bytes()
    assert content == (tmp_path / "b.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    names = list(json.loads(content[8 : 8 + size])["__metadata__"])
    assert size % 8 == 0 and names == sorted(names), "the header's order must not be that of a hash table"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EFBIG])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = tmp_path / "pytorch_lora_weights.safetensors"
    write_adapter(path, canonical(), spec=SPEC, metadata=HEADER)
    before = path.read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("engine.contract.files.os.fsync", fail)
    with pytest.raises(DiskError, match="saving the adapter failed"):
        write_adapter(path, canonical(), spec=SPEC, metadata={})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


PREFIXES = (
    "",
    "transformer.",
    "diffusion_model.",
    "model.diffusion_model.",
    "unet.",
    "base_model.model.",
    "base_model.model.base_model.model.",
    "module._orig_mod.transformers.",
    "ace_step_transformer.",
)
SUFFIXES: tuple[Callable[[str], str], ...] = (
    lambda part: f".lora_{part}.weight",
    lambda part: f".lora_{part}",
    lambda part: f".lora_{part}.default.weight",
    lambda part: f".lora_{part}.lora_adapter.weight",
    lambda part: f".lora_{'down' if part == 'A' else 'up'}.weight",
    lambda part: f".lora.{'down' if part == 'A' else 'up'}.weight",
    lambda part: f"_lora.{'down' if part == 'A' else 'up'}.weight",
    lambda part: f".lora_linear_layer.{'down' if part == 'A' else 'up'}.weight",
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", SUFFIXES, ids=[rule("A") for rule in SUFFIXES])
def test_every_dialect_is_read_as_the_canonical_form(tmp_path: Path, prefix: str, suffix: Callable[[str], str]) -> None:
    tensors = {key: torch.randn(value.shape) for key, value in SHAPES.items()}
    path = saved(tmp_path, renamed(lambda module, part: prefix + module + suffix(part), tensors))
    assert_same(read_adapter(path, MODULES), tensors)


SHAPES = {
    f"{QUERY}.lora_A.weight": torch.empty(4, 32),
    f"{QUERY}.lora_B.weight": torch.empty(32, 4),
    "speaker_embedder.lora_A.weight": torch.empty(2, 12),
    "speaker_embedder.lora_B.weight": torch.empty(32, 2),
    "transformer_blocks.1.cross_attn.to_add_out.lora_A.weight": torch.empty(4, 32),
    "transformer_blocks.1.cross_attn.to_add_out.lora_B.weight": torch.empty(32, 4),
}


@pytest.mark.parametrize("prefix", ["lora_unet_", "lycoris_", "lora_transformer_", "diffusion_model.lora_unet_"])
def test_flattened_names_are_looked_up(tmp_path: Path, prefix: str) -> None:
    tensors = canonical()
    flat = renamed(
        lambda module, part: f"{prefix}{module.replace('.', '_')}.lora_{'down' if part == 'A' else 'up'}.weight",
        tensors,
    )
    assert_same(read_adapter(saved(tmp_path, flat), MODULES), tensors)


def test_convolutions_are_read_with_and_without_their_trailing_axes(tmp_path: Path) -> None:
    tensors = canonical(replace(SPEC, target_modules=WITH_CONVS))
    flat = {key: value.squeeze() if "conv" in key else value for key, value in tensors.items()}
    assert_same(read_adapter(saved(tmp_path, flat), MODULES), tensors)
    deep = {key: value[..., None] if ".conv." in key else value for key, value in tensors.items()}
    assert_same(read_adapter(saved(tmp_path, deep), MODULES), tensors)


def test_embedding_pair_becomes_a_linear_one(tmp_path: Path) -> None:
    down, up = torch.randn(3, 40), torch.randn(24, 3)  # (rank, vocabulary), (width, rank)
    path = saved(tmp_path, {"lyric_embs.lora_embedding_A": down, "lyric_embs.lora_embedding_B": up})
    tensors = read_adapter(path, MODULES).tensors
    delta = tensors["lyric_embs.lora_B.weight"] @ tensors["lyric_embs.lora_A.weight"]
    torch.testing.assert_close(delta, (up @ down).T)


def test_folders_prefer_the_usual_names(tmp_path: Path) -> None:
    tensors = canonical()
    only = saved(tmp_path, tensors)
    assert read_adapter(tmp_path, MODULES).path == only
    for name in ("adapter_model.safetensors", "pytorch_lora_weights.safetensors"):
        safetensors.torch.save_file(tensors, tmp_path / name)
        assert read_adapter(tmp_path, MODULES).path.name == name
    (tmp_path / "pytorch_lora_weights.safetensors").rename(tmp_path / "x.safetensors")
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"2 \.safetensors files"):
        read_adapter(tmp_path, MODULES)


def alphas(value: float) -> dict[str, Tensor]:
    return {
        f"{key.removesuffix('.lora_A.weight')}.alpha": torch.tensor(value) for key in canonical() if "lora_A" in key
    }


def config_text(**values: Any) -> str:
    return json.dumps({"r": 4, "lora_alpha": 4, "use_rslora": False} | values)


KOHYA = {"ss_network_alpha": "2", "ss_network_dim": "4"}
PIPELINE = json.dumps({"transformer.r": 4, "transformer.lora_alpha": 2})


@pytest.mark.parametrize(
    ("metadata", "extra", "beside", "expected"),
    [
        ({}, {}, None, (1.0, None)),
        (KOHYA, {}, None, (0.5, "ss_network_alpha")),
        ({"acestep_tui.format": "train", "alpha": "8", "rslora": "true"}, {}, None, (4.0, "acestep_tui")),
        (KOHYA | {"acestep_tui.format": "universal"}, {}, None, (1.0, "acestep_tui")),
        ({"lora_adapter_metadata": config_text(lora_alpha=12)}, {}, None, (3.0, "lora_adapter_metadata")),
        ({"lora_adapter_metadata": config_text(use_rslora=True)}, {}, None, (2.0, "lora_adapter_metadata")),
        ({"lora_adapter_metadata": PIPELINE}, {}, None, (0.5, "lora_adapter_metadata")),
        ({"lora_adapter_metadata": config_text()}, {}, config_text(lora_alpha=20), (5.0, "adapter_config.json")),
        ({"lora_adapter_metadata": config_text()}, alphas(6.0), config_text(lora_alpha=20), (1.5, "alpha tensors")),
    ],
)
def test_scale_comes_from_the_first_place_that_says_it(
    tmp_path: Path,
    metadata: dict[str, str],
    extra: dict[str, Tensor],
    beside: str | None,
    expected: tuple[float, str | None],
) -> None:
    if beside:
        (tmp_path / "adapter_config.json").write_text(beside)
    adapter = read_adapter(saved(tmp_path, canonical() | extra, metadata or None), MODULES)
    scale, source = expected
    assert set(adapter.scales.values()) == {scale}
    assert [found.name for found in adapter.scale_sources][:1] == ([source] if source else [])
    if source is None:
        assert any("does not say its scale" in note for note in adapter.notes)


def test_patterns_of_the_metadata_give_each_module_its_scale(tmp_path: Path) -> None:
    text = config_text(lora_alpha=4, alpha_pattern={"attn.to_q": 8, f"^{QUERY.replace('to_q', 'to_v')}": 12})
    adapter = read_adapter(saved(tmp_path, canonical(), {"lora_adapter_metadata": text}), MODULES)
    assert adapter.scales[QUERY] == 2.0 and adapter.scales["transformer_blocks.1.attn.to_q"] == 2.0
    assert adapter.scales[QUERY.replace("to_q", "to_v")] == 3.0
    assert adapter.scales["transformer_blocks.1.cross_attn.to_q"] == 1.0


def test_disagreeing_sources_and_unplayed_scales_are_told(tmp_path: Path) -> None:
    text = config_text(lora_alpha=8)
    both = read_adapter(saved(tmp_path, canonical() | alphas(6.0), {"lora_adapter_metadata": text}), MODULES)
    assert "alpha tensors say scale 1.5, lora_adapter_metadata says 2; the first is used" in both.notes
    raw = read_adapter(saved(tmp_path, canonical(), {"lora_adapter_metadata": text}), MODULES)
    assert "trained at scale 2; other tools play this file at 1" in raw.notes
    played = read_adapter(raw.path, MODULES, scale="played")
    assert set(played.scales.values()) == {1.0}


def test_unreadable_metadata_is_told_not_fatal(tmp_path: Path) -> None:
    adapter = read_adapter(saved(tmp_path, canonical(), {"lora_adapter_metadata": "{broken"}), MODULES)
    assert set(adapter.scales.values()) == {1.0}
    assert any(note.startswith("lora_adapter_metadata cannot be read") for note in adapter.notes)


def test_extra_keys_are_counted_and_named(tmp_path: Path) -> None:
    extra = {"text_encoder.q.lora_A.weight": torch.zeros(2, 2), f"{QUERY}.diff_b": torch.zeros(32)}
    adapter = read_adapter(saved(tmp_path, canonical() | extra), MODULES)
    assert set(adapter.unmatched) == set(extra)
    assert adapter.notes[0].startswith("2 keys are not used: ")


def changed(key: str, value: Tensor | None) -> dict[str, Tensor]:
    tensors = canonical()
    if value is None:
        del tensors[key]
    else:
        tensors[key] = value
    return tensors


DOWN, UP = f"{QUERY}.lora_A.weight", f"{QUERY}.lora_B.weight"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"unknown.lora_A.weight": torch.zeros(2, 2)}, "none of its 1 keys names a module of ACE-Step v1"),
        ({"layers.0.self_attn.q_proj.lora_A.weight": torch.zeros(2, 2)}, "this LoRA is for ACE-Step 1.5"),
        (canonical() | {f"{QUERY}.lora_magnitude_vector": torch.zeros(32)}, "a DoRA adapter"),
        ({f"lycoris_{QUERY.replace('.', '_')}.hada_w1_a": torch.zeros(2, 2)}, "a LoHa adapter"),
        ({f"diffusion_model.{QUERY}.lokr_w1": torch.zeros(2, 2)}, "a LoKr adapter"),
        (changed(UP, None), f"1 modules have only half of their pair .{QUERY}"),
        (changed(UP, torch.zeros(32, 3)), "1 pairs disagree about their rank"),
        (changed(DOWN, torch.zeros(4, 31)), "1 pairs do not fit the base model"),
        (changed(DOWN, torch.full((4, 32), float("nan"))), "1 modules hold values that are not finite"),
        (changed(f"transformer.{DOWN}", torch.zeros(4, 32)), "1 keys name a tensor that another key names too"),
        (changed(f"{QUERY}.alpha", torch.zeros(2)), "holds 2 values instead of one"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(tmp_path: Path, tensors: dict[str, Tensor], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read_adapter(saved(tmp_path, tensors), MODULES)


def test_a_lora_of_another_size_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        read_adapter(saved(tmp_path, changed(DOWN, torch.zeros(4, 31))), MODULES)
    assert "a model of another size" in error.value.hint and "pretrained_model_name_or_path" in error.value.hint


def test_refusals_count_and_give_three_examples(tmp_path: Path) -> None:
    tensors = {key: value for key, value in canonical().items() if "lora_B" not in key}
    with pytest.raises(ModelError) as error:
        read_adapter(saved(tmp_path, tensors), MODULES)
    assert f"{len(tensors)} modules" in error.value.message and error.value.message.count(";") == 2


def test_files_that_are_no_adapter_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such adapter file"):
        read_adapter(tmp_path / "nothing.safetensors", MODULES)
    (tmp_path / "lora.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"not a \.safetensors file"):
        read_adapter(tmp_path / "lora.bin", MODULES)
    torn = saved(tmp_path, canonical())
    torn.write_bytes(torn.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        read_adapter(torn, MODULES)
    torn.write_bytes(b"PK\x03\x04 this is a zip file, not safetensors")
    with pytest.raises(ModelError, match="not a safetensors file"):
        read_adapter(torn, MODULES)
