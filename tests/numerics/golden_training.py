"""Golden vectors of training: the timestep table, one training step, and the adapter in every scale."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.export.adapter_file import config_json, read_adapter, write_tensors
from engine.model.adapters import (
    ADAPTER_NAME,
    LoraSpec,
    adapter_disabled,
    adapter_scaled,
    adapter_state,
    add_lora,
    known_modules,
    load_adapter_state,
)
from engine.model.transformer import AceStepTransformer
from engine.objective.loss import LossTerms, compute_loss
from engine.objective.timesteps import index_of_normal, sigma_table, timesteps_of
from tests.numerics.golden_common import GOLDEN, assert_near, load, load_json, with_prefix
from tests.numerics.golden_transformer import condition_inputs, tiny_config, tiny_transformer

TRAINSTEPS = sorted(path.stem for path in GOLDEN.glob("transformer_tiny.trainstep_*.safetensors"))
ADAPTER_FILE = GOLDEN / "transformer_tiny.pytorch_lora_weights.safetensors"


def golden_spec(config: dict[str, Any]) -> LoraSpec:
    """The adapter of a ``lora_config`` entry."""
    return LoraSpec(
        rank=config["r"],
        alpha=config["lora_alpha"],
        use_rslora=config["use_rslora"],
        target_modules=tuple(config["target_modules"]),
        rank_pattern=config.get("rank_pattern") or {},
        alpha_pattern=config.get("alpha_pattern") or {},
    )


def model_with_adapter() -> AceStepTransformer:
    """The tiny transformer with the vectors' adapter on it, read by the importer."""
    model = tiny_transformer()
    add_lora(model, golden_spec(load_json("transformer_tiny.lora_forward")["lora_config"]), seed=0)
    report = load_adapter_state(model, read_adapter(ADAPTER_FILE, known_modules(tiny_config())).tensors)
    assert report.matched and not report.missing and not report.unexpected
    return model


def shift_of(index: Tensor, sigmas: Tensor) -> float:
    """The schedule shift some table entries were made with: ``sigma (1 - s) / (s (1 - sigma))`` with s before it."""
    k = int(index.argmax())
    s, sigma = 1 - index[k].double() / 1000, sigmas[k].double()
    return round(float(sigma * (1 - s) / (s * (1 - sigma))), 3)


def golden_loss(model: AceStepTransformer, vectors: dict[str, Tensor], values: dict[str, Any]) -> LossTerms:
    """One training step in upstream's form, with the noise and table indices of the vectors."""
    names = model.config.ssl_names
    batch_size = vectors["in.latents"].shape[0]
    targets = {name: [vectors.get(f"in.ssl.{name}.{sample}") for sample in range(batch_size)] for name in names}
    return compute_loss(
        model,
        x_0=vectors["in.latents"],
        noise=vectors["in.noise"],
        timestep_index=vectors["in.timestep_index"],
        sigmas=sigma_table(shift_of(vectors["in.timestep_index"], vectors["in.sigmas"])),
        inputs=condition_inputs(vectors),
        frame_mask=vectors["in.attention_mask"],
        ssl_targets=targets,
        ssl_weight=values["ssl_coeff"],
        padding="upstream",
    )


def assert_loss_and_gradients(model: nn.Module, name: str) -> None:
    """Compare loss, its terms, every stored gradient, the global norm, and which parameters stay without."""
    vectors, values = load(name), load_json(name)
    terms = golden_loss(model, vectors, values)
    terms.total.backward()
    logs = {"train/loss": terms.total, "train/denoising_loss": terms.denoising}
    logs |= {f"train/{ssl_name}_loss": loss for ssl_name, loss in terms.ssl.items()}
    assert_near(terms.total, vectors["out.loss"], atol=0, rtol=1e-5, what="loss")
    for key, expected in values["logs"].items():
        assert_near(logs[key], torch.tensor(expected), atol=0, rtol=1e-5, what=key)
    # Some gradients are 0 but for rounding: a bias on all keys of a softmax moves every score alike.
    rounding = 1e-8 * values["grad_norm_total"]
    gradients = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}
    for key, expected in with_prefix(vectors, "grad.").items():
        error = (gradients[key].reshape(expected.shape) - expected).abs().max()
        assert error <= max(1e-3 * expected.abs().max(), rounding), key
    norm = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients.values()]))
    assert math.isclose(float(norm), values["grad_norm_total"], rel_tol=1e-3)
    assert not gradients.keys() & set(values["params_without_gradient"])


def test_timestep_tables() -> None:
    vectors = load("timestep_table")
    shifts = sorted({key.split(".sigmas")[0] for key in vectors if key.startswith("shift") and key.endswith(".sigmas")})
    assert shifts
    for name in shifts:
        sigmas = sigma_table(float(name.removeprefix("shift")), num=len(vectors[f"{name}.sigmas"]))
        assert_near(sigmas, vectors[f"{name}.sigmas"], atol=1e-6, rtol=0, what=name)
        assert_near(timesteps_of(sigmas), vectors[f"{name}.timesteps"], atol=1e-3, rtol=0, what=name)


def test_timestep_draws() -> None:
    vectors = load("timestep_table")
    cases = [key.removesuffix(".normal") for key in vectors if key.endswith(".normal")]
    assert cases
    for case in cases:
        assert torch.equal(index_of_normal(vectors[f"{case}.normal"]), vectors[f"{case}.index"]), case
    for case in [key.removesuffix(".sigmas") for key in vectors if key.endswith(".sigmas")]:
        index = vectors.get(f"{case}.index")
        if index is not None:
            sigmas = sigma_table(shift_of(index, vectors[f"{case}.sigmas"]))[index]
            assert_near(sigmas, vectors[f"{case}.sigmas"], atol=1e-6, rtol=0, what="sigmas")
            assert_near(timesteps_of(sigmas), vectors[f"{case}.timesteps"], atol=1e-3, rtol=0, what="timesteps")


def test_trainstep_fixtures_are_there() -> None:
    assert TRAINSTEPS, f"no transformer_tiny.trainstep_* in {GOLDEN}"


@pytest.mark.parametrize("name", TRAINSTEPS)
def test_trainstep(name: str) -> None:
    assert_loss_and_gradients(tiny_transformer(), name)


@pytest.mark.parametrize("name", [*TRAINSTEPS, "transformer_tiny.lora_trainstep"])
def test_trainstep_uses_our_sigma_table(name: str) -> None:
    vectors = load(name)
    sigmas = sigma_table(shift_of(vectors["in.timestep_index"], vectors["in.sigmas"]))[vectors["in.timestep_index"]]
    assert_near(sigmas, vectors["in.sigmas"], atol=1e-6, rtol=0, what="sigmas")
    assert_near(timesteps_of(sigmas), vectors["in.timesteps"], atol=1e-3, rtol=0, what="timesteps")


def test_lora_trainstep() -> None:
    model = model_with_adapter()
    assert_loss_and_gradients(model, "transformer_tiny.lora_trainstep")
    trained = [key for key, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained and all(f".{ADAPTER_NAME}." in key for key in trained)


def test_lora_forward_at_every_scale() -> None:
    vectors = load("transformer_tiny.lora_forward")
    model = model_with_adapter()

    def sample() -> Tensor:
        with torch.no_grad():
            conditions = model.encode_conditions(condition_inputs(vectors))
            frame_mask = vectors.get("in.attention_mask")
            return model(
                vectors["in.hidden_states"], vectors["in.timestep"], conditions, frame_mask=frame_mask
            ).velocity

    assert_near(sample(), vectors["out.sample_adapter_active"], what="training scale")
    with adapter_disabled(model):
        assert_near(sample(), vectors["out.sample_base"], what="base")
    prefix = "out.sample_inference_load_weight_"
    strengths = [key.removeprefix(prefix) for key in vectors if key.startswith(prefix)]
    assert strengths
    for strength in strengths:
        with adapter_scaled(model, float(strength)):
            assert_near(sample(), vectors[prefix + strength], what=f"loaded at {strength}")
    assert_near(sample(), vectors["out.sample_adapter_active"], what="training scale again")


def test_adapter_file_has_the_original_keys_shapes_and_metadata() -> None:
    values = load_json("transformer_tiny.lora_forward")
    state = adapter_state(model_with_adapter())
    assert {key: list(tensor.shape) for key, tensor in state.items()} == values["keys"]
    stored = load("transformer_tiny.pytorch_lora_weights")
    assert state.keys() == stored.keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in stored.items())
    adapter = read_adapter(ADAPTER_FILE, known_modules(tiny_config()))
    assert adapter.metadata == values["file_metadata"]
    theirs = json.loads(values["file_metadata"]["lora_adapter_metadata"])
    ours = json.loads(config_json(golden_spec(values["lora_config"])))
    theirs["target_modules"].sort()
    assert ours == {key: theirs[key] for key in ours}


def test_adapter_file_saves_loads_and_saves_bit_equal(tmp_path: Path) -> None:
    adapter = read_adapter(ADAPTER_FILE, known_modules(tiny_config()))
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    write_tensors(first, adapter.tensors, metadata=adapter.metadata, action="test")
    again = read_adapter(first, known_modules(tiny_config()))
    assert again.metadata == adapter.metadata and again.tensors.keys() == adapter.tensors.keys()
    assert all(torch.equal(again.tensors[key], tensor) for key, tensor in adapter.tensors.items())
    write_tensors(second, again.tensors, metadata=again.metadata, action="test")
    assert first.read_bytes() == second.read_bytes()
