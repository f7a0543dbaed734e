"""Which files a run's model is made of: a variant, another transformer; and how a card computes fp32."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.model_files import DIFFUSERS_WEIGHTS, SUB_FOLDERS, TRANSFORMER_FOLDER, weight_files
from engine.model.family import AceStepV1
from engine.model.load import load_transformer
from engine.model.tiny import write_tiny_checkpoint
from engine.train.device import set_tf32
from engine.train.find_model import find_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def model(tiny, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def found(said: dict[str, str] | None = None, **settings):
    return find_model(Config.from_dict(settings), warn=({} if said is None else said).__setitem__)


def weights_of(checkpoint, name: str = "genre_embedder.weight") -> torch.Tensor:
    return dict(load_transformer(checkpoint, dtype=torch.float32, device=CPU).named_parameters())[name]


def doubled(file: Path, target: Path) -> None:
    save_file({name: value * 2 for name, value in load_file(file).items()}, target, metadata={"format": "pt"})


def test_a_variant_is_read_where_there_is_one(model):
    folder = model / TRANSFORMER_FOLDER
    doubled(folder / DIFFUSERS_WEIGHTS, folder / "diffusion_pytorch_model.fp16.safetensors")
    ordinary = found(pretrained_model_name_or_path=str(model))
    said: dict[str, str] = {}
    variant = found(said, pretrained_model_name_or_path=str(model), variant="fp16")
    assert torch.equal(weights_of(variant), weights_of(ordinary) * 2)
    assert all(name in said["no_variant"] for name in SUB_FOLDERS if name != TRANSFORMER_FOLDER)
    assert TRANSFORMER_FOLDER not in said["no_variant"]


def test_what_is_encoded_with_a_variant_is_kept_apart(model):
    folder = model / "music_dcae_f8c8"
    doubled(folder / DIFFUSERS_WEIGHTS, folder / "diffusion_pytorch_model.fp16.safetensors")
    family = AceStepV1(found(pretrained_model_name_or_path=str(model), variant="fp16"))
    other = AceStepV1(found(pretrained_model_name_or_path=str(model)))
    assert family.audio_encoder_id(dtype="fp32") != other.audio_encoder_id(dtype="fp32")
    codec = family.load_codec(dtype=torch.float32, device=CPU)
    plain = other.load_codec(dtype=torch.float32, device=CPU)
    name, value = next(iter(plain.dcae.named_parameters()))
    assert torch.equal(dict(codec.dcae.named_parameters())[name], value * 2)


def test_a_variant_in_parts_has_an_index_of_its_own(tmp_path):
    (tmp_path / "a.safetensors").touch()
    (tmp_path / "b.safetensors").touch()
    index = tmp_path / "diffusion_pytorch_model.safetensors.index.fp16.json"
    index.write_text('{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}', encoding="utf-8")
    assert [path.name for path in weight_files(tmp_path, variant="fp16")] == ["a.safetensors", "b.safetensors"]


def test_a_variant_that_no_part_has_is_refused(tiny):
    with pytest.raises(ModelError, match="no weights of the variant fp8") as error:
        found(pretrained_model_name_or_path=str(tiny), variant="fp8")
    assert "diffusion_pytorch_model.fp8.safetensors" in error.value.hint


@pytest.mark.parametrize("given", ["root", "folder"])
def test_another_transformer_takes_the_place_of_the_models_own(tiny, tmp_path, given):
    other = write_tiny_checkpoint(tmp_path / "other", seed=5)
    for name in SUB_FOLDERS[1:]:
        shutil.rmtree(other / name)  # nothing but the transformer is needed there
    path = other if given == "root" else other / TRANSFORMER_FOLDER
    checkpoint = found(pretrained_model_name_or_path=str(tiny), pretrained_transformer_model_name_or_path=str(path))
    assert checkpoint.transformer == other / TRANSFORMER_FOLDER
    assert checkpoint.text_encoder == tiny / SUB_FOLDERS[3]
    assert not torch.equal(weights_of(checkpoint), weights_of(found(pretrained_model_name_or_path=str(tiny))))


def test_another_transformer_that_is_not_there_is_said(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="lacks the sub-folder ace_step_transformer"):
        found(
            pretrained_model_name_or_path=str(tiny),
            pretrained_transformer_model_name_or_path=str(tmp_path / "empty"),
        )


def test_tf32_is_a_matter_of_nvidias_cards_alone(monkeypatch):
    for place in (torch.backends.cuda.matmul, torch.backends.cudnn):
        monkeypatch.setattr(place, "allow_tf32", False)
    set_tf32(Config.from_dict({}), CPU)
    assert not torch.backends.cuda.matmul.allow_tf32
    set_tf32(Config.from_dict({}), torch.device("cuda"))
    assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
    set_tf32(Config.from_dict({"disable_tf32": True}), torch.device("cuda"))
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
