"""Every optimizer in a training step of the small model: its weights are those of the step written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from engine.contract.config import Config
from engine.model import lyric_encoder
from engine.model.family import AceStepV1
from engine.objective.timesteps import sigma_table
from engine.train.state import TrainState
from engine.train.step import train_step
from engine.train.step_clock import StepClock
from engine.train.trainable import build_steppers, choose_trainable
from tests.unit.export.small import trained_model
from tests.unit.optim import reference
from tests.unit.optim.conftest import eight_bit  # noqa: F401  a fixture
from tests.unit.optim.test_every_optimizer import CASES
from tests.unit.train.test_lyrics_embedder import CPU, SPEC
from tests.unit.train.test_rollout_step import batches

pytestmark = pytest.mark.usefixtures("eight_bit")


@pytest.mark.parametrize("name", list(CASES))
def test_a_run_of_it_moves_the_weights_as_written_by_hand(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lyric_encoder, "DROPOUT", 0.0)
    case = CASES[name]
    values = {"optimizer": name, "mixed_precision": "bf16", "learning_rate": case.lr, "max_grad_norm": 0.0}
    config = Config.from_dict(values | case.settings)
    model = trained_model(SPEC).train()
    trainable = choose_trainable(model, config)
    optimizer, schedule, embedder = build_steppers(config, trainable, 10)
    state = TrainState(model, trainable, optimizer, schedule, embedder=embedder)
    start = [parameter.detach().clone() for parameter in trainable.values()]
    moves: list[list[Tensor]] = []
    for _ in range(2):
        seen: dict[int, Tensor] = {}
        hooks = [
            parameter.register_post_accumulate_grad_hook(lambda p, seen=seen: seen.update({id(p): p.grad.clone()}))
            for parameter in trainable.values()
        ]
        train_step(
            state,
            batches((0, 0, 0)),
            family=AceStepV1(None),  # type: ignore[arg-type]  # its files have no part in a step
            config=config,
            sigmas=sigma_table(3.0),
            ssl_weight=0.0,
            device=CPU,
            clock=StepClock(CPU),
        )
        for hook in hooks:
            hook.remove()
        moves.append([seen[id(parameter)] for parameter in trainable.values()])

    expected = reference.last(case.step, start, moves, case.hyper | {"lr": case.lr})
    with state.as_judged():
        way = off = digits = 0.0
        for before, parameter, wanted in zip(start, trainable.values(), expected, strict=True):
            rest = optimizer.state[parameter].get("rest", torch.zeros(()))
            now = parameter.detach().double() + rest.double()
            way += float((wanted - before.double()).square().sum())
            off += float((now - wanted).square().sum())
            digits += float((wanted * 2**-23).square().sum())  # of float32 itself, twice rounded
    assert way > 0
    assert off <= (2 * case.nearness) ** 2 * way + digits
