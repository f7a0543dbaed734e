"""A whole training step with scheduled sampling and an average: against one written out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from engine.batches.collate import Batch, Sample, collate
from engine.contract.config import Config
from engine.model import lyric_encoder
from engine.model.adapters import LoraSpec
from engine.model.family import AceStepV1
from engine.model.transformer import AceStepTransformer, ConditionInputs
from engine.objective.timesteps import sigma_table
from engine.train.ema import Ema
from engine.train.state import TrainState
from engine.train.step import StepResult, rollout_facts, train_step
from engine.train.step_clock import StepClock
from tests.unit.export.small import small_config, small_sample, trained_model

CPU = torch.device("cpu")
INDICES = (300, 500, 800)
SETTINGS = {
    "mixed_precision": "no",
    "max_grad_norm": 0.0,
    "scheduled_sampling_max_step_offset": 6,
    "scheduled_sampling_probability": 0.5,
    "scheduled_sampling_reflexflow_alpha": 2.0,
    "scheduled_sampling_reflexflow_beta1": 0.3,
    "scheduled_sampling_reflexflow_beta2": 1.5,
}
RATE = 0.05


def batches(walks: Sequence[int], sizes: Sequence[int] = (3,)) -> list[Batch]:
    """Three samples in micro-batches of the given sizes."""
    drawn = small_sample(small_config(), batch_size=3, frames=6)
    generator = torch.Generator().manual_seed(8)
    samples = [
        Sample(
            latents=drawn.x_t[i],
            noise=torch.randn(drawn.x_t[i].shape, generator=generator),
            timestep_index=INDICES[i],
            text_states=drawn.inputs.text_states[i],
            lyric_ids=drawn.inputs.lyric_ids[i],
            lyric_mask=drawn.inputs.lyric_mask[i].to(torch.int64),
            ssl={},
            file=f"song_{i}.wav",
            position=i,
            audio_s=1.0,
            walk=walks[i],
        )
        for i in range(3)
    ]
    rest = iter(samples)
    return [collate([next(rest) for _ in range(size)], bucket="1s") for size in sizes]


def trained_by_us(
    micro_batches: Sequence[Batch], *, ema_decay: float | None = None, **settings: object
) -> tuple[TrainState, StepResult]:
    model = trained_model(LoraSpec(rank=2, alpha=2)).train()
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.SGD(trainable.values(), lr=RATE)
    state = TrainState(
        model=model,
        trainable=trainable,
        optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0),
        ema=None if ema_decay is None else Ema(trainable, decay=ema_decay),
        scaler=torch.amp.GradScaler("cpu", init_scale=1024.0) if settings.get("mixed_precision") == "fp16" else None,
    )
    result = train_step(
        state,
        micro_batches,
        family=AceStepV1(None),  # type: ignore[arg-type]  # its files have no part in a step
        config=Config.from_dict(SETTINGS | settings),
        sigmas=sigma_table(3.0),
        ssl_weight=0.0,
        device=CPU,
        clock=StepClock(CPU),
    )
    return state, result


def loss_by_hand(model: AceStepTransformer, batch: Batch, i: int, *, reflexflow: bool) -> Tensor:
    """Section 7 for one sample alone; alpha, beta 1 and beta 2 are 2, 0.3 and 1.5."""
    table = sigma_table(3.0).tolist()
    inputs = ConditionInputs(batch.text_states[[i]], batch.text_mask[[i]], batch.lyric_ids[[i]], batch.lyric_mask[[i]])

    def velocity(x: Tensor, m: int) -> Tensor:
        out: Tensor = model(x, torch.tensor([1000 * table[m]]), model.encode_conditions(inputs)).velocity
        return out

    def between(m: int) -> Tensor:
        return table[m] * batch.noise[[i]] + (1 - table[m]) * batch.latents[[i]]

    index, walk = INDICES[i], batch.walks[i]
    with torch.no_grad():
        x = between(index - walk)
        for m in range(index - walk, index):
            x = x + (table[m + 1] - table[m]) * velocity(x, m)
        c, b = velocity(between(index), index), velocity(x, index)
    v = velocity(x, index)
    error = (x - table[index] * v - batch.latents[[i]]) ** 2
    if not reflexflow or walk == 0:
        return error.mean()
    d = x - batch.latents[[i]]
    direction = ((v / torch.linalg.vector_norm(v) - d / torch.linalg.vector_norm(d)) ** 2).sum()
    return 1.5 * ((1 + 2.0 * (c - b) / (c - b).abs().sum()) * error).mean() + 0.3 * direction


@pytest.fixture(autouse=True)
def no_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lyric_encoder, "DROPOUT", 0.0)


@pytest.mark.parametrize("reflexflow", [True, False])
def test_one_step_matches_the_hand_written_one(reflexflow: bool) -> None:
    (batch,) = batches((4, 0, 6))
    state, result = trained_by_us([batch], ema_decay=0.8, scheduled_sampling_reflexflow=reflexflow)

    model = trained_model(LoraSpec(rank=2, alpha=2))
    before = {name: parameter.detach().clone() for name, parameter in state.trainable.items()}
    before.update((name, parameter.detach().clone()) for name, parameter in model.named_parameters() if name in before)
    loss = torch.stack([loss_by_hand(model, batch, i, reflexflow=reflexflow) for i in range(3)]).mean()
    loss.backward()
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    moved = 0.0
    for name, parameter in model.named_parameters():
        if name in state.trainable:
            assert parameter.grad is not None
            expected = before[name] - RATE * parameter.grad
            torch.testing.assert_close(state.trainable[name].detach(), expected, rtol=1e-4, atol=1e-6)
            moved = max(moved, float((expected - before[name]).abs().max()))
    assert moved > 1e-4
    assert state.ema is not None
    for name, average in state.ema.tensors().items():
        torch.testing.assert_close(average, 0.8 * before[name] + 0.2 * state.trainable[name].detach())


def test_the_step_differs_from_one_without_and_equals_it_bit_for_bit_where_nothing_is_chosen() -> None:
    plain, without = trained_by_us(batches((0, 0, 0)), scheduled_sampling_max_step_offset=0)
    chosen_none, nothing = trained_by_us(batches((0, 0, 0)))
    rolled, _ = trained_by_us(batches((4, 0, 6)))
    names = list(plain.trainable)
    assert without.loss == nothing.loss
    assert all(torch.equal(plain.trainable[name], chosen_none.trainable[name]) for name in names)
    assert any((plain.trainable[name] - rolled.trainable[name]).abs().max() > 1e-5 for name in names)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 1)])
def test_accumulated_micro_batches_equal_one_batch(sizes: tuple[int, ...]) -> None:
    together, whole = trained_by_us(batches((4, 0, 6)))
    apart, result = trained_by_us(batches((4, 0, 6), sizes))
    assert result.loss == pytest.approx(whole.loss, rel=1e-5)
    for name, parameter in together.trainable.items():
        torch.testing.assert_close(apart.trainable[name], parameter, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_and_a_loss_scaler_go_along(precision: str) -> None:
    state, result = trained_by_us(batches((4, 0, 6)), mixed_precision=precision)
    exact, whole = trained_by_us(batches((4, 0, 6)))
    start = trained_model(LoraSpec(rank=2, alpha=2)).get_parameter
    assert result.loss == pytest.approx(whole.loss, rel=0.05)
    step = torch.cat([(exact.trainable[name] - start(name)).flatten() for name in exact.trainable])
    rounded = torch.cat([(state.trainable[name] - start(name)).flatten() for name in exact.trainable])
    assert torch.nn.functional.cosine_similarity(step, rounded, dim=0) > 0.98


def test_the_step_says_how_much_was_walked() -> None:
    config = Config.from_dict(SETTINGS)
    _, result = trained_by_us(batches((4, 0, 6)))
    facts = rollout_facts(config, result)
    assert facts["rollout_share"] == pytest.approx(2 / 3, abs=1e-4) and facts["rollout_steps"] == 5.0
    assert facts["rollout_s"] is not None and 0 < facts["rollout_s"] <= result.step_s
    _, result = trained_by_us(batches((0, 0, 0)))
    assert rollout_facts(config, result) == {"rollout_share": 0.0, "rollout_steps": None, "rollout_s": 0.0}
    assert rollout_facts(Config.from_dict({}), result) == {}
