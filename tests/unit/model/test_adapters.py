import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model

from engine.contract.config import Config
from engine.contract.errors import ConfigError, ModelError
from engine.model.adapters import (
    ADAPTER_NAME,
    LoraSpec,
    adapter_disabled,
    adapter_scaled,
    adapter_state,
    add_lora,
    known_modules,
    load_adapter_state,
    lora_layers,
    lora_spec,
    lora_targets,
)
from engine.model.card import real_config
from tests.unit.export.small import EVERYWHERE, WITH_CONVS, small_model, small_sample, trained_model

SPEC = LoraSpec(rank=4, alpha=8, use_rslora=True, target_modules=WITH_CONVS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("second", [False, True])
def test_a_new_adapter_is_the_base_model_bit_for_bit(dtype: torch.dtype, second: bool) -> None:
    # Frozen, as every base is that gets an adapter: some processors multiply by another kernel when a weight is not.
    model = small_model(second=second, dtype=dtype).requires_grad_(False)
    sample = small_sample(model.config)
    before = sample.predict(model)
    add_lora(model, SPEC, seed=0)
    assert torch.equal(sample.predict(model), before)
    model.train()
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B[ADAPTER_NAME].weight.normal_()
    assert not torch.equal(sample.predict(model.eval()), before)


def test_start_depends_on_seed_and_module_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one = small_model()
    add_lora(one, SPEC, seed=3)
    assert torch.equal(before, torch.get_rng_state()), "the global generator was used"
    torch.manual_seed(99)
    fewer = small_model()
    add_lora(fewer, LoraSpec(rank=4, alpha=1, target_modules=("to_v",)), seed=3)
    state = adapter_state(one)
    assert all(torch.equal(state[key], value) for key, value in adapter_state(fewer).items())
    other = small_model()
    add_lora(other, SPEC, seed=4)
    key = "transformer_blocks.0.attn.to_q.lora_A.weight"
    assert not torch.equal(adapter_state(other)[key], state[key])


@pytest.mark.parametrize(("init", "expected"), [("default", (1 / 32) ** 0.5 / 3**0.5), ("gaussian", 1 / 8)])
def test_first_halves_start_like_peft_and_second_halves_at_zero(init: str, expected: float) -> None:
    model = small_model()
    add_lora(model, LoraSpec(rank=8, alpha=8, init=init, target_modules=("to_q", "to_k", "to_v")), seed=0)
    layers = lora_layers(model).values()
    down = torch.cat([layer.lora_A[ADAPTER_NAME].weight.flatten() for layer in layers])
    assert float(down.detach().std()) == pytest.approx(expected, rel=0.05)
    assert all(not layer.lora_B[ADAPTER_NAME].weight.any() for layer in layers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_the_adapter_is_trained_and_in_float32(dtype: torch.dtype) -> None:
    model = small_model(dtype=dtype)
    add_lora(model, SPEC, seed=0)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (f".{ADAPTER_NAME}." in name), name
        assert parameter.dtype is (torch.float32 if parameter.requires_grad else dtype), name
    sample = small_sample(model.config)
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            model(sample.x_t, sample.t, model.encode_conditions(sample.inputs)).velocity.sum().backward()
        gradients = [layer.lora_B[ADAPTER_NAME].weight.grad for layer in lora_layers(model).values()]
        assert all(gradient is not None and gradient.any() for gradient in gradients)


def test_low_rank_product_on_a_bfloat16_base_is_computed_in_float32() -> None:
    model = trained_model(SPEC, dtype=torch.bfloat16)
    layer = lora_layers(model)["transformer_blocks.0.attn.to_q"]
    x = torch.randn(3, 32, dtype=torch.bfloat16)
    down, up = (part[ADAPTER_NAME].weight for part in (layer.lora_A, layer.lora_B))
    exact = layer.get_base_layer()(x) + SPEC.scale * (x.float() @ down.T @ up.T)
    assert torch.equal(layer(x), exact.bfloat16())


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("alpha", "dropout"), [(8, 0.5), (8, 0.0), (2, 0.0)])
def test_output_dropout_and_gradients_are_those_of_peft(
    dtype: torch.dtype, autocast: bool, alpha: float, dropout: float
) -> None:
    # Alpha 2 is a scale of 1.
    targets = ("to_q", "to_out.0", "linear_k")
    spec = LoraSpec(rank=4, alpha=alpha, use_rslora=True, dropout=dropout, target_modules=targets)
    ours, theirs = trained_model(spec, dtype=dtype), small_model(dtype=dtype).requires_grad_(False)
    config = LoraConfig(
        r=4, lora_alpha=alpha, use_rslora=True, lora_dropout=dropout, target_modules=list(spec.target_modules)
    )
    inject_adapter_in_model(config, theirs, adapter_name=ADAPTER_NAME)
    for name, parameter in theirs.named_parameters():
        parameter.data = parameter.data.float() if f".{ADAPTER_NAME}." in name else parameter.data
    assert theirs.load_state_dict(ours.state_dict()), "every parameter has PEFT's name"
    sample = small_sample(ours.config)
    results = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            velocity = model(sample.x_t, sample.t, model.encode_conditions(sample.inputs)).velocity
        velocity.float().square().sum().backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
        results.append((velocity, gradients))
    (velocity, gradients), (expected, expected_gradients) = results
    assert torch.equal(velocity, expected)
    assert dropout == 0 or not torch.equal(velocity, sample.predict(ours.eval()))
    assert gradients.keys() == expected_gradients.keys()
    assert all(torch.equal(gradients[name], expected_gradients[name]) for name in gradients)


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("spec", [SPEC, LoraSpec(rank=3, alpha=6, target_modules=WITH_CONVS)])
def test_merged_weights_give_the_same_output(spec: LoraSpec, second: bool) -> None:
    model = trained_model(spec, second=second)
    merged = small_model(second=second)
    state = adapter_state(model)
    with torch.no_grad():
        for name in lora_layers(model):
            weight = merged.get_submodule(name).weight
            down, up = state[f"{name}.lora_A.weight"], state[f"{name}.lora_B.weight"]
            weight += spec.scale_of(name) * (up.flatten(1) @ down.flatten(1)).view(weight.shape)
    sample = small_sample(model.config)
    expected = sample.predict(model)
    assert (expected - sample.predict(small_model(second=second))).abs().max() > 0.01
    torch.testing.assert_close(sample.predict(merged), expected, atol=2e-5, rtol=1e-5)


def test_disabled_inside_the_block_and_as_before_after_it() -> None:
    model = trained_model(SPEC)
    sample = small_sample(model.config)
    frozen = next(iter(lora_layers(model).values())).lora_A[ADAPTER_NAME].weight.requires_grad_(False)
    with_adapter, base = sample.predict(model), sample.predict(small_model())
    flags = [parameter.requires_grad for parameter in model.parameters()]
    with pytest.raises(RuntimeError, match="inside"), adapter_disabled(model):
        assert torch.equal(sample.predict(model), base)
        raise RuntimeError("inside")
    assert torch.equal(sample.predict(model), with_adapter)
    assert [parameter.requires_grad for parameter in model.parameters()] == flags and not frozen.requires_grad


def test_scaled_inside_the_block() -> None:
    model = trained_model(SPEC)
    sample = small_sample(model.config)
    with_adapter, base = sample.predict(model), sample.predict(small_model())
    with adapter_scaled(model, 0.0):
        assert torch.equal(sample.predict(model), base)
    with adapter_scaled(model, dict.fromkeys(lora_layers(model), SPEC.scale)):
        assert torch.equal(sample.predict(model), with_adapter)
    assert torch.equal(sample.predict(model), with_adapter)


def test_state_has_canonical_keys_and_file_shapes_and_loads_back() -> None:
    model = trained_model(SPEC)
    state = {key: value.clone() for key, value in adapter_state(model).items()}
    assert tuple(state["transformer_blocks.0.ff.inverted_conv.conv.lora_A.weight"].shape) == (4, 32, 1)
    assert tuple(state["transformer_blocks.1.ff.point_conv.conv.lora_B.weight"].shape) == (32, 4, 1)
    assert tuple(state["proj_in.early_conv_layers.0.lora_A.weight"].shape) == (4, 8, 16, 1)
    assert tuple(state["transformer_blocks.0.cross_attn.to_out.0.lora_A.weight"].shape) == (4, 32)
    fresh = small_model()
    add_lora(fresh, SPEC, seed=8)
    extra = {"somewhere.lora_A.weight": torch.zeros(4, 4)}
    left_out = "lyric_encoder.encoders.0.self_attn.linear_q.lora_A.weight"
    report = load_adapter_state(fresh, {key: state[key] for key in state if key != left_out} | extra)
    assert len(report.matched) == len(state) - 1
    assert report.missing == (left_out,) and report.unexpected == ("somewhere.lora_A.weight",)
    load_adapter_state(fresh, state)
    sample = small_sample(model.config)
    assert torch.equal(sample.predict(fresh), sample.predict(model))


def test_another_rank_is_refused_and_nothing_is_changed() -> None:
    model = trained_model(SPEC)
    before = copy.deepcopy(adapter_state(model))
    with pytest.raises(ModelError, match="do not fit the model") as error:
        load_adapter_state(model, adapter_state(trained_model(LoraSpec(rank=2, alpha=2))))
    assert "(2, 24) instead of (4, 24)" in error.value.message and error.value.hint
    assert all(torch.equal(before[key], value) for key, value in adapter_state(model).items())


def test_mixed_ranks_and_alphas_by_module_path() -> None:
    module = "transformer_blocks.1.attn.to_q"
    spec = LoraSpec(rank=4, alpha=4, target_modules=EVERYWHERE, rank_pattern={module: 2}, alpha_pattern={module: 6.0})
    model = small_model()
    add_lora(model, spec, seed=0)
    ranks = {name: layer.r[ADAPTER_NAME] for name, layer in lora_layers(model).items()}
    assert ranks.pop(module) == 2 and set(ranks.values()) == {4}
    for name, layer in lora_layers(model).items():
        assert layer.scaling[ADAPTER_NAME] == spec.scale_of(name) == (3.0 if name == module else 1.0)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("to_qq", ("'to_qq'", "no module", "to_q")),
        ("linear_query", ("'linear_query'", "linear_q")),
        ("add_q_proj", ("'add_q_proj'", "no module")),
        ("ff.depth_conv.conv", ("depth_conv", "not offered", "ff.point_conv.conv")),
        ("lyric_embs", ("lyric embedding table", "not offered", "lyric_proj")),
        ("norm_mha", ("norm_mha", "LayerNorm", "only linear layers")),
    ],
)
def test_targets_that_cannot_be_are_refused_with_what_to_do(target: str, words: tuple[str, ...]) -> None:
    model = small_model()
    with pytest.raises(ConfigError) as error:
        add_lora(model, LoraSpec(rank=4, alpha=4, target_modules=("to_q", target)), seed=0)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert not lora_layers(model), "the model was changed before the check"


def test_targets_of_a_configuration() -> None:
    attention = ("to_q", "to_k", "to_v", "to_out.0")
    lyrics = ("linear_q", "linear_k", "linear_v")
    assert lora_targets(Config.from_dict({})) == attention + lyrics
    assert lora_targets(Config.from_dict({"acestep_lora_target": "attn_qkv"})) == attention
    speech = Config.from_dict({"acestep_lora_target": "attn_qkv+linear_qkv+speech_embedder"})
    assert lora_targets(speech) == (*attention, *lyrics, "speaker_embedder")
    assert lora_targets(Config.from_dict({"peft_lora_target_modules": ["to_q"]})) == ("to_q",)


def test_spec_of_a_configuration() -> None:
    spec = lora_spec(Config.from_dict({"lora_rank": 64}))
    assert spec.alpha == 64 and spec.scale == 1.0
    upstream = Config.from_dict({"lora_rank": 256, "lora_alpha": 32.0, "lora_use_rslora": True})
    assert lora_spec(upstream).scale == 2.0


def test_known_modules_of_the_real_model_and_upstreams_counts() -> None:
    modules = known_modules(real_config())
    assert modules["transformer_blocks.0.ff.inverted_conv.conv"] == (12800, 2560, 1)
    assert modules["lyric_embs"] == (6693, 1024)
    assert modules["transformer_blocks.23.cross_attn.to_add_out"] == (2560, 2560)
    assert "lyric_encoder.after_norm" not in modules

    def trained(rank: int, suffixes: tuple[str, ...]) -> tuple[int, int]:
        chosen = [shape for name, shape in modules.items() if name.endswith(tuple(f".{s}" for s in suffixes))]
        chosen += [modules[name] for name in suffixes if name in modules]
        return len(chosen), sum(rank * (shape[0] + shape[1]) for shape in chosen)

    assert trained(16, EVERYWHERE) == (210, 16_318_464)
    assert trained(256, (*EVERYWHERE, "speaker_embedder")) == (211, 261_881_856)


def test_dropout_acts_in_training_only() -> None:
    model = trained_model(LoraSpec(rank=4, alpha=8, dropout=0.5))
    sample = small_sample(model.config)
    assert torch.equal(sample.predict(model), sample.predict(model))
    layer = lora_layers(model)["transformer_blocks.0.attn.to_q"]
    assert layer.probability == 0.5
    model.train()
    assert not torch.equal(sample.predict(model), sample.predict(model))


def test_scale_is_that_of_peft() -> None:
    for use_rslora in (False, True):
        spec = LoraSpec(rank=9, alpha=5.5, use_rslora=use_rslora)
        model = small_model()
        add_lora(model, spec, seed=0)
        assert {layer.scaling[ADAPTER_NAME] for layer in lora_layers(model).values()} == {spec.scale}
        assert LoraConfig(r=9, lora_alpha=5.5, use_rslora=use_rslora).lora_alpha == spec.alpha
