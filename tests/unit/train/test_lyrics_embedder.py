"""The lyrics embedder trained along: what is trained, by which optimizer, a step by hand, its file (spec section 8)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.contract.config import Config
from engine.contract.errors import ModelError
from engine.dataset.report import ScanReport
from engine.memory.recompute import set_recompute
from engine.model import lyric_encoder
from engine.model.adapters import LoraSpec, adapter_state
from engine.model.family import AceStepV1
from engine.model.transformer import AceStepTransformer
from engine.objective.timesteps import sigma_table
from engine.train.init_lora import FRESH
from engine.train.lyrics_embedder import (
    embedder_file,
    embedder_parameters,
    embedder_warning,
    load_embedder,
    read_embedder,
    save_embedder,
)
from engine.train.start_warnings import start_warnings
from engine.train.state import TrainState
from engine.train.step import StepResult, train_step
from engine.train.step_clock import StepClock
from engine.train.trainable import build_steppers, choose_trainable
from engine.train.weights import LoraWeights
from tests.unit.batches.factory import make_song
from tests.unit.export.small import small_config, trained_model
from tests.unit.train.test_rollout_step import batches

CPU = torch.device("cpu")
SPEC = LoraSpec(rank=2, alpha=2)
MODULES = {"lyric_embs", "lyric_encoder", "lyric_proj"}
ON = {"lyrics_embedder_train": True, "mixed_precision": "no", "learning_rate": 1e-2, "max_grad_norm": 0.0}
OWN = {
    "optimizer": "torch-sgd",
    "lyrics_embedder_optimizer": "torch-adamw",
    "lyrics_embedder_lr": 5e-3,
    "lyrics_embedder_lr_scheduler": "cosine_with_restarts",
}


def built(**settings: Any) -> tuple[AceStepTransformer, TrainState, Config]:
    """The small model with an adapter, its optimizers and schedules as a run has them."""
    config = Config.from_dict(ON | settings)
    model = trained_model(SPEC).train()
    trainable = choose_trainable(model, config)
    optimizer, schedule, embedder = build_steppers(config, trainable, 10)
    return model, TrainState(model, trainable, optimizer, schedule, embedder=embedder), config


def stepped(**settings: Any) -> tuple[AceStepTransformer, TrainState, StepResult]:
    """One step on three samples."""
    model, state, config = built(**settings)
    return model, state, step(state, config)


def step(state: TrainState, config: Config) -> StepResult:
    return train_step(
        state,
        batches((0, 0, 0)),
        family=AceStepV1(None),  # type: ignore[arg-type]  # its files have no part in a step
        config=config,
        sigmas=sigma_table(3.0),
        ssl_weight=0.0,
        device=CPU,
        clock=StepClock(CPU),
    )


@pytest.fixture(autouse=True)
def no_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lyric_encoder, "DROPOUT", 0.0)


def copies(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in embedder_parameters(model).items()}


def test_all_three_modules_are_trained_with_their_own_weights_and_the_adapter() -> None:
    model, state, _ = built()
    modules = {name.partition(".")[0] for name in embedder_parameters(model)}
    assert modules == MODULES
    expected = {name for name, _ in model.named_parameters() if name.partition(".")[0] in MODULES or ".lora_" in name}
    assert state.trainable.keys() == expected
    assert any("self_attn.linear_q.base_layer.weight" in name for name in expected), "a LoRA stands on trained weights"
    without, _, _ = built(lyrics_embedder_train=False)
    assert not any(parameter.requires_grad for parameter in embedder_parameters(without).values())


@pytest.mark.parametrize(
    ("settings", "main", "own"),
    [
        ({}, torch.float32, torch.float32),
        ({"optimizer": "adamw_bf16"}, torch.bfloat16, torch.bfloat16),
        ({"lyrics_embedder_optimizer": "adamw_bf16"}, torch.float32, torch.bfloat16),
        ({"optimizer": "adamw_bf16", "lyrics_embedder_optimizer": "torch-adamw"}, torch.bfloat16, torch.float32),
    ],
)
@pytest.mark.parametrize("gradient_precision", ["unmodified", "fp32"])
def test_each_part_has_the_format_of_its_optimizer(
    settings: dict[str, str], main: torch.dtype, own: torch.dtype, gradient_precision: str
) -> None:
    """Also over a base in bf16, whose rounding would lose the embedder's updates."""
    config = Config.from_dict(ON | settings | {"mixed_precision": "bf16", "gradient_precision": gradient_precision})
    model = trained_model(SPEC).to(torch.bfloat16).train()
    trainable = choose_trainable(model, config)
    optimizer, schedule, embedder = build_steppers(config, trainable, 10)
    state = TrainState(model, trainable, optimizer, schedule, embedder=embedder)
    before = {name: parameter.detach().clone() for name, parameter in trainable.items()}
    own_names = [name for name in trainable if ".lora_" not in name]
    assert {trainable[name].dtype for name in own_names} == {own}
    assert {parameter.dtype for name, parameter in trainable.items() if name not in own_names} == {main}
    grads: set[torch.dtype] = set()
    hooks = [p.register_post_accumulate_grad_hook(lambda p: grads.add(p.grad.dtype)) for p in trainable.values()]
    step(state, config)
    for hook in hooks:
        hook.remove()
    assert grads == ({main, own} if gradient_precision == "unmodified" else {torch.float32})
    moved = [name for name in own_names if not torch.equal(before[name], trainable[name])]
    assert len(moved) > len(own_names) / 2


def test_case_a_the_same_optimizer_and_rate() -> None:
    _, state, _ = built()
    (group,) = state.optimizer.param_groups
    assert len(state.optimizers) == 1 and len(group["params"]) == len(state.trainable)
    assert state.embedder_rate() is None


def test_case_b_the_same_optimizer_in_a_group_with_its_own_rate() -> None:
    _, state, _ = built(lyrics_embedder_lr=1e-4, lr_scheduler="linear", lr_scale=True, train_batch_size=2)
    main, own = state.optimizer.param_groups
    assert len(state.optimizers) == 1
    assert set(own["param_names"]) == {name for name in state.trainable if ".lora_" not in name}
    assert (state.rate(), state.embedder_rate()) == (2e-2, 2e-4)
    for _ in range(5):
        state.optimizer.step()
        state.schedule.step()
    assert (main["lr"], own["lr"]) == pytest.approx((1e-2, 1e-4)), "both follow the curve, each from its own peak"


@pytest.mark.parametrize(
    "settings",
    [OWN, {"lyrics_embedder_optimizer": "torch-adam"}, {"lyrics_embedder_lr_scheduler": "linear"}],
)
def test_case_c_an_optimizer_and_a_schedule_of_its_own(settings: dict[str, Any]) -> None:
    _, state, config = built(**settings)
    assert len(state.optimizers) == len(state.schedules) == 2
    kind = settings.get("lyrics_embedder_optimizer", "torch-adamw").removeprefix("torch-").lower()
    assert type(state.optimizers[1]).__name__.lower() == kind
    assert state.embedder_rate() == settings.get("lyrics_embedder_lr", config.learning_rate)
    trained = [p for optimizer in state.optimizers for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in trained} == {id(p) for p in state.trainable.values()} and len(trained) == len(
        state.trainable
    )


@pytest.mark.parametrize("max_grad_norm", [0.0, 1e-3])
def test_one_step_matches_the_hand_written_one(max_grad_norm: float) -> None:
    """Gradient descent for the adapter, AdamW for the embedder, clipped by the length of both together."""
    before, first, config = built(**OWN)
    (batch,) = batches((0, 0, 0))
    loss = AceStepV1(None).loss(before, batch, sigmas=sigma_table(3.0), ssl_weight=0.0)  # type: ignore[arg-type]
    loss.total.backward()
    grads = {name: p.grad for name, p in first.trainable.items() if p.grad is not None}
    norm = torch.stack([grad.double().square().sum() for grad in grads.values()]).sum().sqrt()
    factor = min(1.0, max_grad_norm / float(norm)) if max_grad_norm else 1.0
    assert (factor < 1) == (max_grad_norm > 0), "the case with a limit really clips"

    _, state, result = stepped(**OWN, max_grad_norm=max_grad_norm)
    assert result.grad_norm == pytest.approx(float(norm), rel=1e-5)
    assert (result.lr, result.embedder_lr) == (1e-2, 5e-3)
    for name, grad in grads.items():
        weight, g = first.trainable[name].detach().double(), grad.double() * factor
        if ".lora_" in name:
            expected = weight - 1e-2 * g
        else:  # AdamW's first step: every element moves by the rate, whatever its gradient's size
            expected = weight * (1 - 5e-3 * 0.01) - 5e-3 * g / (g.abs() + config.adam_epsilon)
        torch.testing.assert_close(
            state.trainable[name].detach().double(), expected, rtol=1e-5, atol=5e-5
        )  # g / |g| of a tiny g
    assert all(parameter.grad is None for parameter in state.trainable.values())
    assert state.embedder_rate() == pytest.approx(5e-3 * (1 + torch.cos(torch.tensor(torch.pi / 10))) / 2, rel=1e-3)


def test_a_run_with_it_differs_from_one_without() -> None:
    base, _, _ = stepped(lyrics_embedder_train=False)
    start, trained = copies(base), copies(stepped()[0])
    moved = [name for name in start if not torch.equal(start[name], trained[name])]
    assert {name.partition(".")[0] for name in moved} == MODULES
    assert all(torch.equal(start[name], value) for name, value in copies(trained_model(SPEC)).items())


def test_recompute_changes_no_gradient() -> None:
    grads = []
    for every in (None, 1):
        model, state, _ = built()
        set_recompute(model, every)
        (batch,) = batches((0, 0, 0))
        loss = AceStepV1(None).loss(model, batch, sigmas=sigma_table(3.0), ssl_weight=0.0)  # type: ignore[arg-type]
        loss.total.backward()
        grads.append({name: p.grad for name, p in state.trainable.items()})
    for name, grad in grads[0].items():
        assert grad is None if grads[1][name] is None else torch.equal(grad, grads[1][name])


def saver(model: AceStepTransformer, *, with_embedder: bool = True) -> LoraWeights:
    return LoraWeights(model, SPEC, base_model="base", target_preset="custom", with_embedder=with_embedder)


def test_saved_changed_and_restored_it_is_bit_equal(tmp_path: Path) -> None:
    model, _, _ = stepped()
    weights, saved = saver(model), copies(model)
    weights.save(tmp_path, step=1)
    assert weights.equal_to(tmp_path)
    names = set(load_file(tmp_path / "lyrics_embedder" / "model.safetensors"))
    assert names == {name for name, _ in trained_free_names() if name.partition(".")[0] in MODULES}
    with torch.no_grad():
        for parameter in (*embedder_parameters(model).values(), *adapter_state(model).values()):
            parameter.add_(1.0)
    assert not weights.equal_to(tmp_path)
    weights.load(tmp_path)
    assert weights.equal_to(tmp_path)
    assert all(torch.equal(saved[name], value) for name, value in copies(model).items())


def trained_free_names() -> list[tuple[str, nn.Parameter]]:
    """Parameters of a model that never carried an adapter: the checkpoint's own names."""
    return list(AceStepTransformer(small_config()).named_parameters())


def test_the_file_of_simpletuner_is_read_without_running_anything(tmp_path: Path) -> None:
    model, _, _ = stepped()
    folder = tmp_path / "lyrics_embedder"
    folder.mkdir()
    torch.save(copies(model), folder / "pytorch_model.bin")
    path = embedder_file(tmp_path)
    assert path is not None and path.name == "pytorch_model.bin"
    fresh, _, _ = built()
    load_embedder(fresh, read_embedder(path), source=path)
    assert all(torch.equal(value, copies(model)[name]) for name, value in copies(fresh).items())
    save_embedder(model, tmp_path, step=1)
    assert embedder_file(tmp_path) == folder / "model.safetensors", "ours first"

    witness = tmp_path / "ran"
    path.write_bytes(pickle.dumps(_Touch(witness)))
    with pytest.raises(ModelError, match="cannot be read"):
        read_embedder(path)
    path.write_bytes(b"no such file")
    with pytest.raises(ModelError, match="cannot be read"):
        read_embedder(path)
    torch.save([1, 2], path)
    with pytest.raises(ModelError, match="something else than tensors"):
        read_embedder(path)
    assert not witness.exists()


class _Touch:
    """A pickle that would write a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("fault", ["shape", "missing", "unknown"])
def test_a_file_that_does_not_fit_stops_and_changes_nothing(tmp_path: Path, fault: str) -> None:
    model, _, _ = built()
    tensors, before = copies(model), copies(model)
    for tensor in tensors.values():
        tensor.add_(1)
    name = next(iter(tensors))
    value = tensors[name] if fault == "unknown" else tensors.pop(name)
    tensors |= {"shape": {name: value[:-1]}, "missing": {}, "unknown": {"lyric_more.weight": value}}[fault]
    with pytest.raises(ModelError, match="do not fit") as error:
        load_embedder(model, tensors, source=tmp_path)
    assert ("lyric_more.weight" if fault == "unknown" else name) in error.value.message
    assert all(torch.equal(before[name], value) for name, value in copies(model).items())


def test_what_a_checkpoint_lacks_or_holds_too_much_is_said(tmp_path: Path) -> None:
    model, _, config = built()
    before = copies(model)
    saver(model, with_embedder=False).save(tmp_path, step=1)
    saver(model).load(tmp_path)
    assert all(torch.equal(before[name], value) for name, value in copies(model).items()), "the base model's stays"
    warning = embedder_warning(config, tmp_path)
    assert warning is not None and warning[0] == "no_lyrics_embedder"
    save_embedder(model, tmp_path, step=1)
    assert embedder_warning(config, tmp_path) is None
    warning = embedder_warning(config.replace(lyrics_embedder_train=False), tmp_path)
    assert warning is not None and warning[0] == "lyrics_embedder_ignored"
    assert embedder_warning(config.replace(lyrics_embedder_train=False, model_type="full"), tmp_path) is None


@pytest.mark.parametrize(("num_without", "told"), [(2, ["no_lyrics"]), (1, ["songs_without_lyrics"]), (0, [])])
def test_songs_without_any_lyrics_teach_it_nothing(num_without: int, told: list[str]) -> None:
    songs = (make_song("a.wav", seconds=20.0), make_song("b.wav", seconds=30.0))
    report = ScanReport(songs, (), num_files=2, num_without_lyrics=num_without)
    warnings = start_warnings(Config.from_dict(ON), report, None, FRESH)
    assert [code for code, _ in warnings] == told
