"""Weights of 8 and 4 bits: error bounds, gradients, memory, what is quantised and what is not."""

from __future__ import annotations

import itertools
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from optimum.quanto import AbsmaxOptimizer, qint8, quantize_weight
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.model_files import DIFFUSERS_WEIGHTS, TRANSFORMER_FOLDER
from engine.memory.recompute import set_recompute
from engine.model.adapters import LoraSpec, adapter_disabled, adapter_state, add_lora
from engine.model.load import Checkpoint, load_text_encoder, load_transformer, resolve_checkpoint
from engine.model.quantise import (
    GROUP_COLUMNS,
    LYRIC_MODULES,
    Bits,
    Quantisation,
    QuantisedLinear,
    _narrows,
    dequantise,
    keep_wide_weights,
    num_weights,
    quantisation_of,
    quantise,
    quantise_layers,
    text_quantisation_of,
)
from tests.unit.export.small import WITH_CONVS, small_model, small_sample

CPU = torch.device("cpu")
BITS: tuple[Bits, ...] = (8, 4)


def random_weight(rows: int = 48, columns: int = 200, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Rows of very different sizes, one of zeros, one with an outlier."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(rows, columns, generator=generator) * torch.logspace(-4, 1, rows)[:, None]
    weight[5] = 0
    weight[6, 7] = 300
    return weight.to(dtype)


def quantised_linear(bits: Bits, *, columns: int = 200, bias: bool = True, dtype: torch.dtype = torch.float32):
    """A quantised layer and the ordinary one with the same (already rounded) weight."""
    plain = nn.Linear(columns, 48, bias=bias, dtype=dtype).requires_grad_(False)
    plain.weight.data = random_weight(columns=columns, dtype=dtype)
    layer = QuantisedLinear(plain, Quantisation(bits), name="it")
    layer.store(plain.weight, device=CPU, dtype=dtype)
    plain.weight.data = layer.weight
    return layer, plain


def stored_bytes(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize("columns", [200, GROUP_COLUMNS, 96, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bits", BITS)
def test_no_weight_moves_by_more_than_half_a_step(bits: Bits, dtype: torch.dtype, columns: int) -> None:
    weight = random_weight(columns=max(columns, 8), dtype=dtype)[:, :columns]
    stored = quantise(weight, bits)
    found = dequantise(stored, (48, columns), torch.float32)
    steps = stored.steps
    if bits == 4:
        steps = steps.repeat_interleave(GROUP_COLUMNS, dim=1)[:, :columns]
    error = (found - weight.float()).abs()
    assert (error <= steps * 0.5001).all()
    assert found[5].eq(0).all()
    assert found.dtype is torch.float32 and found.shape == weight.shape


@pytest.mark.parametrize(("bits", "band"), [(8, (0.002, 0.01)), (4, (0.05, 0.11))])
def test_a_product_is_wrong_by_a_known_share(bits: Bits, band: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(256, 512, generator=generator) * 0.02
    x = torch.randn(64, 512, generator=generator)
    found = x @ dequantise(quantise(weight, bits), (256, 512), torch.float32).T
    exact = x @ weight.T
    assert band[0] < (found - exact).norm() / exact.norm() < band[1]


@pytest.mark.parametrize("bits", BITS)
def test_widening_rounds_once(bits: Bits) -> None:
    stored = quantise(random_weight(), bits)
    wide = dequantise(stored, (48, 200), torch.float32)
    for dtype in (torch.bfloat16, torch.float16):
        assert torch.equal(dequantise(stored, (48, 200), dtype), wide.to(dtype))


def test_a_value_that_is_not_finite_is_refused_by_name() -> None:
    for bits in BITS:
        for value in (float("nan"), float("inf")):
            weight = random_weight()
            weight[3, 3] = value
            with pytest.raises(ModelError, match=r"blocks\.7 holds values that are not finite"):
                quantise(weight, bits, name="blocks.7")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bits", BITS)
def test_output_and_gradient_are_those_of_the_widened_weight(bits: Bits, bias: bool, dtype: torch.dtype) -> None:
    layer, plain = quantised_linear(bits, bias=bias, dtype=dtype)
    # Not contiguous: frames come transposed out of some layers.
    x = torch.randn(200, 9, 3, generator=torch.Generator().manual_seed(1)).to(dtype).permute(2, 1, 0)
    gradients, outputs = [], []
    for module in (layer, plain):
        module.requires_grad_(True)
        leaf = x.clone().requires_grad_(True)
        outputs.append(module(leaf))
        (outputs[-1] * torch.arange(48, dtype=dtype)).sum().backward()
        gradients.append([leaf.grad, module.bias.grad] if bias else [leaf.grad])
    # The same kernel on the same numbers; with a weight that is trained, torch chooses another one for some shapes.
    with torch.no_grad():
        assert torch.equal(outputs[0], nn.functional.linear(x, layer.weight, layer.bias))
    assert torch.allclose(*outputs, rtol=1e-2 if dtype is torch.bfloat16 else 1e-5, atol=1e-3)
    for found, exact in zip(*gradients, strict=True):
        assert torch.allclose(found, exact, rtol=1e-2 if dtype is torch.bfloat16 else 1e-5, atol=0)
    assert [name for name, _ in layer.named_parameters()] == (["bias"] if bias else [])


@pytest.mark.parametrize("bits", BITS)
def test_autocast_decides_the_dtype_of_the_product(bits: Bits) -> None:
    layer, plain = quantised_linear(bits)
    x = torch.randn(5, 200)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, exact = layer(x), plain(x)
    assert found.dtype is exact.dtype is torch.bfloat16
    assert torch.equal(found, exact)


@pytest.mark.parametrize("bits", BITS)
def test_the_graph_keeps_no_weight_unless_it_may(bits: Bits) -> None:
    layer, plain = quantised_linear(bits)
    x = torch.randn(2, 200)
    gradients = []
    for is_kept, num_kept in ((False, 0), (True, 48 * 200)):
        sizes: list[int] = []

        def keep(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        keep_wide_weights(layer, is_kept)
        leaf = x.clone().requires_grad_(True)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            layer(leaf).square().sum().backward()
        # What else is kept is the result that is squared.
        assert sum(sizes) == num_kept + 2 * 48
        gradients.append(leaf.grad)
    leaf = x.clone().requires_grad_(True)
    plain(leaf).square().sum().backward()
    assert all(torch.allclose(gradient, leaf.grad, rtol=1e-5) for gradient in gradients)


@pytest.mark.parametrize("bits", BITS)
def test_a_layer_compiles_to_one_graph(bits: Bits) -> None:
    layer, plain = quantised_linear(bits)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 200, requires_grad=True)
    assert torch.allclose(compiled(x), plain(x), rtol=1e-5)


@pytest.mark.parametrize(("bits", "share"), [(8, 0.505), (4, 0.2825)])
def test_a_layer_is_as_small_as_it_says(bits: Bits, share: float) -> None:
    layer, plain = quantised_linear(bits, columns=1024, bias=False, dtype=torch.bfloat16)
    assert stored_bytes(layer) <= share * stored_bytes(plain)
    assert num_weights(layer) == num_weights(plain) == 48 * 1024


@pytest.mark.parametrize("bits", BITS)
def test_most_of_a_model_is_quantised_and_the_rest_is_as_it_was(tiny: Checkpoint, bits: Bits) -> None:
    plain = load_transformer(tiny, dtype=torch.bfloat16, device=CPU, with_projectors=True)
    model = load_transformer(
        tiny, dtype=torch.bfloat16, device=CPU, with_projectors=True, quantisation=Quantisation(bits)
    )
    layers = {name for name, module in model.named_modules() if isinstance(module, QuantisedLinear)}
    linears = {name for name, module in plain.named_modules() if isinstance(module, nn.Linear)}
    assert layers == {name for name in linears if name.startswith(("transformer_blocks.", "lyric_encoder.encoders."))}
    assert "transformer_blocks.0.ff.inverted_conv.conv" in layers
    others = dict(model.named_parameters())
    assert others.keys() == {name for name, _ in plain.named_parameters()} - {f"{name}.weight" for name in layers}
    assert all(torch.equal(parameter, plain.get_parameter(name)) for name, parameter in others.items())
    for name in layers:
        exact, found = plain.get_submodule(name).weight, model.get_submodule(name).weight
        assert found.dtype is torch.bfloat16
        assert 0 < (found - exact).norm() / exact.norm() < (0.02 if bits == 8 else 0.2)
    assert num_weights(model) == num_weights(plain)
    assert model.dtype is torch.bfloat16 and not model.training
    quantised = {name: stored_bytes(model.get_submodule(name)) for name in layers}
    before = {name: stored_bytes(plain.get_submodule(name)) for name in layers}
    assert sum(quantised.values()) < (0.56 if bits == 8 else 0.42) * sum(before.values())
    assert stored_bytes(model) == stored_bytes(plain) - sum(before.values()) + sum(quantised.values())


def test_what_the_lyrics_embedder_trains_stays_as_it_is(tiny: Checkpoint) -> None:
    how = quantisation_of(Config.from_dict({"base_model_precision": "int4-quanto", "lyrics_embedder_train": True}))
    assert how == Quantisation(4, None, LYRIC_MODULES)
    model = load_transformer(tiny, dtype=torch.float32, device=CPU, quantisation=how)
    plain = load_transformer(tiny, dtype=torch.float32, device=CPU)
    for part in LYRIC_MODULES:
        found, exact = model.get_submodule(part).state_dict(), plain.get_submodule(part).state_dict()
        assert found.keys() == exact.keys() and all(torch.equal(found[name], exact[name]) for name in exact)
    assert isinstance(model.get_submodule("transformer_blocks.0.attn.to_q"), QuantisedLinear)


def test_a_damaged_weight_is_named_when_it_is_loaded(tiny_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "checkpoint"))
    file = folder / TRANSFORMER_FOLDER / DIFFUSERS_WEIGHTS
    tensors = load_file(file)
    tensors["transformer_blocks.1.attn.to_k.weight"][0, 0] = float("nan")
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r"transformer_blocks\.1\.attn\.to_k\.weight holds values"):
        load_transformer(resolve_checkpoint(folder), dtype=torch.float32, device=CPU, quantisation=Quantisation(8))


@pytest.mark.parametrize("bits", BITS)
def test_a_new_adapter_is_the_quantised_model_and_lora_names_are_the_same(bits: Bits) -> None:
    spec = LoraSpec(rank=4, alpha=4, target_modules=WITH_CONVS)
    plain, model = small_model(), small_model()
    quantise_layers(model, Quantisation(bits), parts=("transformer_blocks.", "lyric_encoder."))
    sample = small_sample(model.config)
    before = sample.predict(model)
    assert not torch.equal(before, sample.predict(plain))
    for one in (plain, model):
        add_lora(one, spec, seed=7)
    assert torch.equal(sample.predict(model), before)
    found, exact = adapter_state(model), adapter_state(plain)
    assert found.keys() == exact.keys() and all(torch.equal(found[name], exact[name]) for name in exact)
    for layer in (module for name, module in model.named_modules() if name.endswith("lora_B.lora_adapter")):
        nn.init.ones_(layer.weight)
    assert not torch.equal(sample.predict(model), before)
    with adapter_disabled(model):
        assert torch.equal(sample.predict(model), before)


@pytest.mark.parametrize("bits", BITS)
def test_a_live_model_with_an_adapter_is_quantised_layer_by_layer(bits: Bits, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = LoraSpec(rank=4, alpha=4, target_modules=WITH_CONVS)
    fresh, live = small_model(), small_model()
    quantise_layers(fresh, Quantisation(bits))
    for model in (fresh, live):
        add_lora(model, spec, seed=7)
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                nn.init.constant_(parameter, 0.01)
    adapter = adapter_state(live)
    parts = ("transformer_blocks.", "lyric_encoder.encoders.")
    weights = {
        name: weakref.ref(one)
        for name, one in live.named_parameters()
        if name.startswith(parts) and name.endswith("base_layer.weight")
    }
    alive: list[int] = []
    store = QuantisedLinear.store

    def count(self: QuantisedLinear, weight: Tensor, **how: Any) -> None:
        alive.append(sum(one() is not None for one in weights.values()))
        store(self, weight, **how)

    monkeypatch.setattr(QuantisedLinear, "store", count)
    quantise_layers(live, Quantisation(bits))
    assert weights and all(one() is None for one in weights.values())
    # One after the other: at each layer those before it are gone (the one under way, and the one just done, are not).
    assert all(later <= earlier for earlier, later in itertools.pairwise(alive)) and alive[-1] <= 2
    found, exact = live.state_dict(), fresh.state_dict()
    assert found.keys() == exact.keys() and all(torch.equal(found[name], exact[name]) for name in exact)
    assert all(torch.equal(tensor, adapter[name]) for name, tensor in adapter_state(live).items())
    sample = small_sample(live.config)
    assert torch.equal(sample.predict(live), sample.predict(fresh))


@pytest.mark.parametrize("bits", BITS)
def test_a_matrix_rounded_in_pieces_is_the_same(bits: Bits, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = random_weight()
    whole = quantise(weight, bits)
    monkeypatch.setattr("engine.model.quantise._PIECE", 7 * 200)
    pieces = quantise(weight, bits)
    for one, other in zip(whole, pieces, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bits", BITS)
def test_where_kernels_do_not_narrow_the_same_comes_out(
    bits: Bits, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = quantise(random_weight(), bits)
    exact = dequantise(stored, (48, 200), dtype)
    asked: list[str] = []
    monkeypatch.setattr("engine.model.quantise._narrows", lambda device: asked.append(device.type) or False)
    assert torch.equal(dequantise(stored, (48, 200), dtype), exact) and asked
    monkeypatch.undo()
    assert not _narrows(torch.device("mps")) and _narrows(torch.device("cuda")) and _narrows(CPU)


def test_eight_bits_are_those_of_the_library_whose_name_they_have() -> None:
    weight = random_weight()
    weight[5] = 1  # a row of zeros has no scale there
    scale = AbsmaxOptimizer()(weight, qtype=qint8, axis=0)
    theirs, ours = quantize_weight(weight, qint8, axis=0, scale=scale), quantise(weight, 8)
    assert torch.equal(theirs._scale, ours.scale) and torch.equal(theirs._data, ours.codes)
    assert torch.equal(theirs.dequantize(), dequantise(ours, (48, 200), torch.float32))

    # From bfloat16 it rounds scales to bfloat16 too, which costs precision; ours keep them in float32.
    narrow = weight.bfloat16()
    scale = AbsmaxOptimizer()(narrow, qtype=qint8, axis=0)
    theirs, ours = quantize_weight(narrow, qint8, axis=0, scale=scale), quantise(narrow, 8)
    assert (theirs._data.int() - ours.codes.int()).abs().max() <= 1
    both = theirs.dequantize(), dequantise(ours, (48, 200), narrow.dtype)
    errors = [(wide.float() - narrow.float()).norm() for wide in both]
    assert errors[1] <= errors[0]


@pytest.mark.parametrize("bits", BITS)
def test_recomputing_changes_no_gradient(bits: Bits) -> None:
    gradients = []
    for every in (None, 1):
        model = small_model()
        quantise_layers(model, Quantisation(bits), parts=("transformer_blocks.", "lyric_encoder."))
        add_lora(model, LoraSpec(rank=4, alpha=4), seed=7)
        set_recompute(model.train(), every=every)
        sample = small_sample(model.config)
        torch.manual_seed(0)
        model(sample.x_t, sample.t, model.encode_conditions(sample.inputs)).velocity.square().mean().backward()
        gradients.append({name: one.grad for name, one in model.named_parameters() if one.requires_grad})
        layer = model.get_submodule("transformer_blocks.0.ff.point_conv.conv")
        assert isinstance(layer, QuantisedLinear) and layer.keeps_wide == (every == 1)
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
    assert any(gradient.abs().max() > 0 for gradient in gradients[0].values())


@pytest.mark.parametrize(("bits", "band"), [(8, 0.05), (4, 0.6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_text_encoder_is_quantised_likewise(tiny: Checkpoint, bits: Bits, band: float, dtype: torch.dtype) -> None:
    exact = load_text_encoder(tiny, dtype=dtype, device=CPU).encode(["a bell"])[0].float()
    encoder = load_text_encoder(tiny, dtype=dtype, device=CPU, quantisation=Quantisation(bits))
    found = encoder.encode(["a bell"])[0].float()
    layers = [name for name, module in encoder.model.named_modules() if isinstance(module, QuantisedLinear)]
    assert layers and all(name.startswith("encoder.block.") for name in layers)
    assert layers == [name for name, module in encoder.model.named_modules() if isinstance(module, nn.Linear)]
    assert 0 < (found - exact).norm() / exact.norm() < band


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, None),
        ({"base_model_precision": "int8-quanto"}, Quantisation(8)),
        ({"base_model_precision": "int4-quanto", "quantize_via": "cpu"}, Quantisation(4, CPU)),
    ],
)
def test_what_a_configuration_asks_for(values: dict[str, object], expected: Quantisation | None) -> None:
    assert quantisation_of(Config.from_dict(values)) == expected
    text = {key.replace("base_model", "text_encoder_1"): value for key, value in values.items()}
    assert text_quantisation_of(Config.from_dict(text)) == expected
