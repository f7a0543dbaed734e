"""What takes no part in training is not in the model, and stands in full checkpoints as it was (issue: dead weight)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.contract.config import Config
from engine.contract.model_files import DIFFUSERS_WEIGHTS, TRANSFORMER_FOLDER
from engine.model.adapters import LoraSpec, add_lora, lora_layers
from engine.model.load import Checkpoint, load_transformer
from engine.model.parameter_names import UNUSED_PROJECTIONS, is_projector
from engine.model.transformer import AceStepTransformer
from engine.train.trainable import choose_trainable
from engine.train.weights import FullWeights
from tests.unit.export.small import small_model, small_sample
from tests.unit.model.small import small_inputs

CPU = torch.device("cpu")
FULL = Config.from_dict({"model_type": "full", "mixed_precision": "no"})


class Trained:
    """A fully trained model: every weight that is trained differs from the source; and its checkpoint."""

    def __init__(self, source: Checkpoint, folder: Path) -> None:
        self.model = load_transformer(source, dtype=torch.float32, device=CPU)
        self.names = choose_trainable(self.model, FULL).keys()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(0.5)
        self.weights = FullWeights(self.model, source)
        self.weights.save(folder, step=1)
        self.before = load_file(source.transformer / DIFFUSERS_WEIGHTS)
        self.after = load_file(folder / TRANSFORMER_FOLDER / DIFFUSERS_WEIGHTS)
        assert self.before.keys() == self.after.keys()

    def unchanged(self) -> set[str]:
        return {name for name, one in self.before.items() if torch.equal(self.after[name], one.float())}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("full") / "checkpoint-1"


@pytest.fixture(scope="module")
def trained(tiny: Checkpoint, saved: Path) -> Trained:
    return Trained(tiny, saved)


def test_add_kv_projections_are_never_loaded_and_written_back(trained: Trained) -> None:
    dead = {name for name in trained.before if name.split(".")[-2] in UNUSED_PROJECTIONS}
    assert len(dead) == 8 * trained.model.config.num_layers
    assert not dead & trained.model.state_dict().keys() and dead <= trained.unchanged()


def test_projectors_are_not_loaded_without_their_loss_and_written_back(trained: Trained) -> None:
    dead = {name for name in trained.before if is_projector(name)}
    assert dead and not dead & trained.model.state_dict().keys() and dead <= trained.unchanged()


def test_the_speaker_is_a_constant_and_its_weight_is_written_back(trained: Trained) -> None:
    assert "speaker_embedder.weight" not in trained.model.state_dict()
    assert "speaker_embedder.weight" in trained.unchanged() and "speaker_embedder.bias" not in trained.unchanged()
    dead = {name for name in trained.before if name.split(".")[-2] in UNUSED_PROJECTIONS or is_projector(name)}
    assert trained.unchanged() == dead | {"speaker_embedder.weight"} == trained.before.keys() - trained.names


def test_a_full_checkpoint_is_read_back_bit_for_bit(trained: Trained, saved: Path) -> None:
    assert trained.weights.equal_to(saved)
    before = {name: tensor.clone() for name, tensor in trained.model.state_dict().items()}
    with torch.no_grad():
        trained.model.speaker_embedder.get_parameter("bias").zero_()
    assert not trained.weights.equal_to(saved)
    trained.weights.load(saved)
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.model.state_dict().items())


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_speaker_gives_the_same_without_the_weight(dtype: torch.dtype, autocast: bool) -> None:
    plain, lean = small_model(dtype=dtype), small_model(dtype=dtype)
    lean.leave_speaker_out()
    inputs = replace(small_sample(plain.config).inputs, speaker=None)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        tokens = [model.encode_conditions(inputs).tokens for model in (plain, lean)]
    assert tokens[0].dtype is tokens[1].dtype and torch.equal(*tokens)
    for one in tokens:
        one.float().square().sum().backward()
    assert torch.equal(plain.speaker_embedder.bias.grad, lean.speaker_embedder.bias.grad)


def test_a_speaker_needs_the_weight() -> None:
    model = small_model()
    model.leave_speaker_out()
    with pytest.raises(ValueError, match="without a speaker"):
        model.encode_conditions(small_inputs(model.config))


def test_an_adapter_on_the_speaker_keeps_the_weight() -> None:
    model: AceStepTransformer = small_model()
    add_lora(model, LoraSpec(rank=2, alpha=2, target_modules=("speaker_embedder",)), seed=0)
    names = choose_trainable(model, Config.from_dict({})).keys()
    assert set(lora_layers(model)) == {"speaker_embedder"} and len(names) == 2
    assert "speaker_embedder.base_layer.weight" in model.state_dict()
