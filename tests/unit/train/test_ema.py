"""The average of the weights: a hand-written recursion, its places, and going on bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.contract.run_dir import ADAPTER_FILE
from engine.export.adapter_file import read_adapter
from engine.model.adapters import LoraSpec, adapter_state, known_modules
from engine.train import ema as ema_module
from engine.train.ema import (
    EMA_FILE,
    Ema,
    build_ema,
    clip_variants,
    load_ema_adapter,
    restore_ema,
    save_ema,
)
from engine.train.weights import LoraWeights
from tests.unit.export.small import small_model, trained_model

SPEC = LoraSpec(rank=2, alpha=4)


def parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return {
        "a": nn.Parameter(torch.randn(3, 2, generator=generator)),
        "b": nn.Parameter(torch.randn(5, generator=generator)),
        "c": nn.Parameter(torch.randn((), generator=generator)),
    }


def train(weights: dict[str, nn.Parameter], step: int) -> None:
    """One step of a made-up training."""
    generator = torch.Generator().manual_seed(100 + step)
    with torch.no_grad():
        for weight in weights.values():
            weight.add_(torch.randn(weight.shape, generator=generator))


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize(("interval", "warmup"), [(1, 0), (3, 0), (1, 4), (2, 5)])
def test_average_is_the_recursion_written_out(interval: int, warmup: int, one_by_one: bool) -> None:
    weights, decay = parameters(), 0.9
    ema = Ema(weights, decay=decay, update_interval=interval, warmup_steps=warmup, one_by_one=one_by_one)
    expected = {name: weight.detach().double().clone() for name, weight in weights.items()}
    for step in range(1, 13):
        train(weights, step)
        ema.update(step)
        if step % interval == 0:
            d = 0.0 if step <= warmup else decay
            for name, weight in weights.items():
                expected[name] = d * expected[name] + (1 - d) * weight.detach().double()
    for name, average in ema.tensors().items():
        assert average.shape == weights[name].shape and average.dtype == torch.float32
        torch.testing.assert_close(average.double(), expected[name], rtol=1e-6, atol=1e-6)
    assert ema.num_updates == 12 // interval


def test_one_by_one_gives_the_same_numbers_and_packs_hold_any_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for limit, one_by_one in ((2**24, False), (6, False), (1, False), (2**24, True)):
        monkeypatch.setattr(ema_module, "_PACK_NUMBERS", limit)
        weights = parameters()
        ema = Ema(weights, decay=0.7, one_by_one=one_by_one)
        for step in range(1, 5):
            train(weights, step)
            ema.update(step)
        results.append(ema.tensors())
    for other in results[1:]:
        assert all(torch.equal(other[name], results[0][name]) for name in other)


def test_applied_lends_the_average_and_gives_the_weights_back_also_after_an_error() -> None:
    weights = parameters()
    ema = Ema(weights, decay=0.5)
    train(weights, 1)
    ema.update(1)
    own = {name: weight.detach().clone() for name, weight in weights.items()}
    with pytest.raises(RuntimeError, match="in the middle"), ema.applied():
        average = ema.tensors()
        assert all(torch.equal(weights[name], average[name]) for name in weights)
        raise RuntimeError("in the middle")
    assert all(torch.equal(weights[name], own[name]) for name in weights)
    assert all(torch.equal(average[name], tensor) for name, tensor in ema.tensors().items())


def test_bf16_weights_have_a_float32_average() -> None:
    weights = {"a": nn.Parameter(torch.full((4,), 1.0, dtype=torch.bfloat16))}
    ema = Ema(weights, decay=0.999)
    with torch.no_grad():
        weights["a"].fill_(2.0)
    ema.update(1)
    torch.testing.assert_close(ema.tensors()["a"], torch.full((4,), 1.001))


def trained(num_steps: int) -> tuple[nn.Module, Ema, LoraWeights]:
    """A LoRA whose B is not zero any more, with an average that lags behind."""
    model = trained_model(SPEC)
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    ema = Ema(trainable, decay=0.9)
    for step in range(1, num_steps + 1):
        train(trainable, step)
        ema.update(step)
    return model, ema, LoraWeights(model, SPEC, base_model="tiny", target_preset="custom")


def test_saved_average_is_restored_bit_for_bit_and_goes_on_equal(tmp_path: Path) -> None:
    model, whole, weights = trained(3)
    own = {key: tensor.clone() for key, tensor in adapter_state(model).items()}  # type: ignore[arg-type]
    save_ema(tmp_path, whole, weights, step=3)
    state = adapter_state(model)  # type: ignore[arg-type]
    assert all(torch.equal(state[key], own[key]) for key in own), "saving the average leaves the weights alone"

    resumed_model, resumed, _ = trained(1)
    resumed_model.load_state_dict(model.state_dict())
    warnings: list[str] = []
    restore_ema(tmp_path, resumed, warn=lambda code, _: warnings.append(code))
    assert not warnings and resumed.num_updates == 3
    for ema, of in ((whole, model), (resumed, resumed_model)):
        trainable = {name: parameter for name, parameter in of.named_parameters() if parameter.requires_grad}
        train(trainable, 4)
        ema.update(4)
    assert all(torch.equal(tensor, whole.tensors()[name]) for name, tensor in resumed.tensors().items())


def test_the_adapter_file_of_the_average_is_an_adapter_like_any_other(tmp_path: Path) -> None:
    model, ema, weights = trained(2)
    save_ema(tmp_path, ema, weights, step=2)
    found = read_adapter(tmp_path / "ema", known_modules(model.config))  # type: ignore[arg-type]
    assert found.path.name == ADAPTER_FILE and found.metadata["global_step"] == "2"
    assert set(found.scales.values()) == {SPEC.scale}
    with ema.applied():
        expected = {key: tensor.clone() for key, tensor in adapter_state(model).items()}  # type: ignore[arg-type]
    assert found.tensors.keys() == expected.keys()
    assert all(torch.equal(found.tensors[key], expected[key]) for key in expected)
    assert load_file(tmp_path / "ema" / EMA_FILE).keys() == ema.tensors().keys()


def test_init_lora_ema_begins_as_the_file_and_leaves_the_weights(tmp_path: Path) -> None:
    model, ema, weights = trained(2)
    save_ema(tmp_path, ema, weights, step=2)
    saved = ema.tensors()
    fresh_model, fresh, _ = trained(5)
    own = {key: tensor.clone() for key, tensor in adapter_state(fresh_model).items()}  # type: ignore[arg-type]
    file = read_adapter(tmp_path / "ema", known_modules(model.config))  # type: ignore[arg-type]
    report = load_ema_adapter(fresh, fresh_model, file.tensors)  # type: ignore[arg-type]
    assert not report.missing and not report.unexpected and fresh.num_updates == 0
    assert all(torch.equal(tensor, saved[name]) for name, tensor in fresh.tensors().items())
    state = adapter_state(fresh_model)  # type: ignore[arg-type]
    assert all(torch.equal(state[key], own[key]) for key in own)


def test_a_checkpoint_without_an_average_starts_one_and_one_too_many_is_said(tmp_path: Path) -> None:
    warnings: list[tuple[str, str]] = []

    def warn(code: str, message: str) -> None:
        warnings.append((code, message))

    model, ema, weights = trained(2)
    restore_ema(tmp_path, ema, warn=warn)
    assert [code for code, _ in warnings] == ["ema_starts"] and ema.num_updates == 0
    trainable = dict(model.named_parameters())
    assert all(torch.equal(tensor, trainable[name]) for name, tensor in ema.tensors().items())
    save_ema(tmp_path, ema, weights, step=2)
    restore_ema(tmp_path, None, warn=warn)
    assert [code for code, _ in warnings] == ["ema_starts", "ema_dropped"]


def test_an_average_of_other_weights_or_a_torn_file_is_refused(tmp_path: Path) -> None:
    other = Ema(parameters(), decay=0.9)
    save_ema(tmp_path, other, None, step=1)
    _, ema, _ = trained(1)
    with pytest.raises(ModelError, match="other weights"):
        restore_ema(tmp_path, ema, warn=lambda *_: None)
    path = tmp_path / "ema" / EMA_FILE
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelError, match="cannot be restored"):
        restore_ema(tmp_path, other, warn=lambda *_: None)


@pytest.mark.parametrize(
    ("validation", "suffixes"), [("none", [""]), ("ema_only", ["_ema"]), ("comparison", ["", "_ema"])]
)
def test_clips_of_the_weights_the_average_or_both(validation: str, suffixes: list[str]) -> None:
    config = Config.from_dict({"use_ema": True, "ema_validation": validation})
    weights = parameters()
    ema = build_ema(config, weights, torch.device("cpu"))
    assert ema is not None
    assert [suffix for suffix, _ in clip_variants(config, ema)] == [""], "nothing is averaged before the first update"
    train(weights, 1)
    ema.update(1)
    assert [suffix for suffix, _ in clip_variants(config, ema)] == suffixes
    for suffix, block in clip_variants(config, ema):
        own = weights["a"].detach().clone()
        with block():
            assert torch.equal(weights["a"], own) == (suffix == "")
    assert clip_variants(config, None) == clip_variants(Config.from_dict({}), None)


def test_the_configuration_says_where_the_average_lies_and_whether_there_is_one() -> None:
    assert build_ema(Config.from_dict({}), parameters(), torch.device("cpu")) is None
    meta = torch.device("meta")
    for values, lies, updated in (
        ({}, "cpu", "meta"),
        ({"ema_cpu_only": True}, "cpu", "cpu"),
        ({"ema_device": "accelerator"}, "meta", "meta"),
        ({"ema_device": "accelerator", "ema_cpu_only": True}, "cpu", "cpu"),
    ):
        weights = dict(small_model().named_parameters())
        ema = build_ema(Config.from_dict({"use_ema": True, **values}), weights, meta)
        assert ema is not None
        assert (ema.device.type, ema.updates_on.type) == (lies, updated)
