"""MERT and mHuBERT into the class both derive from: names, refusals, a pickle that is read once and never run."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from engine.contract.errors import ModelError
from engine.contract.feature_models import FEATURE_MODELS, MERT, MHUBERT, PICKLED_WEIGHTS, SAFETENSORS_WEIGHTS
from engine.hardware.feature_models import feature_model_status
from engine.model import ssl_checkpoint
from engine.model.ssl_checkpoint import feature_fingerprint, load_feature_model, map_names, safetensors_form
from engine.model.tensor_file import read_header
from engine.model.tiny_features import TINY_WIDTHS, write_tiny_feature_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("features")
    return {model.name: write_tiny_feature_model(root / model.name, model) for model in FEATURE_MODELS}


@pytest.fixture
def mert(tmp_path: Path) -> Path:
    return write_tiny_feature_model(tmp_path / "mert", MERT)


def load(folder: Path, model=MERT, *, converted: Path | None = None, width: int | None = None):
    return load_feature_model(
        folder, model, width=width or TINY_WIDTHS[model.name], converted=converted or folder / "kept", device=CPU
    )


def test_names_are_those_of_the_published_files(written):
    for model in FEATURE_MODELS:
        names = set(stored(written[model.name]))
        assert {
            "masked_spec_embed",
            "encoder.pos_conv_embed.conv.weight_g",
            "encoder.layers.1.attention.q_proj.bias",
        } <= names
        mapped = map_names(names)
        assert mapped.left_out == ("masked_spec_embed",)
        assert mapped.wanted["encoder.pos_conv_embed.conv.parametrizations.weight.original1"].endswith("weight_v")
    prefixed = map_names(["hubert.encoder.layer_norm.weight", "lm_head.weight", "mert_model.feature_projection.x"])
    assert prefixed.wanted == {
        "encoder.layer_norm.weight": "hubert.encoder.layer_norm.weight",
        "feature_projection.x": "mert_model.feature_projection.x",
    }
    assert prefixed.left_out == ("lm_head.weight",)


def stored(folder: Path) -> dict[str, torch.Tensor]:
    if (folder / PICKLED_WEIGHTS).exists():
        return torch.load(folder / PICKLED_WEIGHTS, weights_only=True)
    from safetensors.torch import load_file

    return load_file(folder / SAFETENSORS_WEIGHTS)


@pytest.mark.parametrize("model", FEATURE_MODELS, ids=lambda model: model.name)
def test_the_module_holds_the_files_numbers(written, tmp_path, model):
    module = load(written[model.name], model, converted=tmp_path)
    assert not module.training and not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(parameter.is_meta for parameter in module.parameters())
    state, file = module.state_dict(), stored(written[model.name])
    assert len(state) == len(file) - 1
    for name, original in map_names(file).wanted.items():
        torch.testing.assert_close(state[name], file[original], rtol=0, atol=0)
    # The two factors really make the convolution's weight: g * v / |v|, the norm over all but the last dimension.
    conv = module.encoder.pos_conv_embed.conv
    g, v = file["encoder.pos_conv_embed.conv.weight_g"], file["encoder.pos_conv_embed.conv.weight_v"]
    torch.testing.assert_close(conv.weight, g * v / v.norm(dim=(0, 1), keepdim=True))


def test_a_pickle_is_read_once_and_then_its_safetensors(mert, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    first = load(mert, converted=kept).state_dict()
    (file,) = kept.iterdir()
    assert file.name.startswith("mert-") and set(read_header(file)) == set(stored(mert))
    monkeypatch.setattr(ssl_checkpoint.torch, "load", lambda *_, **__: pytest.fail("a pickle is read a second time"))
    again = load(mert, converted=kept).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


class Trap:
    """What a malicious file holds: a call that unpickling would make."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("old_format", [False, True], ids=["archive", "bare pickle"])
def test_a_pickle_with_code_is_refused_and_not_run(mert, tmp_path, old_format):
    sprung = tmp_path / "sprung"
    torch.save({"weight": Trap(sprung)}, mert / PICKLED_WEIGHTS, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(ModelError, match="more than tensors and is refused"):
        load(mert)
    (mert / PICKLED_WEIGHTS).write_bytes(pickle.dumps(Trap(sprung), protocol=2))
    with pytest.raises(ModelError, match=r"more than tensors|cannot be read"):
        load(mert)
    assert not sprung.exists() and not (mert / "kept").exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [([torch.zeros(1)], "not a table of tensors"), ({"model": {"w": torch.zeros(1)}}, "not a table of tensors")],
)
def test_a_pickle_of_something_else_is_refused(mert, state, words):
    torch.save(state, mert / PICKLED_WEIGHTS)
    with pytest.raises(ModelError, match=words):
        load(mert)


@pytest.mark.parametrize("drop", ["encoder.layers.1.final_layer_norm.bias", "encoder.pos_conv_embed.conv.weight_v"])
def test_a_missing_tensor_is_named(mert, drop):
    state = stored(mert)
    del state[drop]
    torch.save(state, mert / PICKLED_WEIGHTS)
    name = drop.replace("weight_v", "parametrizations.weight.original1")
    with pytest.raises(ModelError, match=f"1 missing .{name}"):
        load(mert)


def test_an_unknown_tensor_is_named(mert):
    torch.save(stored(mert) | {"feature_extractor_cqt.kernel": torch.zeros(2)}, mert / PICKLED_WEIGHTS)
    with pytest.raises(ModelError, match=r"1 unexpected \(feature_extractor_cqt\.kernel\)"):
        load(mert)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "wav2vec2"}, "model_type is 'wav2vec2'"),
        ({"hidden_size": 64}, "features are 64 wide, the model that is trained foretells 32"),
        ({"sample_rate": 16000}, "hears 16000 Hz, not 24000"),
        ({"feature_extractor_cqt": True}, "a CQT beside the convolutions"),
        ({"deepnorm": True}, "scaled residuals"),
        ({"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "320 samples, not 160"),
        ({"conv_stride": "often"}, "does not describe MERT"),
        ({"num_attention_heads": 7}, "does not describe MERT"),
    ],
)
def test_a_configuration_of_something_else_is_refused(mert, change, words):
    config = json.loads((mert / "config.json").read_text())
    (mert / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=words):
        load(mert)


def test_no_program_code_of_the_repository_is_touched(mert, tmp_path):
    """`auto_map` names classes of the repository; they are never looked for."""
    for name in ("configuration_MERT.py", "modeling_MERT.py"):
        (mert / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    load(mert)
    assert not (tmp_path / "ran").exists()


def test_status_tells_whole_cut_off_and_missing(written, mert, tmp_path):
    for model in FEATURE_MODELS:
        status = feature_model_status(model, written[model.name])
        assert status.is_whole and status.path == written[model.name] and status.parts[0].name == model.name
    whole = (mert / PICKLED_WEIGHTS).read_bytes()
    (mert / PICKLED_WEIGHTS).write_bytes(whole[:-100])
    assert "is cut off" in feature_model_status(MERT, mert).parts[0].problem
    (mert / PICKLED_WEIGHTS).write_bytes(b"<html>")
    assert "no file of weights" in feature_model_status(MERT, mert).parts[0].problem
    (mert / PICKLED_WEIGHTS).unlink()
    assert "holds neither" in feature_model_status(MERT, mert).parts[0].problem
    assert feature_model_status(MERT, tmp_path / "nowhere").problem.startswith("there is no folder")
    absent = feature_model_status(MHUBERT, cache_dir=tmp_path / "hub")
    assert absent.parts[0].state == "missing" and absent.missing_bytes == MHUBERT.download_bytes


def test_other_weights_have_another_fingerprint(written, mert):
    assert feature_fingerprint(mert) == feature_fingerprint(written["mert"])
    write_tiny_feature_model(mert, MERT, seed=1)
    assert feature_fingerprint(mert) != feature_fingerprint(written["mert"])
    assert safetensors_form(written["mhubert"] / SAFETENSORS_WEIGHTS, MHUBERT, converted=mert).parent != mert


PUBLISHED = {
    "mert": {
        "activation_dropout": 0.0, "apply_spec_augment": True, "architectures": ["MERTModel"], "attention_dropout": 0.0,
        "attention_relax": 32.0, "classifier_proj_size": 256, "conv_bias": False, "conv_dim": [512] * 7,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "deepnorm": False,
        "do_stable_layer_norm": True, "feat_extract_activation": "gelu", "feat_extract_dropout": 0.0,
        "feat_extract_norm": "group", "feat_proj_layer_norm": True, "feature_extractor_cqt": False,
        "feature_extractor_cqt_bins": 336, "gradient_checkpointing": False, "hidden_act": "gelu", "hidden_size": 1024,
        "intermediate_size": 4096, "layer_norm_eps": 1e-05, "layerdrop": 0.0, "mask_channel_length": 10,
        "mask_channel_selection": "static", "model_type": "mert_model", "num_attention_heads": 16,
        "num_hidden_layers": 24, "sample_rate": 24000, "torch_dtype": "float32", "transformers_version": "4.27.1",
    },
    "mhubert": {
        "activation_dropout": 0.1, "apply_spec_augment": True, "conv_bias": False, "conv_dim": [512] * 7,
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "do_stable_layer_norm": False,
        "feat_extract_norm": "group", "feat_proj_layer_norm": True, "gradient_checkpointing": False,
        "hidden_size": 768, "intermediate_size": 3072, "layerdrop": 0.1, "mask_time_prob": 0.05,
        "model_type": "hubert", "num_attention_heads": 12, "num_hidden_layers": 12,
    },
}  # fmt: skip


@pytest.mark.parametrize("model", FEATURE_MODELS, ids=lambda model: model.name)
def test_the_published_configurations_build_what_is_declared_of_them(tmp_path, model):
    """Facts of the published files: their switches, and sizes that follow from them."""
    from transformers import HubertModel

    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED[model.name]))
    with torch.device("meta"):
        module = HubertModel(ssl_checkpoint.read_feature_config(tmp_path, model, width=model.width))
    num_parameters = sum(parameter.numel() for parameter in module.parameters())
    assert num_parameters == pytest.approx(model.num_parameters, rel=0.01)
    assert num_parameters * 4 == pytest.approx(model.download_bytes, rel=0.01)
    assert type(module.encoder).__name__.endswith("StableLayerNorm") is (model is MERT)
    assert int(module._get_feat_extract_output_lengths(torch.tensor([model.chunk_samples]))) == model.full_chunk_frames
